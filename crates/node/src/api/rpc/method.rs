//! The list of methods: name, parameters in the order of their places, and who answers. What stands here is served over
//! POST, over addresses and over the websocket alike.

use serde_json::Value;

use super::{about, blocks, params::Params, txs};
use crate::{NodeHandle, api::Status};

/// A method of the RPC.
pub(super) struct Method {
    pub name: &'static str,
    /// Names of its parameters.
    pub params: &'static [&'static str],
    pub answer: Answer,
}

/// How a method is answered.
#[derive(Copy, Clone)]
pub(super) enum Answer {
    /// From what is there; it reads the disk.
    Now(fn(&NodeHandle, &Params) -> Result<Value, Status>),
    /// The same, by way of the index of events, which few may search at once.
    Search(fn(&NodeHandle, &Params) -> Result<Value, Status>),
    /// When a transaction is in a block.
    Included,
    /// Only on a websocket, which keeps subscriptions.
    Socket,
}

use Answer::{Included, Now, Search, Socket};

macro_rules! methods {
    ($($name:ident($($param:ident),*) $answer:expr;)+) => {
        /// All of them.
        pub(super) const METHODS: &[Method] =
            &[$(Method { name: stringify!($name), params: &[$(stringify!($param)),*], answer: $answer }),+];
    };
}

methods! {
    health() Now(about::health);
    status() Now(about::status);
    net_info() Now(about::net_info);
    genesis() Now(about::genesis);
    genesis_chunked(chunk) Now(about::genesis_chunked);
    abci_info() Now(about::abci_info);
    abci_query(path, data, height, prove) Now(about::abci_query);
    consensus_params(height) Now(about::consensus_params);
    consensus_state() Now(about::consensus_state);
    validators(height, page, per_page) Now(about::validators);
    blockchain(minHeight, maxHeight) Now(blocks::blockchain);
    block(height) Now(blocks::block);
    block_by_hash(hash) Search(blocks::block_by_hash);
    block_results(height) Now(blocks::block_results);
    block_search(query, page, per_page, order_by) Search(blocks::block_search);
    header(height) Now(blocks::header);
    header_by_hash(hash) Search(blocks::header_by_hash);
    commit(height) Now(blocks::commit);
    tx(hash, prove) Now(txs::tx);
    tx_search(query, prove, page, per_page, order_by) Search(txs::tx_search);
    check_tx(tx) Now(txs::check_tx);
    broadcast_tx_sync(tx) Now(txs::broadcast);
    broadcast_tx_async(tx) Now(txs::broadcast);
    broadcast_tx_commit(tx) Included;
    num_unconfirmed_txs() Now(txs::num_unconfirmed_txs);
    unconfirmed_txs(limit) Now(txs::unconfirmed_txs);
    broadcast_evidence(evidence) Now(about::broadcast_evidence);
    subscribe(query) Socket;
    unsubscribe(query) Socket;
    unsubscribe_all() Socket;
}

/// A method by its name.
pub(super) fn find(name: &str) -> Result<&'static Method, Status> {
    METHODS.iter().find(|method| method.name == name).ok_or_else(|| Status::unimplemented(name))
}
