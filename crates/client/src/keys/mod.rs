//! Account keys on disk: one encrypted file each, in a folder for the eyes of its owner only. A file tells name, address
//! and public key to whoever may read it; the secret needs the passphrase. The form is told in docs/keys.md.

mod phrase;
mod sealed;

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use dodona_proto::sign::{AccountKey, SignError};
use zeroize::Zeroizing;

pub use phrase::{Phrase, is_word, path};
pub use sealed::{Card, Cost};

use sealed::Sealed;

/// Longest name of a key.
pub const MAX_NAME: usize = 64;
/// Fewest bytes of a passphrase for a new file.
pub const MIN_PASSPHRASE: usize = 8;
/// Most bytes of a passphrase.
pub const MAX_PASSPHRASE: usize = 1_024;
/// Most keys that are listed.
const MAX_KEYS: usize = 10_000;
/// How the names of files end.
const END: &str = "key";

/// Why a key cannot be used. No text here holds a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each variant's message says it; the fields are the words of the message")]
pub enum KeyError {
    #[error("{what} {}: {cause}", .path.display())]
    Io { what: &'static str, path: PathBuf, cause: io::Error },
    #[error(
        "`{0}` is no name for a key: use 1 to {MAX_NAME} of A-Z a-z 0-9 . _ -, beginning with a letter or digit"
    )]
    Name(String),
    #[error("there is a key called `{0}` already: choose another name, or delete it first")]
    Exists(String),
    #[error("no key is called `{name}` in {}; there are: {known}", .dir.display())]
    Missing { name: String, dir: PathBuf, known: String },
    #[error("{} can be read by others (mode {mode:o}): `chmod {wanted:o}` it, and change the passphrase if others use this machine", .path.display())]
    Open { path: PathBuf, mode: u32, wanted: u32 },
    #[error("{} is damaged ({cause}): restore it from a copy, or add the key again from its 24 words", .path.display())]
    Damaged { path: PathBuf, cause: String },
    #[error("the passphrase is wrong")]
    Passphrase,
    #[error(
        "a passphrase has {MIN_PASSPHRASE} to {MAX_PASSPHRASE} bytes: choose a longer one, such as four words"
    )]
    Weak,
    #[error("these are no 12 to 24 words of a mnemonic: {0}")]
    Words(String),
    #[error("no private key: 64 hex digits of a number that the curve allows are wanted")]
    Hex,
    #[error("this key was imported without words: export its private key instead")]
    Wordless,
    #[error("this system gives no random numbers: {0}")]
    Random(String),
}

impl From<SignError> for KeyError {
    fn from(_: SignError) -> Self {
        Self::Hex
    }
}

/// A secret key, and the words it comes from where it comes from words. Wiped from memory when dropped.
#[derive(Clone)]
pub struct Secret {
    bytes: Zeroizing<[u8; 32]>,
    words: Option<Zeroizing<String>>,
}

impl Secret {
    /// From a private key in hex, with or without `0x`.
    ///
    /// # Errors
    /// [`KeyError::Hex`].
    pub fn from_hex(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        let mut bytes = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(text), bytes.as_mut())
            .map_err(|_| KeyError::Hex)?;
        AccountKey::from_bytes(*bytes)?;
        Ok(Self { bytes, words: None })
    }

    /// The private key, 64 hex digits.
    pub fn hex(&self) -> Zeroizing<String> {
        Zeroizing::new(hex::encode(self.bytes.as_ref()))
    }

    /// The words, if the key was made from words.
    ///
    /// # Errors
    /// [`KeyError::Wordless`].
    pub fn words(&self) -> Result<&str, KeyError> {
        self.words.as_ref().map(|words| words.as_str()).ok_or(KeyError::Wordless)
    }

    /// What signs.
    ///
    /// # Errors
    /// [`KeyError::Hex`]: the bytes are no key.
    pub fn key(&self) -> Result<AccountKey, KeyError> {
        Ok(AccountKey::from_bytes(*self.bytes)?)
    }
}

/// A folder of encrypted keys.
#[derive(Clone, Debug)]
pub struct KeyStore {
    dir: PathBuf,
    cost: Cost,
}

