//! The settings of one node: `config.toml` in its home. What is not in the file takes its default; what the file does
//! not know is refused, with the line. Genesis is once per chain and parameters are the chain's: neither is here.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// Name of the file in the home.
pub const CONFIG_FILE: &str = "config.toml";

/// Everything a node's operator may choose.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodeFile {
    /// What others call this node.
    pub moniker: Moniker,
    /// Votes and blocks.
    pub consensus: ConsensusFile,
    /// Transactions and snapshots between nodes.
    pub peers: PeersFile,
    /// Doors for people and programs.
    pub doors: DoorsFile,
    /// What is kept.
    pub store: StoreFile,
    /// What monitors are told.
    pub metrics: MetricsFile,
}

/// A name of 1 to 40 printable characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Moniker(String);

impl Moniker {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Moniker {
    fn default() -> Self {
        Self("dodona".into())
    }
}

impl TryFrom<String> for Moniker {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let fits = (1..=40).contains(&name.chars().count()) && !name.chars().any(char::is_control);
        if fits { Ok(Self(name)) } else { Err("a moniker has 1 to 40 printable characters".into()) }
    }
}

impl From<Moniker> for String {
    fn from(moniker: Moniker) -> Self {
        moniker.0
    }
}

/// Votes and blocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConsensusFile {
    /// Where other validators reach this one.
    pub listen: SocketAddr,
    /// `PEER_ID@HOST:PORT` of nodes to stay connected to.
    pub persistent: Vec<String>,
    /// From one block to the next.
    #[serde(with = "time")]
    pub block_time: Duration,
    /// Without a new block for this long the process ends, so that its supervisor starts it again; 0 s is never.
    #[serde(with = "time")]
    pub stall: Duration,
}

impl Default for ConsensusFile {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 26_656),
            persistent: Vec::new(),
            block_time: Duration::from_secs(1),
            stall: Duration::from_secs(60),
        }
    }
}

/// Transactions and snapshots between nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PeersFile {
    /// Where other nodes reach this one.
    pub listen: SocketAddr,
    /// Addresses of nodes to stay connected to; others are learned from them.
    pub persistent: Vec<String>,
}

impl Default for PeersFile {
    fn default() -> Self {
        Self { listen: SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 26_655), persistent: Vec::new() }
    }
}

/// Doors; an empty text closes one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DoorsFile {
    /// REST for wallets, explorers and people.
    #[serde(with = "address")]
    pub rest: Option<SocketAddr>,
    /// gRPC.
    #[serde(with = "address")]
    pub grpc: Option<SocketAddr>,
    /// RPC and its websocket.
    #[serde(with = "address")]
    pub rpc: Option<SocketAddr>,
    /// The dashboard, for people with a browser.
    #[serde(with = "address")]
    pub dashboard: Option<SocketAddr>,
    /// The page that monitors read.
    #[serde(with = "address")]
    pub metrics: Option<SocketAddr>,
}

impl Default for DoorsFile {
    fn default() -> Self {
        let local = |port| Some(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port));
        let (rest, grpc, rpc) = (local(1317), local(9090), local(26_657));
        Self { rest, grpc, rpc, dashboard: local(8080), metrics: local(26_660) }
    }
}

/// What is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreFile {
    /// Newest blocks that are kept; 0 is all of them (an archive).
    pub keep_blocks: u64,
    /// Whether events can be searched.
    pub index: bool,
    /// Newest blocks whose events can be searched; 0 is all that are kept.
    pub index_blocks: u64,
    /// A snapshot every so many blocks; 0 is never.
    pub snapshot_every: u64,
}

impl Default for StoreFile {
    fn default() -> Self {
        Self { keep_blocks: 0, index: true, index_blocks: 0, snapshot_every: 0 }
    }
}

/// What monitors are told beside the node's own condition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsFile {
    /// Accounts whose balance and windows are watched, at most [`crate::MAX_WATCHED`].
    pub accounts: Vec<String>,
}

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read {}: {cause}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// It is not what it should be.
    #[error("{}: {cause}", .path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// Line and cause.
        cause: Box<toml::de::Error>,
    },
}

impl NodeFile {
    /// Every address this node listens at: validators, other nodes, then the doors that are open.
    pub fn listens(&mut self) -> Vec<&mut SocketAddr> {
        let DoorsFile { rest, grpc, rpc, dashboard, metrics } = &mut self.doors;
        let doors = [rest, grpc, rpc, dashboard, metrics].into_iter().flatten();
        [&mut self.consensus.listen, &mut self.peers.listen].into_iter().chain(doors).collect()
    }

    /// Reads the settings of a home; a home without the file has the defaults.
    ///
    /// # Errors
    /// [`ConfigError`], naming file, line and cause.
    pub fn read(home: &Path) -> Result<Self, ConfigError> {
        let path = home.join(CONFIG_FILE);
        match fs::read_to_string(&path) {
            Ok(text) => {
                toml::from_str(&text).map_err(|cause| ConfigError::Wrong { path, cause: Box::new(cause) })
            }
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(cause) => Err(ConfigError::Io { path, cause }),
        }
    }

