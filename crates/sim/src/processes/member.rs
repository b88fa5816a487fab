//! One node of a network on this machine: its folder, its ports, its process.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use dodona_chain::{Genesis, GenesisAccount};
use dodona_client::{Client, Http};
use dodona_node::{
    config::{CONFIG_FILE, ConfigError, Moniker, NodeFile},
    declaration::{Declaration, DeclarationError},
    keys::{KeyFileError, Keys},
};
use dodona_proto::ALLO;
use sha2::{Digest, Sha256};

use crate::world;

/// Accounts with tokens and a known key (`demo:NAME`), besides the operators.
const FUNDED: [&str; 4] = ["consumer", world::FAUCET, "alice", "bob"];
/// What each of them has.
const PURSE: u128 = 1_000_000 * ALLO;
/// What each operator has besides its stake, and each further account.
const SMALL_PURSE: u128 = 10_000 * ALLO;
/// Voting power of each validator, whole ALLO.
const POWER: u64 = 1_000;
/// Ports of one node: validators, transactions, REST, gRPC, RPC, metrics.
const BASE_PORTS: [u16; 6] = [26_656, 26_655, 1317, 9090, 26_657, 26_660];
/// From one node's ports to the next one's.
const STEP: u16 = 10;
/// How long a node may take to end.
const FAREWELL: Duration = Duration::from_secs(15);

/// What a new network looks like.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many validators.
    pub validators: u8,
    /// Makes all keys.
    pub seed: u64,
    /// From one block to the next.
    pub block_time: Duration,
    /// Further accounts with tokens, by the name that makes their key.
    pub accounts: Vec<String>,
}

/// One node of a network.
pub struct Member {
    /// `node1` and so on.
    pub name: String,
    /// Its folder.
    pub home: PathBuf,
    /// Its settings.
    pub file: NodeFile,
    child: Option<Child>,
}