impl KeyStore {
    /// The keys of this folder, which need not exist yet.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_path_buf(), cost: Cost::default() }
    }

    /// The same with another price for a guess at a passphrase of new files: tests want it low.
    pub fn with_cost(self, cost: Cost) -> Self {
        Self { cost, ..self }
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Encrypts a secret under a new name.
    ///
    /// # Errors
    /// [`KeyError`]; nothing that is there is changed.
    pub fn put(&self, name: &str, secret: &Secret, passphrase: &str) -> Result<Card, KeyError> {
        let path = self.file(name)?;
        if !(MIN_PASSPHRASE..=MAX_PASSPHRASE).contains(&passphrase.len()) {
            return Err(KeyError::Weak);
        }
        self.make_folder()?;
        if path.symlink_metadata().is_ok() {
            return Err(KeyError::Exists(name.to_string()));
        }
        let sealed = Sealed::seal(name, secret, passphrase, self.cost)?;
        self.write(&path, &sealed, name)?;
        Ok(sealed.card)
    }

    /// Whether a name is free; whoever asks for a passphrase wants to know before.
    ///
    /// # Errors
    /// [`KeyError::Name`], [`KeyError::Exists`].
    pub fn check_free(&self, name: &str) -> Result<(), KeyError> {
        match self.file(name)?.symlink_metadata() {
            Ok(_) => Err(KeyError::Exists(name.to_string())),
            Err(_) => Ok(()),
        }
    }

    /// Decrypts a key.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn open(&self, name: &str, passphrase: &str) -> Result<Secret, KeyError> {
        let path = self.file(name)?;
        self.read(name, &path)?.open(&path, passphrase)
    }

    /// What a file says without its passphrase.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn card(&self, name: &str) -> Result<Card, KeyError> {
        Ok(self.read(name, &self.file(name)?)?.card)
    }

    /// Names of all keys, in order. A folder that does not exist holds none.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn names(&self) -> Result<Vec<String>, KeyError> {
        let files = match fs::read_dir(&self.dir) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            files => files.map_err(failed("cannot read", &self.dir))?,
        };
        let mut names = Vec::new();
        for file in files.take(MAX_KEYS) {
            let path = file.map_err(failed("cannot read", &self.dir))?.path();
            if path.extension().is_some_and(|end| end == END)
                && let Some(name) = path.file_stem().and_then(|name| name.to_str())
                && is_name(name)
            {
                names.push(name.to_string());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Removes a key for good.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn delete(&self, name: &str) -> Result<(), KeyError> {
        let path = self.file(name)?;
        match fs::remove_file(&path) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Err(self.missing(name)),
            removed => removed.map_err(failed("cannot remove", &path)),
        }
    }

    /// Encrypts a key anew under another passphrase.
    ///
    /// # Errors
    /// [`KeyError`]; the old file stays then.
    pub fn change_passphrase(&self, name: &str, old: &str, new: &str) -> Result<(), KeyError> {
        let path = self.file(name)?;
        if !(MIN_PASSPHRASE..=MAX_PASSPHRASE).contains(&new.len()) {
            return Err(KeyError::Weak);
        }
        let secret = self.open(name, old)?;
        let sealed = Sealed::seal(name, &secret, new, self.cost)?;
        let file = self.written(&sealed)?;
        file.persist(&path).map_err(|e| failed("cannot write", &path)(e.error))?;
        self.settle()
    }

    fn file(&self, name: &str) -> Result<PathBuf, KeyError> {
        if is_name(name) {
            Ok(self.dir.join(format!("{name}.{END}")))
        } else {
            Err(KeyError::Name(name.chars().take(MAX_NAME).collect()))
        }
    }

    fn missing(&self, name: &str) -> KeyError {
        let names = self.names().unwrap_or_default();
        let known = if names.is_empty() { "none".into() } else { names.join(", ") };
        KeyError::Missing { name: name.to_string(), dir: self.dir.clone(), known }
    }

    fn read(&self, name: &str, path: &Path) -> Result<Sealed, KeyError> {
        if path.symlink_metadata().is_err() {
            return Err(self.missing(name));
        }
        private(&self.dir, 0o700)?;
        private(path, 0o600)?;
        let size = fs::metadata(path).map_err(failed("cannot read", path))?.len();
        if size > sealed::MAX_FILE {
            let cause = format!("{size} bytes");
            return Err(KeyError::Damaged { path: path.to_path_buf(), cause });
        }
        let bytes = fs::read(path).map_err(failed("cannot read", path))?;
        Sealed::read(&bytes).map_err(|cause| KeyError::Damaged { path: path.to_path_buf(), cause })
    }

    fn make_folder(&self) -> Result<(), KeyError> {
        if self.dir.is_dir() {
            return private(&self.dir, 0o700);
        }
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir);
        made.map_err(failed("cannot make", &self.dir))
    }

    /// A complete file without a name, readable by its owner only.
    fn written(&self, sealed: &Sealed) -> Result<tempfile::NamedTempFile, KeyError> {
        let write = || {
            let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
            io::Write::write_all(&mut file, &sealed.bytes())?;
            file.as_file().sync_all()?;
            Ok(file)
        };
        write().map_err(failed("cannot write in", &self.dir))
    }

    fn write(&self, path: &Path, sealed: &Sealed, name: &str) -> Result<(), KeyError> {
        match self.written(sealed)?.persist_noclobber(path) {
            Err(e) if e.error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(KeyError::Exists(name.to_string()));
            }
            Err(e) => return Err(failed("cannot write", path)(e.error)),
            Ok(_) => {}
        }
        self.settle()
    }

    /// The names in the folder must survive a power cut too.
    fn settle(&self) -> Result<(), KeyError> {
        fs::File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(failed("cannot write", &self.dir))
    }
}

/// A key from a file with 64 hex digits that only its owner may read.
///
/// # Errors
/// [`KeyError`].
pub fn plain_file(path: &Path) -> Result<AccountKey, KeyError> {
    /// Larger than any file of one key.
    const MAX: u64 = 4_096;
    private(path, 0o600)?;
    if fs::metadata(path).map_err(failed("cannot read", path))?.len() > MAX {
        return Err(KeyError::Hex);
    }
    let text = Zeroizing::new(fs::read_to_string(path).map_err(failed("cannot read", path))?);
    Secret::from_hex(&text)?.key()
}

fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    name.len() <= MAX_NAME
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(allowed)
}

fn private(path: &Path, wanted: u32) -> Result<(), KeyError> {
    let mode = fs::metadata(path).map_err(failed("cannot read", path))?.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(KeyError::Open { path: path.to_path_buf(), mode, wanted })
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeyError + use<> {
    let path = path.to_path_buf();
    move |cause| KeyError::Io { what, path, cause }
}

#[cfg(test)]
mod tests;