    /// The file for people: every setting with a word on what it is for.
    pub fn to_toml(&self) -> String {
        let Self { moniker, consensus, peers, doors, store, metrics } = self;
        // Texts and lists of texts are written the same in JSON and TOML.
        let text = |value: &str| serde_json::Value::from(value).to_string();
        let list = |values: &[String]| serde_json::Value::from(values).to_string();
        let door = |address: Option<SocketAddr>| text(&address.map_or(String::new(), |a| a.to_string()));
        let time = |time: Duration| text(&humantime::format_duration(time).to_string());
        format!(
            "# Settings of this node. A flag wins over an environment variable (DODONA_…), that over this file.\n\
             \n# What others call this node.\nmoniker = {}\n\
             \n[consensus]\n# Where other validators reach this one.\nlisten = {}\n\
             # PEER_ID@HOST:PORT of nodes to stay connected to; `dodona init` prints a node's own.\n\
             persistent = {}\n# From one block to the next. The same for all validators.\nblock_time = {}\n\
             # Without a new block for this long the process ends with status 75, so that its supervisor starts it\n\
             # again; \"0s\" is never.\nstall = {}\n\
             \n[peers]\n# Where other nodes bring transactions.\nlisten = {}\n\
             # Addresses HOST:PORT of nodes to stay connected to; others are learned from them.\npersistent = {}\n\
             \n[doors]\n# An empty text closes a door. Behind a proxy, leave them on this machine.\n\
             rest = {}\ngrpc = {}\nrpc = {}\ndashboard = {}\n\
             # The page /metrics for Prometheus.\nmetrics = {}\n\
             \n[store]\n# Newest blocks that are kept; 0 is all of them.\nkeep_blocks = {}\n\
             # Whether events can be searched (a validator whom only validators ask saves work without).\nindex = {}\n\
             # Newest blocks whose events can be searched; 0 is all that are kept.\nindex_blocks = {}\n\
             # A snapshot every so many blocks, for nodes that join; 0 is never.\nsnapshot_every = {}\n\
             \n[metrics]\n# Accounts whose balance and missed windows are on the page for monitors, such as your workers'.\n\
             accounts = {}\n",
            text(moniker.as_str()),
            text(&consensus.listen.to_string()),
            list(&consensus.persistent),
            time(consensus.block_time),
            time(consensus.stall),
            text(&peers.listen.to_string()),
            list(&peers.persistent),
            door(doors.rest),
            door(doors.grpc),
            door(doors.rpc),
            door(doors.dashboard),
            door(doors.metrics),
            store.keep_blocks,
            store.index,
            store.index_blocks,
            store.snapshot_every,
            list(&metrics.accounts),
        )
    }
}

/// Times as people write them: `1s`, `500ms`.
mod time {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&humantime::format_duration(*time))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(from)?;
        humantime::parse_duration(&text).map_err(|cause| D::Error::custom(format!("`{text}`: {cause}")))
    }
}

/// An address, or an empty text for none.
mod address {
    use std::net::SocketAddr;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(address: &Option<SocketAddr>, to: S) -> Result<S::Ok, S::Error> {
        match address {
            Some(address) => to.collect_str(address),
            None => to.serialize_str(""),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SocketAddr>, D::Error> {
        let text = String::deserialize(from)?;
        if text.is_empty() {
            return Ok(None);
        }
        let wrong = |_| D::Error::custom(format!("`{text}` is no address; write one such as 127.0.0.1:1317"));
        text.parse().map(Some).map_err(wrong)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn the_written_file_reads_back_as_the_settings_it_was_written_from() {
        let plain = NodeFile::default();
        assert_eq!(toml::from_str::<NodeFile>(&plain.to_toml()).unwrap(), plain);
        let mut other = NodeFile {
            moniker: Moniker::try_from("a \"quoted\" name".to_string()).unwrap(),
            ..NodeFile::default()
        };
        other.consensus.persistent = vec!["12D3@h:1".into(), "é\\@h:2".into()];
        other.consensus.block_time = Duration::from_millis(1_500);
        other.doors.grpc = None;
        other.store.keep_blocks = 7;
        other.store.index = false;
        assert_eq!(toml::from_str::<NodeFile>(&other.to_toml()).unwrap(), other);
    }

    #[test]
    fn a_setting_nobody_knows_and_a_value_that_is_none_are_refused_by_line() {
        let wrong = |text: &str| toml::from_str::<NodeFile>(text).unwrap_err().to_string();
        assert!(wrong("[doors]\nrets = \"\"").contains("rets"));
        assert!(wrong("[doors]\nrest = \"1317\"").contains("line 2"));
        assert!(wrong("[consensus]\nblock_time = \"soon\"").contains("soon"));
        assert!(wrong("moniker = \"\"").contains("1 to 40"));
    }

    #[test]
    fn a_home_without_the_file_has_the_defaults_and_what_is_missing_in_it_too() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(NodeFile::read(dir.path()).unwrap(), NodeFile::default());
        fs::write(dir.path().join(CONFIG_FILE), "[store]\nkeep_blocks = 5\n").unwrap();
        let read = NodeFile::read(dir.path()).unwrap();
        assert_eq!(read.store.keep_blocks, 5);
        assert_eq!(read.doors, DoorsFile::default());
        fs::write(dir.path().join(CONFIG_FILE), "x").unwrap();
        assert!(NodeFile::read(dir.path()).unwrap_err().to_string().contains("config.toml"));
    }
}
