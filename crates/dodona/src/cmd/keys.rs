//! `dodona keys`: account keys, encrypted on disk. Secrets come from a prompt, a file or standard input, never from an
//! argument or an environment variable, and leave only where `export` is told to put them.

use std::{
    env,
    fs::{File, OpenOptions},
    io::{self, BufRead, IsTerminal, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use dodona_client::keys::{Card, KeyStore, MIN_PASSPHRASE, Phrase, Secret, path};
use dodona_proto::{Address, sign::AccountKey};
use zeroize::Zeroizing;

use super::{net, run::tell};
use crate::{
    cli::{KeysCommand, Output, UnlockArgs},
    output::print,
};

/// Longest file or line with a secret, bytes.
const MAX_SECRET: u64 = 4_096;

pub fn run(command: KeysCommand) -> Result<()> {
    match command {
        KeysCommand::New { name, unlock, output } => {
            let keys = store(unlock.keys.as_deref())?;
            keys.check_free(&name)?;
            let passphrase = new_passphrase(unlock.passphrase_file.as_deref(), &name)?;
            let phrase = Phrase::draw()?;
            let card = keys.put(&name, &phrase.secret(0, 0)?, &passphrase)?;
            show_words(&name, &phrase);
            print(&told(&[card], output)?)
        }
        KeysCommand::Add { name, words_file, account, index, unlock, output } => {
            let keys = store(unlock.keys.as_deref())?;
            keys.check_free(&name)?;
            let passphrase = new_passphrase(unlock.passphrase_file.as_deref(), &name)?;
            let words = secret(words_file.as_deref(), "the words: ", "--words-file FILE", true)?;
            let key = Phrase::read(&words)?.secret(account, index)?;
            let card = keys.put(&name, &key, &passphrase)?;
            tell(&format!("the key at {} is {}", path(account, index), card.address));
            print(&told(&[card], output)?)
        }
        KeysCommand::List { keys, output } => {
            let keys = store(keys.as_deref())?;
            let mut cards = Vec::new();
            for name in keys.names()? {
                match keys.card(&name) {
                    Ok(card) => cards.push(Card { name, ..card }),
                    Err(error) => tell(&format!("{name}: {error}")),
                }
            }
            if cards.is_empty() {
                tell(&format!("no keys in {}; `dodona keys new NAME` makes one", keys.dir().display()));
            }
            print(&match output {
                Output::Json => serde_json::to_string(&cards)? + "\n",
                Output::Text => told(&cards, output)?,
            })
        }
        KeysCommand::Show { name, keys, output } => {
            let card = store(keys.as_deref())?.card(&name)?;
            print(&match output {
                Output::Json => serde_json::to_string(&card)? + "\n",
                Output::Text => {
                    format!("name {name}\naddress {}\npublic key {}\n", card.address, card.public_key)
                }
            })
        }
        KeysCommand::Export { name, words, out, reveal: _, unlock } => {
            let secret = unlocked(&name, &unlock)?;
            let text = match words {
                true => Zeroizing::new(format!("{}\n", secret.words()?)),
                false => Zeroizing::new(format!("{}\n", secret.hex().as_str())),
            };
            match out {
                None => print(&text),
                Some(file) => {
                    write_new(&file, text.as_bytes())?;
                    tell(&format!("written to {}: whoever reads it owns the account", file.display()));
                    Ok(())
                }
            }
        }
        KeysCommand::Import { name, hex_file, unlock, output } => {
            let keys = store(unlock.keys.as_deref())?;
            keys.check_free(&name)?;
            let passphrase = new_passphrase(unlock.passphrase_file.as_deref(), &name)?;
            let digits =
                secret(hex_file.as_deref(), "the private key, 64 hex digits: ", "--hex-file FILE", true)?;
            let card = keys.put(&name, &Secret::from_hex(&digits)?, &passphrase)?;
            print(&told(&[card], output)?)
        }
        KeysCommand::Passphrase { name, new_passphrase_file, unlock } => {
            let keys = store(unlock.keys.as_deref())?;
            keys.card(&name)?;
            let old = passphrase(&name, &unlock)?;
            keys.open(&name, &old)?;
            let new = new_passphrase(new_passphrase_file.as_deref(), &name)?;
            keys.change_passphrase(&name, &old, &new)?;
            tell(&format!("{name} has another passphrase now"));
            Ok(())
        }
        KeysCommand::Delete { name, yes, keys } => {
            let keys = store(keys.as_deref())?;
            // A damaged file has no card, and may be deleted too.
            let whose =
                keys.card(&name).map_or_else(|_| name.clone(), |card| format!("{name}, {}", card.address));
            if !yes && !agreed(&format!("delete {whose}, for good? its name again, to be sure: "), &name)? {
                bail!("nothing was deleted");
            }
            keys.delete(&name)?;
            tell(&format!("{name} is deleted"));
            Ok(())
        }
    }
}

/// What signs, from the encrypted keys.
pub fn open(name: &str, unlock: &UnlockArgs) -> Result<AccountKey> {
    Ok(unlocked(name, unlock)?.key()?)
}

fn unlocked(name: &str, unlock: &UnlockArgs) -> Result<Secret> {
    let keys = store(unlock.keys.as_deref())?;
    keys.card(name)?; // what is wrong with the file is told before anybody types a passphrase
    Ok(keys.open(name, &passphrase(name, unlock)?)?)
}

/// An address as it is; or that of a key: `demo:NAME[:SEED]`, a file, or the name of an encrypted one, which is not
/// opened.
pub fn address(text: &str, dir: Option<&Path>) -> Result<Address> {
    if let Ok(address) = text.parse::<Address>() {
        return Ok(address);
    }
    if text.starts_with("demo:") || text.contains('/') || Path::new(text).exists() {
        let none = UnlockArgs { keys: None, passphrase_file: None };
        return Ok(net::key(text, &none)?.address());
    }
    let none = || format!("`{text}` is no address such as allo1…, and no key of `dodona keys list`");
    let card = store(dir)?.card(text).with_context(none)?;
    card.address.parse::<Address>().with_context(none)
}

/// The folder that was named, or the one of this user.
pub fn store(dir: Option<&Path>) -> Result<KeyStore> {
    Ok(KeyStore::new(&own_folder(dir, "keys")?))
}

/// The folder that was named, or the one with this name of this user.
pub fn own_folder(dir: Option<&Path>, name: &str) -> Result<PathBuf> {
    if let Some(dir) = dir {
        return Ok(dir.to_path_buf());
    }
    let home = env::home_dir().filter(|home| !home.as_os_str().is_empty());
    let home = home.with_context(|| format!("this user has no home folder: name one with --{name} DIR"))?;
    Ok([home, ".dodona".into(), name.into()].iter().collect())
}

fn told(cards: &[Card], output: Output) -> Result<String> {
    if output == Output::Json {
        let lines: Result<Vec<String>, _> = cards.iter().map(serde_json::to_string).collect();
        return Ok(lines?.join("\n") + "\n");
    }
    let widest = cards.iter().map(|card| card.name.len()).max().unwrap_or(0);
    Ok(cards.iter().map(|card| format!("{:<widest$}  {}\n", card.name, card.address)).collect())
}

/// The words go to a person at a terminal, never into a file or a log.
fn show_words(name: &str, phrase: &Phrase) {
    let mut screen = io::stderr();
    if !screen.is_terminal() {
        tell(&format!(
            "its 24 words are in the encrypted file: `dodona keys export {name} --words --out FILE` writes them down"
        ));
        return;
    }
    let words = phrase.text();
    let _ = writeln!(
        screen,
        "\nWrite these words down, in this order, on paper. Whoever has them has the account;"
    );
    let _ = writeln!(screen, "without them a lost file or passphrase is a lost account.\n");
    for (at, word) in words.split(' ').enumerate() {
        let end = if at % 6 == 5 { "\n" } else { "" };
        let _ = write!(screen, "{:>4} {word:<10}{end}", at + 1);
    }
    let _ = writeln!(screen);
}

/// The passphrase of a key that exists.
fn passphrase(name: &str, unlock: &UnlockArgs) -> Result<Zeroizing<String>> {
    secret(
        unlock.passphrase_file.as_deref(),
        &format!("passphrase of {name}: "),
        "--passphrase-file FILE",
        false,
    )
}

/// A passphrase for a new file: typed twice when it is typed.
fn new_passphrase(file: Option<&Path>, name: &str) -> Result<Zeroizing<String>> {
    let option = "--passphrase-file FILE";
    let ask = format!("new passphrase for {name}, {MIN_PASSPHRASE} characters or more: ");
    let first = secret(file, &ask, option, false)?;
    if first.len() < MIN_PASSPHRASE {
        bail!("a passphrase has {MIN_PASSPHRASE} bytes or more: choose a longer one, such as four words");
    }
    if file.is_none() && *secret(None, "again: ", option, false)? != *first {
        bail!("the two are not the same; nothing was made");
    }
    Ok(first)
}

/// A secret: the first line of a file (or, when `whole`, all of it), a line of standard input, or what somebody types
/// unseen.
fn secret(file: Option<&Path>, ask: &str, option: &str, whole: bool) -> Result<Zeroizing<String>> {
    let Some(file) = file else {
        let typed = rpassword::prompt_password(ask);
        return typed.map(Zeroizing::new).map_err(|e| {
            anyhow::anyhow!("no terminal to ask on ({e}): use {option}, or - for standard input")
        });
    };
    if file == Path::new("-") {
        return line_of_stdin();
    }
    let shown = file.display();
    let open = File::open(file).with_context(|| format!("cannot read {shown}"))?;
    let meta = open.metadata()?;
    if meta.is_file() && meta.mode() & 0o004 != 0 {
        tell(&format!("{shown} can be read by everybody on this machine: `chmod 600` it"));
    }
    let mut text = Zeroizing::new(String::new());
    open.take(MAX_SECRET + 1).read_to_string(&mut text).map_err(|e| {
        // The system's words, never the file's.
        anyhow::anyhow!("cannot read {shown}: {}", e.kind())
    })?;
    if text.len() as u64 > MAX_SECRET {
        bail!("{shown} is longer than {MAX_SECRET} bytes: is it the right file?");
    }
    let end = if whole { text.len() } else { text.find('\n').unwrap_or(text.len()) };
    Ok(Zeroizing::new(text[..end].trim_end_matches(['\r', '\n']).to_string()))
}

/// The next line, and not a byte more: what follows belongs to the next question.
fn line_of_stdin() -> Result<Zeroizing<String>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_SECRET as usize + 1));
    let mut input = io::stdin().lock();
    let mut byte = [0u8];
    while input.read(&mut byte).context("cannot read standard input")? == 1 && byte[0] != b'\n' {
        if bytes.len() as u64 == MAX_SECRET {
            bail!("the line is longer than {MAX_SECRET} bytes");
        }
        bytes.push(byte[0]);
    }
    if bytes.is_empty() {
        bail!("standard input ended where a secret was wanted: give one line each, the passphrase first");
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| anyhow::anyhow!("standard input is no UTF-8 text"))?;
    Ok(Zeroizing::new(text.trim_end_matches('\r').to_string()))
}

/// Whether somebody at a terminal answers with exactly this.
pub fn agreed(question: &str, wanted: &str) -> Result<bool> {
    if !io::stdin().is_terminal() {
        bail!("no terminal to ask on: --yes answers for you");
    }
    let mut screen = io::stderr();
    write!(screen, "{question}")?;
    screen.flush()?;
    let mut answer = String::new();
    io::stdin().lock().take(1_024).read_line(&mut answer)?;
    Ok(answer.trim() == wanted)
}

/// A new file that only its owner may read; an existing one is never overwritten.
fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    let shown = path.display();
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot make {shown}: name a file that does not exist"))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).with_context(|| format!("cannot write {shown}"))
}
