//! One node of a network on this machine: its folder, its ports, its process.

use std::{
    fs::{self, File, TryLockError},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use dodona_chain::{Genesis, GenesisAccount, Params};
use dodona_client::{Client, Http};
use dodona_node::{
    config::{CONFIG_FILE, ConfigError, DoorsFile, Moniker, NodeFile},
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
pub(super) const POWER: u64 = 1_000;
/// Ports of one node: validators, transactions, REST, gRPC, RPC, dashboard, metrics.
const BASE_PORTS: [u16; 7] = [26_656, 26_655, 1317, 9090, 26_657, 8080, 26_660];
/// From one node's ports to the next one's.
const STEP: u16 = 10;
/// What a node says, in its folder.
const LOG_FILE: &str = "node.log";
/// Lines at the end of a log in which the reason for the end is looked for: a trace of an engine's part may follow.
const LAST_LINES: usize = 200;
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
    /// Whether they keep an index of events.
    pub index: bool,
    /// Parameters of genesis.
    pub params: Params,
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
    /// What it says, at the end of what it has said.
    pub log: PathBuf,
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
    /// Somebody runs the network in this folder.
    #[error("a network runs in {} already: end it first, or choose another folder", .0.display())]
    InUse(PathBuf),
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
        let log = home.join(LOG_FILE);
        members.push(Member { name: format!("node{n}"), home, file, log, child: None });
    }
    Ok(members)
}

/// The turn to choose ports on this machine: networks that start at the same moment would choose the same ones. Held from
/// the choice until the nodes listen; the system gives it back however the process ends.
pub struct Turn(#[expect(dead_code, reason = "a lock is there to be held")] Option<File>);

impl Turn {
    /// Waits until no other network of this machine is starting.
    #[must_use]
    pub fn take() -> Self {
        let path = std::env::temp_dir().join("dodona-localnet.lock");
        // Where no such file can be made or locked (somebody else's, a strange file system), only the wait is missing.
        let lock = File::options().create(true).append(true).open(path).ok();
        Self(lock.filter(|file| file.lock().is_ok()))
    }
}

/// A folder whose network is run by this process, as long as this lives.
#[derive(Debug)]
pub struct Tenancy(#[expect(dead_code, reason = "a lock is there to be held")] File);

impl Tenancy {
    /// Takes the folder, which is made if there is none.
    ///
    /// # Errors
    /// [`MemberError::InUse`] if another process runs its network; [`MemberError::Io`].
    pub fn take(dir: &Path) -> Result<Self, MemberError> {
        fs::create_dir_all(dir).map_err(failed("cannot make", dir))?;
        let path = dir.join("localnet.lock");
        let file = File::options().create(true).append(true).open(&path);
        let file = file.map_err(failed("cannot write", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(MemberError::InUse(dir.to_path_buf())),
            Err(TryLockError::Error(cause)) => Err(failed("cannot lock", &path)(cause)),
        }
    }
}

/// Waits a while for the ports of a network that was made earlier, as its nodes may still be ending; nodes whose ports
/// somebody else has by now get others, which all settings are told. Whether there were such nodes.
///
/// # Errors
/// [`MemberError::Io`] without a free port, or if the settings cannot be written.
pub fn find_ports(members: &mut [Member]) -> Result<bool, MemberError> {
    let until = Instant::now() + FAREWELL;
    while members.iter().any(Member::is_shut_out) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(50));
    }
    // All are held until all are found: no port is given twice.
    let (mut held, mut moved) = (Vec::new(), Vec::new());
    for member in members.iter_mut() {
        for address in member.file.listens() {
            held.push(
                TcpListener::bind(*address)
                    .or_else(|_| {
                        let free = TcpListener::bind(SocketAddr::new(address.ip(), 0))?;
                        let old = std::mem::replace(address, free.local_addr()?);
                        moved.push((old.to_string(), address.to_string()));
                        Ok(free)
                    })
                    .map_err(failed("no free port for", &member.home))?,
            );
        }
    }
    if moved.is_empty() {
        return Ok(false);
    }
    for member in members.iter_mut() {
        let consensus = &mut member.file.consensus.persistent;
        for text in consensus.iter_mut().chain(&mut member.file.peers.persistent) {
            let (peer, address) = text.split_at(text.find('@').map_or(0, |at| at + 1));
            if let Some((_, new)) = moved.iter().find(|(old, _)| old == address) {
                *text = format!("{peer}{new}");
            }
        }
        let path = member.home.join(CONFIG_FILE);
        // A kill in between leaves the old settings whole.
        let part = path.with_extension("part");
        let written = fs::write(&part, member.file.to_toml()).and_then(|()| fs::rename(&part, &path));
        written.map_err(failed("cannot write", &path))?;
    }
    Ok(true)
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
        file.store.index = plan.index;
        file.doors = DoorsFile {
            rest: Some(local(2)),
            grpc: Some(local(3)),
            rpc: Some(local(4)),
            dashboard: Some(local(5)),
            metrics: Some(local(6)),
        };
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
        params: plan.params.clone(),
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
        let log = home.join(LOG_FILE);
        members.push(Member { name: file.moniker.as_str().to_string(), home, file, log, child: None });
    }
    // Last, and the first node's at the very end: a folder with it is complete.
    for member in members.iter().rev() {
        let path = member.home.join("genesis.json");
        fs::write(&path, genesis.to_json()).map_err(failed("cannot write", &path))?;
    }
    Ok(members)
}