/// Why a network cannot be made or run.
#[derive(Debug, thiserror::Error)]
pub enum MemberError {
    /// The file system or the process table refused.
    #[error("{what} {}: {cause}", .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// Settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Keys.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// Two members collide; never with keys made from one seed.
    #[error(transparent)]
    Declaration(#[from] DeclarationError),
    /// A name that is none.
    #[error("{0}")]
    Name(String),
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> MemberError + use<> {
    let path = path.to_path_buf();
    move |cause| MemberError::Io { what, path, cause }
}

/// The nodes that a folder holds, in order.
///
/// # Errors
/// [`MemberError::Config`].
pub fn existing(dir: &Path) -> Result<Vec<Member>, MemberError> {
    let mut members = Vec::new();
    for n in 1.. {
        let home = dir.join(format!("node{n}"));
        // The genesis is written last: without it the making was cut off, and is done again.
        if !home.join("genesis.json").exists() {
            break;
        }
        let file = NodeFile::read(&home)?;
        members.push(Member { name: format!("node{n}"), home, file, child: None });
    }
    Ok(members)
}

/// Makes the folders of a network. `route(from, to, address)` says under which address node `from` shall look for
/// node `to`: its own, or something in between.
///
/// # Errors
/// [`MemberError`].
pub fn create(
    dir: &Path,
    plan: &Plan,
    route: &mut dyn FnMut(usize, usize, SocketAddr) -> SocketAddr,
) -> Result<Vec<Member>, MemberError> {
    let mut nodes = Vec::new();
    for n in 0..u16::from(plan.validators) {
        let ports = ports(n).map_err(failed("no free port for", dir))?;
        let local = |i: usize| SocketAddr::new(Ipv4Addr::LOCALHOST.into(), ports[i]);
        let moniker = Moniker::try_from(format!("node{}", n + 1)).map_err(MemberError::Name)?;
        let mut file = NodeFile { moniker, ..NodeFile::default() };
        file.consensus.listen = local(0);
        file.consensus.block_time = plan.block_time;
        file.peers.listen = local(1);
        (file.doors.rest, file.doors.grpc, file.doors.rpc) = (Some(local(2)), Some(local(3)), Some(local(4)));
        file.doors.metrics = Some(local(5));
        let home = dir.join(file.moniker.as_str());
        let mut drawn = 0u64;
        let keys = Keys::make(&home, || {
            drawn += 1;
            let label = [plan.seed, n.into(), drawn].map(u64::to_be_bytes).concat();
            Sha256::digest([b"dodona localnet key".as_slice(), &label].concat()).into()
        })?;
        nodes.push((home, file, keys));
    }
    let mut genesis = Genesis {
        chain_id: "localnet".into(),
        time_ms: world::GENESIS_TIME_MS,
        params: world::dev_params(),
        accounts: Vec::new(),
        validators: Vec::new(),
        admins: vec![world::key(plan.seed, "consumer").address().to_string()],
    };
    let named = |name: &str, purse| (world::key(plan.seed, name).address(), purse);
    genesis.accounts = FUNDED
        .iter()
        .map(|name| named(name, PURSE))
        .chain(plan.accounts.iter().map(|name| named(name, SMALL_PURSE)))
        .chain(nodes.iter().map(|(_, _, keys)| (keys.operator.address(), SMALL_PURSE)))
        .map(|(address, balance)| GenesisAccount { address: address.to_string(), balance })
        .collect();
    for (_, file, keys) in &nodes {
        let operator = keys.operator.address();
        Declaration::sign(&keys.validator, &genesis.chain_id, POWER, operator, file.moniker.as_str())
            .join(&mut genesis)?;
    }
    let addresses: Vec<(String, SocketAddr, SocketAddr)> =
        nodes.iter().map(|(_, file, keys)| (keys.peer(), file.consensus.listen, file.peers.listen)).collect();
    let mut members = Vec::new();
    for (n, (home, mut file, _)) in nodes.into_iter().enumerate() {
        for (i, (peer, validators, peers)) in addresses.iter().enumerate().filter(|(i, _)| *i != n) {
            let seen = route(n, i, *validators);
            file.consensus.persistent.push(format!("{peer}@{seen}"));
            file.peers.persistent.push(route(n, i, *peers).to_string());
        }
        let path = home.join(CONFIG_FILE);
        fs::write(&path, file.to_toml()).map_err(failed("cannot write", &path))?;
        members.push(Member { name: file.moniker.as_str().to_string(), home, file, child: None });
    }
    // Last, and the first node's at the very end: a folder with it is complete.
    for member in members.iter().rev() {
        let path = member.home.join("genesis.json");
        fs::write(&path, genesis.to_json()).map_err(failed("cannot write", &path))?;
    }
    Ok(members)
}

/// The usual ports of node `n`, or free ones where those are taken.
fn ports(n: u16) -> std::io::Result<[u16; 6]> {
    let local = |port| SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
    // All are held until all are found: no port is given twice.
    let mut held = Vec::new();
    for port in BASE_PORTS.map(|port| port + n * STEP) {
        held.push(TcpListener::bind(local(port)).or_else(|_| TcpListener::bind(local(0)))?);
    }
    let mut ports = BASE_PORTS;
    for (port, socket) in ports.iter_mut().zip(&held) {
        *port = socket.local_addr()?.port();
    }
    Ok(ports)
}

impl Member {
    /// Starts its process; what it says goes to `node.log` in its folder.
    ///
    /// # Errors
    /// [`MemberError::Io`].
    pub fn start(&mut self, program: &Path, further: &[String]) -> Result<(), MemberError> {
        let log = self.home.join("node.log");
        let log =
            File::options().create(true).append(true).open(&log).map_err(failed("cannot write", &log))?;
        let copy = log.try_clone().map_err(failed("cannot use the log in", &self.home))?;
        let mut command = Command::new(program);
        command
            .arg("start")
            .arg("--home")
            .arg(&self.home)
            // Should this process be killed, its pipe closes, and the node ends too.
            .arg("--until-stdin-closes")
            .args(further)
            .stdin(Stdio::piped())
            .stdout(copy)
            .stderr(log);
        if std::env::var_os("DODONA_LOG").is_none() {
            command.env("DODONA_LOG", "warn,dodona=info");
        }
        self.child = Some(command.spawn().map_err(failed("cannot start", program))?);
        Ok(())
    }

    /// Its process, while there is one.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// A client at its REST door.
    pub fn client(&self) -> Option<Client<Http>> {
        self.file.doors.rest.map(|rest| Client::new(Http::new(&format!("http://{rest}"))))
    }

    /// Its newest block, if it answers.
    pub fn height(&self) -> Option<u64> {
        self.client()?.status().ok().map(|status| status.height)
    }

    /// How its process has ended, once it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.as_mut()?.try_wait().ok().flatten()?;
        self.child = None;
        Some(status)
    }

    /// The end of its log.
    pub fn last_words(&self) -> String {
        let log = fs::read_to_string(self.home.join("node.log")).unwrap_or_default();
        log.lines().last().unwrap_or("it said nothing").to_string()
    }

    /// As a power cut does it.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Ends every node in order, and by force what does not hear; their names are returned.
pub fn end(members: &mut [Member]) -> Vec<String> {
    for member in members.iter_mut() {
        // The pipe closes, which asks the node to end.
        member.child.iter_mut().for_each(|child| drop(child.stdin.take()));
    }
    let until = Instant::now() + FAREWELL;
    let mut forced = Vec::new();
    for member in members.iter_mut() {
        while member.child.is_some() && member.ended().is_none() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(50));
        }
        if member.child.is_some() {
            forced.push(member.name.clone());
            member.kill();
        }
    }
    forced
}
