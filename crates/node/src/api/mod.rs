//! The doors of published clients: one dispatch table from (method, request bytes) to answer bytes behind gRPC, the
//! REST gateway and the CometBFT-shaped RPC. What is about the state is answered by the chain, what is about
//! transactions and blocks here.

mod board;
mod chart;
mod cosmos;
#[cfg(test)]
mod crowd;
pub(crate) mod events;
pub(crate) mod gateway;
pub(crate) mod grpc;
mod live;
pub(crate) mod native;
pub(crate) mod otherwise;
mod roster;
pub(crate) mod rpc;
mod subnets;
pub(crate) mod told;

use std::time::Duration;

use dodona_chain::QueryError;
use dodona_proto::{
    cosmos::{auth::v1beta1::QueryAccountInfoRequest, tx::v1beta1::GetTxRequest},
    tx::TxHash,
};
use dodona_store::StoreError;
use prost::Message;
use tokio::{sync::Semaphore, time::Instant};

use crate::{
    NodeHandle,
    doors::{self, Visitor},
};

/// How long a question about a waiting transaction is held back. Shorter than what the doors allow a request.
const MAX_WAIT: Duration = Duration::from_secs(8);
/// Questions held back at once, of all nodes in this process; beyond that the answer is what is known now.
static WAITERS: Semaphore = Semaphore::const_new(64);

/// Why a method has no answer, in the numbers of gRPC.
#[derive(Debug)]
pub(crate) struct Status {
    pub code: u32,
    pub message: String,
}

impl Status {
    pub fn unknown(message: impl ToString) -> Self {
        Self { code: 2, message: message.to_string() }
    }

    pub fn invalid(message: impl ToString) -> Self {
        Self { code: 3, message: message.to_string() }
    }

    pub fn not_found(message: impl ToString) -> Self {
        Self { code: 5, message: message.to_string() }
    }

    pub fn unimplemented(method: &str) -> Self {
        Self { code: 12, message: format!("method {method} is not served here") }
    }

    pub fn unavailable(message: impl ToString) -> Self {
        Self { code: 14, message: message.to_string() }
    }

    pub fn internal(message: impl ToString) -> Self {
        Self { code: 13, message: message.to_string() }
    }
}

impl From<StoreError> for Status {
    fn from(error: StoreError) -> Self {
        QueryError::from(error).into()
    }
}

impl From<QueryError> for Status {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Unknown(name) => Self::unimplemented(&name),
            QueryError::Bad(cause) => Self::invalid(cause),
            QueryError::NotFound(what) => Self::not_found(format!("{what}: not found")),
            QueryError::Internal(cause) => Self::internal(cause),
        }
    }
}

/// Whether any method of a service is answered here, by the service's full name.
fn serves(service: &str) -> bool {
    let prefix = format!("/{service}/");
    dodona_proto::methods().iter().any(|(path, ..)| path.starts_with(&prefix))
}

/// Answers a method such as `/emissions.v10.QueryService/GetTopic` from the state after block `at`; 0 is the newest.
pub(crate) fn dispatch(node: &NodeHandle, method: &str, request: &[u8], at: u64) -> Result<Vec<u8>, Status> {
    if method.starts_with("/dodona.") || method.starts_with("/emissions.") {
        return node.query_at(method, request, at).map_err(|error| match error {
            QueryError::Unknown(_) => Status::unimplemented(method),
            other => other.into(),
        });
    }
    cosmos::answer(node, method, request, at)
}

/// An answer, and the height of the state it is of.
pub(crate) struct Answered {
    pub height: u64,
    pub bytes: Vec<u8>,
}

/// [`dispatch`] for doors: the disk is read on a thread for such work, and whoever asks for a transaction that waits
/// for a block learns what became of it, instead of asking again and again. `wanted` is a height, or 0 for the newest.
pub(crate) async fn call(
    node: NodeHandle,
    method: String,
    request: Vec<u8>,
    wanted: u64,
) -> Result<Answered, Status> {
    if method == cosmos::tx::GET_TX
        && let Some(hash) = GetTxRequest::decode(request.as_slice()).ok().and_then(|q| tx_hash(&q.hash).ok())
    {
        decided(&node, hash).await?;
    }
    // The newest state is chosen when it is this question's turn, from the store itself: it may be ahead of what
    // watchers have been told.
    let (reader, searching) = (node.clone(), is_search(&method));
    let answer = move || {
        let newest = || reader.app().store().version().unwrap_or(0);
        let height = if wanted == 0 { newest() } else { wanted };
        Ok(Answered { height, bytes: dispatch(&reader, &method, &request, height)? })
    };
    if searching { self::searching(&node, answer).await? } else { aside(answer).await? }
}

/// Whether a method searches the index of events: those are answered in [`searching`].
pub(crate) fn is_search(method: &str) -> bool {
    method == cosmos::tx::SEARCH
}

/// [`aside`] for what searches the index, once it is its turn: searches of all doors stand in one line, and none of
/// them holds a thread while it waits.
pub(crate) async fn searching<A: Send + 'static>(
    node: &NodeHandle,
    work: impl FnOnce() -> A + Send + 'static,
) -> Result<A, Status> {
    let turn = node.index().turn(node.head().height).await?;
    aside(move || {
        let _turn = turn;
        work()
    })
    .await
}

