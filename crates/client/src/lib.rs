//! The Rust SDK: typed questions to a node, and a wallet that signs and sends. How bytes reach the node is a
//! [`Transport`]: the one in memory lives with the node, [`Http`] speaks to a node's REST door.

mod http;
pub mod keys;
pub mod staking;
mod wallet;

use dodona_proto::{
    chain::{
        QueryAccountRequest, QueryAccountResponse, QueryStatusRequest, QueryStatusResponse,
        QueryTrustRequest, QueryTrustResponse, QueryTxRequest, TxReceipt,
    },
    path,
    topics::{
        LeaderboardRow, QueryEpochRequest, QueryEpochResponse, QueryEpochsRequest, QueryEpochsResponse,
        QueryExplainRequest, QueryExplainResponse, QueryLeaderboardRequest, QueryLeaderboardResponse,
        QueryParamsRequest, QueryParamsResponse, QueryProofRequest, QueryProofResponse, QueryTopicRequest,
        QueryTopicResponse, QueryTopicsRequest, QueryTopicsResponse, QueryTrailRequest, QueryTrailResponse,
        QueryWindowsRequest, QueryWindowsResponse,
    },
    tx::TxHash,
};
use prost::Message;

pub use http::{Http, agent};
pub use wallet::{Signed, Wallet};

/// The way to a node.
pub trait Transport {
    /// Asks one of `dodona_proto::path`.
    fn query(&self, path: &str, request: &[u8]) -> Result<Vec<u8>, ClientError>;

    /// Hands a signed transaction in. Accepted means: waiting for a block.
    fn broadcast(&self, tx: &[u8]) -> Result<TxHash, ClientError>;
}

impl<T: Transport + ?Sized> Transport for &T {
    fn query(&self, path: &str, request: &[u8]) -> Result<Vec<u8>, ClientError> {
        (**self).query(path, request)
    }

    fn broadcast(&self, tx: &[u8]) -> Result<TxHash, ClientError> {
        (**self).broadcast(tx)
    }
}

/// Why the node did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The chain refused a transaction; code and text are the chain's.
    #[error("{log} ({codespace} {code})")]
    Refused {
        /// Module.
        codespace: String,
        /// Stable number in the module.
        code: u32,
        /// Cause and fix.
        log: String,
    },
    /// What was asked for does not exist.
    #[error("not found: {0}")]
    NotFound(String),
    /// The node did not answer, or not what was asked.
    #[error("node: {0}")]
    Node(String),
}

impl ClientError {
    /// Whether the chain expected another sequence number.
    pub fn is_sequence_mismatch(&self) -> bool {
        matches!(self, Self::Refused { codespace, code: 32, .. } if codespace == "sdk")
    }

    /// Whether the price of gas has risen above what was offered.
    pub fn is_fee_too_low(&self) -> bool {
        matches!(self, Self::Refused { codespace, code: 13, .. } if codespace == "sdk")
    }

    /// Whether the participant had already had its say in this epoch.
    pub fn is_already_submitted(&self) -> bool {
        matches!(self, Self::Refused { codespace, code: 78, .. } if codespace == "emissions")
    }
}

/// Typed questions over a transport.
#[derive(Clone, Debug)]
pub struct Client<T> {
    transport: T,
}

impl<T: Transport> Client<T> {
    /// A client over this transport.
    pub fn new(transport: T) -> Self {
        Self { transport }
    }

    /// The transport below.
    pub fn transport(&self) -> &T {
        &self.transport
    }

    /// Chain id, height, root, supply.
    pub fn status(&self) -> Result<QueryStatusResponse, ClientError> {
        self.ask(path::STATUS, &QueryStatusRequest {})
    }

    /// Number, sequence and balance.
    pub fn account(&self, address: String) -> Result<QueryAccountResponse, ClientError> {
        self.ask(path::ACCOUNT, &QueryAccountRequest { address })
    }

    /// What became of a transaction, once it is in a block.
    pub fn tx(&self, hash: TxHash) -> Result<TxReceipt, ClientError> {
        self.ask(path::TX, &QueryTxRequest { hash: hash.to_vec() })
    }