/// The usual ports of node `n`, or free ones where those are taken.
fn ports(n: u16) -> std::io::Result<[u16; 7]> {
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
    /// Whether one of its ports is taken.
    fn is_shut_out(&self) -> bool {
        self.file.clone().listens().into_iter().any(|address| TcpListener::bind(*address).is_err())
    }

    /// Starts its process; what it says goes to `node.log` in its folder.
    ///
    /// # Errors
    /// [`MemberError::Io`].
    pub fn start(&mut self, program: &Path, further: &[String]) -> Result<(), MemberError> {
        self.spawn(Command::new(program), program, further)
    }

    /// The same, but nothing is written behind so many quarters of its store's file: as if the disk refused it.
    ///
    /// # Errors
    /// [`MemberError::Io`].
    pub fn start_limited(&mut self, program: &Path, quarters: u64) -> Result<(), MemberError> {
        let store = self.home.join("chain.redb");
        let length = fs::metadata(&store).map_err(failed("cannot look at", &store))?.len();
        // The shell counts blocks of 512 bytes. Without the trap the system would end the process itself.
        let limit = (length * quarters / 4 / 512).max(1);
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -f {limit}; trap '' XFSZ; exec \"$0\" \"$@\"")]).arg(program);
        self.spawn(shell, program, &[])
    }

    fn spawn(&mut self, mut command: Command, program: &Path, further: &[String]) -> Result<(), MemberError> {
        let log = File::options().create(true).append(true).open(&self.log);
        let log = log.map_err(failed("cannot write", &self.log))?;
        let copy = log.try_clone().map_err(failed("cannot use the log in", &self.home))?;
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

    /// What it said when it ended: the last line of its own that tells an error, or the end of its log. Parts of the
    /// engine may speak after it.
    pub fn last_words(&self) -> String {
        let lines = self.last_lines(LAST_LINES);
        let error = lines.lines().rev().find(|line| line.starts_with("error:") || line.contains("panicked"));
        error.or(lines.lines().last()).unwrap_or_default().to_string()
    }

    /// So many lines of its log, the newest last.
    pub fn last_lines(&self, count: usize) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        match lines.len() {
            0 => "it said nothing".to_string(),
            all => lines[all.saturating_sub(count)..].join("\n"),
        }
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
