//! What commands that speak to a node share: the way to it, keys, amounts, names, and waiting for a transaction.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use dodona_client::{Client, Http, Wallet, keys::plain_file};
use dodona_participant::subnet::confirm;
use dodona_proto::{ALLO, Address, chain::TxReceipt, sign::AccountKey};
use dodona_sim::world;
use prost_types::Any;

use super::{keys, run::tell};
use crate::cli::{NodeArgs, UnlockArgs};

/// Longest wait for the first tokens.
const GIFT_PATIENCE: Duration = Duration::from_secs(60);
/// How often to ask.
const PERIOD: Duration = Duration::from_millis(200);

/// A client of the node that was named.
pub fn client(node: &NodeArgs) -> Client<Http> {
    Client::new(Http::new(&node.node))
}

/// A key: `demo:NAME[:SEED]` for the participants of a demo, whose keys are no secret; a file with 64 hex digits that
/// only its owner may read; or the name of an encrypted key, whose passphrase is asked for.
pub fn key(text: &str, unlock: &UnlockArgs) -> Result<AccountKey> {
    if let Some(rest) = text.strip_prefix("demo:") {
        let (name, seed) = match rest.split_once(':') {
            Some((name, seed)) => (name, seed.parse().context("the demo's seed is a whole number")?),
            None => (rest, 1),
        };
        return Ok(world::key(seed, name));
    }
    let path = Path::new(text);
    if text.contains('/') || path.exists() {
        return plain_file(path).with_context(|| format!("the key file `{text}`"));
    }
    let hint = "`dodona keys list` shows yours; a file with 64 hex digits or demo:consumer will do too";
    keys::open(text, unlock).with_context(|| format!("the key `{text}`; {hint}"))
}

/// An amount of ALLO such as `12.5`, or of base units such as `300uallo`, in uallo.
pub fn amount(text: &str) -> Result<u128> {
    let wrong = || format!("`{text}` is no amount: write ALLO such as 12.5, or base units such as 300uallo");
    if let Some(units) = text.strip_suffix("uallo") {
        return dodona_chain::parse_amount(units).with_context(wrong);
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 18 {
        bail!(wrong());
    }
    let whole: u128 = whole.parse().with_context(wrong)?;
    let fraction: u128 = format!("{fraction:0<18}").parse().with_context(wrong)?;
    whole.checked_mul(ALLO).and_then(|w| w.checked_add(fraction)).with_context(wrong)
}

/// uallo as ALLO, for people.
pub fn allo(uallo: u128) -> String {
    let (whole, fraction) = (uallo / ALLO, uallo % ALLO);
    let digits = format!("{fraction:018}");
    let digits = digits.trim_end_matches('0');
    if digits.is_empty() { format!("{whole} ALLO") } else { format!("{whole}.{digits} ALLO") }
}

/// Signs, sends, and waits until the transaction is in a block. A refusal is an error that says why.
pub fn send(client: &Client<Http>, key: AccountKey, messages: Vec<Any>, gas: u64) -> Result<TxReceipt> {
    let hash = Wallet::new(key).send(client, messages, gas)?;
    Ok(confirm(client, hash)?)
}

/// Waits until the account exists. On a development network the node's purse gives to whom asks for its balance.
pub fn fund(node: &str, client: &Client<Http>, address: Address, ended: &AtomicBool) -> Result<()> {
    let doors = Http::new(node);
    let until = Instant::now() + GIFT_PATIENCE;
    let mut told = false;
    loop {
        if client.account(address.to_string())?.exists {
            return Ok(());
        }
        if !told {
            tell(&format!("{address} has no tokens yet: asking the node's purse"));
            told = true;
        }
        let _ = doors.page(&format!("/cosmos/bank/v1beta1/balances/{address}")); // asking is what counts
        if ended.load(Ordering::Relaxed) || Instant::now() > until {
            bail!("{address} has no tokens and this node gives none: send it some ALLO, then run this again");
        }
        sleep(PERIOD);
    }
}

/// An address, or the name of a member on a topic's leaderboard.
pub fn member(client: &Client<Http>, topic: u64, who: &str) -> Result<String> {
    if who.parse::<Address>().is_ok() {
        return Ok(who.to_string());
    }
    let rows = client.leaderboard(topic)?.rows;
    // One account may be there in several parts.
    let named: BTreeSet<&str> =
        rows.iter().filter(|row| row.name == who).map(|row| row.address.as_str()).collect();
    let named: Vec<&str> = named.into_iter().collect();
    match named.as_slice() {
        [address] => Ok(address.to_string()),
        [] => {
            let names: BTreeSet<&str> =
                rows.iter().map(|row| row.name.as_str()).filter(|n| !n.is_empty()).collect();
            let names: Vec<&str> = names.into_iter().collect();
            bail!("`{who}` is no address and no member of topic {topic}: {}", names.join(", "))
        }
        // Names are not unique: whoever took it later must not be shown for the first.
        several => bail!(
            "{} members of topic {topic} are called `{who}`: name one by its address, {}",
            several.len(),
            several.join(" or ")
        ),
    }
}