    /// A topic.
    pub fn topic(&self, topic_id: u64) -> Result<QueryTopicResponse, ClientError> {
        self.ask(path::TOPIC, &QueryTopicRequest { topic_id })
    }

    /// Epochs of a topic that still accept something.
    pub fn windows(&self, topic_id: u64) -> Result<QueryWindowsResponse, ClientError> {
        self.ask(path::WINDOWS, &QueryWindowsRequest { topic_id })
    }

    /// One epoch; nonce 0 is the newest that has an inference.
    pub fn epoch(&self, topic_id: u64, nonce: u64) -> Result<QueryEpochResponse, ClientError> {
        self.ask(path::EPOCH, &QueryEpochRequest { topic_id, nonce, resistant: false })
    }

    /// Epochs from a consecutive number on, oldest first, at most `limit` (0: as many as a page holds).
    pub fn epochs(
        &self,
        topic_id: u64,
        from_epoch: u64,
        limit: u32,
    ) -> Result<QueryEpochsResponse, ClientError> {
        self.ask(path::EPOCHS, &QueryEpochsRequest { topic_id, from_epoch, limit })
    }

    /// Everybody who was ever heard in a topic, page by page.
    pub fn leaderboard(&self, topic_id: u64) -> Result<QueryLeaderboardResponse, ClientError> {
        let mut rows: Vec<LeaderboardRow> = Vec::new();
        let mut start_after = String::new();
        loop {
            let request = QueryLeaderboardRequest { topic_id, start_after, limit: 0 };
            let page: QueryLeaderboardResponse = self.ask(path::LEADERBOARD, &request)?;
            rows.extend(page.rows);
            if page.next.is_empty() {
                return Ok(QueryLeaderboardResponse { rows, next: String::new() });
            }
            start_after = page.next;
        }
    }

    /// Topics after a number, a page of them.
    pub fn topics(&self, after_id: u64) -> Result<QueryTopicsResponse, ClientError> {
        self.ask(path::TOPICS, &QueryTopicsRequest { after_id, limit: 0, due_block: 0 })
    }

    /// Parameters of the chain.
    pub fn params(&self) -> Result<QueryParamsResponse, ClientError> {
        self.ask(path::PARAMS, &QueryParamsRequest {})
    }

    /// Why an account earned what it earned; nonce 0: in the newest scored epoch; no address: the topic's side only.
    pub fn explain(
        &self,
        topic_id: u64,
        nonce: u64,
        address: String,
    ) -> Result<QueryExplainResponse, ClientError> {
        self.ask(path::EXPLAIN, &QueryExplainRequest { topic_id, nonce, address })
    }

    /// Inputs of an epoch's computations, while the node keeps them.
    pub fn trail(&self, topic_id: u64, nonce: u64) -> Result<QueryTrailResponse, ClientError> {
        self.ask(path::TRAIL, &QueryTrailRequest { topic_id, nonce })
    }

    /// Proof of a topic's newest inference (nonce 0), or of that with this nonce, or that there is none, in the state
    /// after a block (0: the newest), as a document for `dodona verify`. With a trusted height, 0 for genesis, come the
    /// blocks that lead there from it.
    pub fn proof(
        &self,
        topic_id: u64,
        nonce: u64,
        height: u64,
        trusted_height: Option<u64>,
    ) -> Result<String, ClientError> {
        let request = QueryProofRequest {
            topic_id,
            nonce,
            height,
            trusted_height: trusted_height.unwrap_or(0),
            has_trusted_height: trusted_height.is_some(),
        };
        Ok(self.ask::<QueryProofResponse>(path::PROOF, &request)?.document)
    }

    /// What a verifier of proofs starts from, if it believes this node: the validators that decide after a block (0:
    /// the newest).
    pub fn trust(&self, height: u64) -> Result<String, ClientError> {
        Ok(self.ask::<QueryTrustResponse>(path::TRUST, &QueryTrustRequest { height })?.document)
    }

    /// Any question of `dodona_proto::path`.
    pub fn ask<A: Message + Default>(&self, path: &str, request: &impl Message) -> Result<A, ClientError> {
        let bytes = self.transport.query(path, &request.encode_to_vec())?;
        A::decode(bytes.as_slice()).map_err(|e| ClientError::Node(format!("answer does not decode: {e}")))
    }
}
