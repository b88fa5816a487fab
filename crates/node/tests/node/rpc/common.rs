//! A node with one validator that makes blocks on demand, and two small clients of its RPC: HTTP and websocket.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    time::Duration,
};

use dodona_chain::{Genesis, GenesisAccount, GenesisValidator, Params};
use dodona_client::{Client, Wallet};
use dodona_consensus::SigningKey;
use dodona_node::{Clock, Gate, Height, Home, Node, NodeConfig, NodeHandle, Pace};
use dodona_proto::{ALLO, Address, sign::AccountKey, tx};
use serde_json::{Value, json};

pub fn validator_key() -> SigningKey {
    SigningKey::from_bytes(&[3; 32])
}

pub fn person(name: &str) -> AccountKey {
    AccountKey::from_seed(1, name)
}

pub fn genesis() -> Genesis {
    let accounts = ["alice", "bob"]
        .map(|name| GenesisAccount { address: person(name).address().to_string(), balance: 1_000 * ALLO });
    Genesis {
        chain_id: "localnet".into(),
        time_ms: 1_000,
        params: Params::default(),
        admins: Vec::new(),
        accounts: accounts.into(),
        validators: vec![GenesisValidator {
            public_key: hex::encode(validator_key().verifying_key().to_bytes()),
            power: 10,
            operator: person("alice").address().to_string(),
            ..GenesisValidator::default()
        }],
    }
}

pub struct Running {
    pub node: Node,
    pub gate: Gate,
    pub rpc: Rpc,
    pub alice: Wallet,
    pub bob: Wallet,
    pub client: Client<NodeHandle>,
}

impl Running {
    pub async fn start(dir: &Path) -> Self {
        Self::keeping(dir, 0).await
    }

    pub async fn keeping(dir: &Path, index_blocks: u64) -> Self {
        Self::of(dir, genesis(), index_blocks).await
    }

    pub async fn of(dir: &Path, genesis: Genesis, index_blocks: u64) -> Self {
        let home = Home::open(dir, genesis, validator_key()).unwrap();
        let rpc = dodona_node::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let gate = Gate::new();
        let node = Node::start(NodeConfig {
            index_blocks: Some(index_blocks),
            rpc: Some(rpc),
            ..NodeConfig::quiet(home, Clock::Steps(1_000), Pace::OnDemand(gate.clone()))
        })
        .await
        .unwrap();
        let rpc = Rpc(node.rpc_address().unwrap());
        let client = Client::new(node.handle().clone());
        let (alice, bob) = (Wallet::new(person("alice")), Wallet::new(person("bob")));
        Self { node, gate, rpc, alice, bob, client }
    }

    /// Makes so many blocks and gives the height of the last.
    pub async fn blocks(&self, count: u64) -> u64 {
        let next = self.node.handle().head().height + count;
        self.gate.open_until(Height(next));
        self.node.handle().reached(next).await;
        next
    }

    /// A transfer from alice to bob waits for a block.
    pub fn send(&mut self, amount: u128) -> String {
        let (from, to) = (self.alice.address(), self.bob.address());
        hex::encode_upper(self.alice.send(&self.client, vec![tx::send(from, to, amount)], 100_000).unwrap())
    }

    /// A transfer from bob to alice waits for a block.
    pub fn send_back(&mut self, amount: u128) -> String {
        let (from, to) = (self.bob.address(), self.alice.address());
        hex::encode_upper(self.bob.send(&self.client, vec![tx::send(from, to, amount)], 100_000).unwrap())
    }

    pub async fn stop(self) {
        drop(self.client);
        self.node.stop().await.unwrap();
    }
}

/// A transfer of `amount` to oneself, as bytes.
pub fn transfer(name: &str, account_number: u64, sequence: u64, amount: u128) -> Vec<u8> {
    let key = person(name);
    let to: Address = key.address();
    tx::Signing {
        key: &key,
        chain_id: "localnet",
        account_number,
        sequence,
        fee: 1_000_000,
        gas_limit: 100_000,
    }
    .build(vec![tx::send(to, to, amount)], 0)
}

#[derive(Copy, Clone)]
pub struct Rpc(pub SocketAddr);