/// Development networks: an address that nobody has heard of is given something before a question about it is answered.
/// Doors call this for questions about the newest state.
pub(crate) async fn welcome(node: &NodeHandle, visitor: &Visitor, method: &str, request: &[u8]) {
    if node.has_faucet()
        && cosmos::ABOUT_AN_ACCOUNT.contains(&method)
        // The address is the first field of all of them.
        && let Ok(question) = QueryAccountInfoRequest::decode(request)
    {
        node.welcome(&question.address, visitor).await;
    }
}

/// Returns when a transaction does not wait any more, or not longer than [`MAX_WAIT`]. No thread is held meanwhile.
async fn decided(node: &NodeHandle, hash: TxHash) -> Result<(), Status> {
    let mut heads = node.heads();
    let end = Instant::now() + MAX_WAIT;
    let mut permit = None;
    loop {
        heads.mark_unchanged();
        let asked = node.clone();
        if !aside(move || asked.waits(&hash)).await? {
            return Ok(());
        }
        if permit.is_none() {
            permit = WAITERS.try_acquire().ok();
        }
        if permit.is_none() || !matches!(tokio::time::timeout_at(end, heads.changed()).await, Ok(Ok(()))) {
            return Ok(());
        }
    }
}

/// Runs what reads the disk, or waits for a lock, on a thread for such work. Panics there are told by the runtime, not
/// to the caller.
pub(crate) async fn aside<A: Send + 'static>(work: impl FnOnce() -> A + Send + 'static) -> Result<A, Status> {
    doors::aside(work).await.ok_or_else(|| Status::internal("the answer was interrupted"))
}

/// A transaction's hash as it is written: 64 hex digits.
pub(crate) fn tx_hash(text: &str) -> Result<TxHash, Status> {
    let mut hash = TxHash::default();
    hex::decode_to_slice(text, &mut hash)
        .map_err(|_| Status::invalid("a transaction hash has 64 hex digits"))?;
    Ok(hash)
}

#[cfg(test)]
pub(crate) mod tests {
    use dodona_chain::{Genesis, GenesisValidator, Params};
    use dodona_consensus::SigningKey;
    use dodona_proto::{cosmos::tx::v1beta1::GetTxsEventRequest, sign::AccountKey};
    use serde_json::json;

    use super::*;
    use crate::{Clock, Gate, Home, Node, NodeConfig, Pace};

    /// A node without doors that makes no block unless it is told to.
    pub(crate) async fn node(dir: &std::path::Path) -> (Node, Gate) {
        let key = SigningKey::from_bytes(&[3; 32]);
        let genesis = Genesis {
            chain_id: "localnet".into(),
            time_ms: 1_000,
            params: Params::default(),
            admins: Vec::new(),
            accounts: Vec::new(),
            validators: vec![GenesisValidator {
                public_key: hex::encode(key.verifying_key().to_bytes()),
                power: 10,
                operator: AccountKey::from_seed(1, "alice").address().to_string(),
                ..GenesisValidator::default()
            }],
        };
        let (home, gate) = (Home::open(dir, genesis, key).unwrap(), Gate::new());
        let config = NodeConfig::quiet(home, Clock::Steps(1_000), Pace::OnDemand(gate.clone()));
        (Node::start(config).await.unwrap(), gate)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn searches_that_wait_keep_no_other_answer_back() {
        let dir = tempfile::tempdir().unwrap();
        let (node, _gate) = self::node(dir.path()).await;
        let handle = node.handle().clone();
        // Somebody else's searches go on and on.
        let mut others = Vec::new();
        while let Some(turn) = doors::search_turn(Instant::now()).await {
            others.push(turn);
        }
        let query = "message.sender='x'".to_string();
        let request = GetTxsEventRequest { query, ..Default::default() }.encode_to_vec();
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..100 {
            waiting.spawn(call(handle.clone(), cosmos::tx::SEARCH.into(), request.clone(), 0));
        }
        for method in ["abci_query", "tx_search", "block_search", "block_by_hash"] {
            let params = json!({
                "path": cosmos::tx::SEARCH, "data": hex::encode(&request), "query": "a.b='x'", "hash": "00".repeat(32),
            });
            let asked = rpc::ask(handle.clone(), method, params);
            waiting.spawn(async move { Ok(Answered { height: 0, bytes: asked.await?.into_bytes() }) });
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        let begun = Instant::now();
        for _ in 0..20 {
            call(handle.clone(), dodona_proto::path::STATUS.into(), Vec::new(), 0).await.unwrap();
        }
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        assert_eq!(waiting.len(), 104);
        // One turn ends: one search is answered, and its turn is the next one's.
        others.pop();
        while let Some(done) = waiting.join_next().await {
            assert!(done.unwrap().is_ok());
        }
        // Where no turn comes, a search is told so within seconds.
        while let Some(turn) = doors::search_turn(Instant::now()).await {
            others.push(turn);
        }
        let refused = call(handle, cosmos::tx::SEARCH.into(), request, 0).await.err().unwrap();
        assert_eq!(refused.code, 14, "{}", refused.message);
        drop(others);
        node.stop().await.unwrap();
    }
}