impl Rpc {
    fn connect(self) -> TcpStream {
        let socket = TcpStream::connect(self.0).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        socket
    }

    /// Status line, head and body.
    pub fn raw(self, request: &[u8]) -> (String, String) {
        let mut socket = self.connect();
        socket.write_all(request).unwrap();
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        (head.to_string(), body.to_string())
    }

    pub fn post(self, body: &[u8]) -> (String, String) {
        let head = format!(
            "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.raw(&[head.as_bytes(), body].concat())
    }

    /// The whole answer to a request body.
    pub fn ask(self, body: &Value) -> Value {
        serde_json::from_str(&self.post(body.to_string().as_bytes()).1).unwrap()
    }

    /// The answer to a method: result and error are both in it.
    pub fn answer(self, method: &str, params: Value) -> Value {
        self.ask(&json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params }))
    }

    /// The result of a method that must have one.
    pub fn result(self, method: &str, params: Value) -> Value {
        let mut answer = self.answer(method, params);
        assert!(answer["error"].is_null() && answer["id"] == 7, "{method}: {answer}");
        answer["result"].take()
    }

    /// Code and message of a method that must fail.
    pub fn error(self, method: &str, params: Value) -> (i64, String) {
        let answer = self.answer(method, params);
        (answer["error"]["code"].as_i64().unwrap(), answer["error"]["message"].as_str().unwrap().to_string())
    }

    /// The answer at an address.
    pub fn get(self, path: &str) -> Value {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        serde_json::from_str(&self.raw(request.as_bytes()).1).unwrap()
    }

    pub fn websocket(self) -> Socket {
        let mut socket = self.connect();
        let request = "GET /websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        socket.write_all(request.as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
        Socket(socket)
    }
}

/// The client's end of a websocket.
pub struct Socket(TcpStream);

pub enum Frame {
    Text(String),
    Ping,
    Pong,
    Close(u16, String),
}

impl Socket {
    pub fn write(&mut self, opcode: u8, payload: &[u8]) {
        let mut frame = vec![0x80 | opcode];
        match payload.len() {
            length @ 0..126 => frame.push(0x80 | length as u8),
            length @ 126..65_536 => {
                frame.push(0x80 | 126);
                frame.extend((length as u16).to_be_bytes());
            }
            length => {
                frame.push(0x80 | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        // A mask of zeros leaves the payload as it is.
        frame.extend([0; 4]);
        frame.extend(payload);
        // The other end may have hung up, which reading will tell.
        let _ = self.0.write_all(&frame);
    }

    pub fn send(&mut self, request: &Value) {
        self.write(1, request.to_string().as_bytes());
    }

    /// The next frame; none when the connection has ended.
    pub fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).ok()?;
        let mut length = u64::from(head[1] & 0x7f);
        if length >= 126 {
            let mut bytes = [0; 8];
            let from = if length == 126 { 6 } else { 0 };
            self.0.read_exact(&mut bytes[from..]).ok()?;
            length = u64::from_be_bytes(bytes);
        }
        let mut payload = vec![0; length as usize];
        self.0.read_exact(&mut payload).ok()?;
        Some(match head[0] & 0x0f {
            1 => Frame::Text(String::from_utf8(payload).unwrap()),
            8 => {
                let code = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                Frame::Close(code, String::from_utf8_lossy(payload.get(2..).unwrap_or_default()).into_owned())
            }
            9 => Frame::Ping,
            10 => Frame::Pong,
            other => panic!("opcode {other}"),
        })
    }

    /// The next text, as JSON.
    pub fn next(&mut self) -> Value {
        loop {
            match self.read() {
                Some(Frame::Text(text)) => return serde_json::from_str(&text).unwrap(),
                Some(Frame::Ping | Frame::Pong) => {}
                Some(Frame::Close(code, reason)) => panic!("closed: {code} {reason}"),
                None => panic!("ended"),
            }
        }
    }

    /// A request and its answer, which must be the next text.
    pub fn ask(&mut self, id: Value, method: &str, params: Value) -> Value {
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        let answer = self.next();
        assert_eq!(answer["id"], id, "{answer}");
        answer
    }
}
