//! The doors of published clients: one dispatch table from (method, request bytes) to answer bytes behind gRPC and the
//! CometBFT-shaped RPC. What is about the state is answered by the chain, what is about transactions and blocks here.

mod cosmos;
mod events;
pub(crate) mod grpc;
pub(crate) mod rpc;

use dodona_chain::QueryError;

use crate::NodeHandle;

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

    pub fn internal(message: impl ToString) -> Self {
        Self { code: 13, message: message.to_string() }
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

/// Answers a method such as `/emissions.v10.QueryService/GetTopic`.
pub(crate) fn dispatch(node: &NodeHandle, method: &str, request: &[u8]) -> Result<Vec<u8>, Status> {
    if let Some(name) = method.strip_prefix("/emissions.v10.QueryService/") {
        return node.emissions(name, request).unwrap_or_else(|| Err(Status::unimplemented(method)));
    }
    if method.starts_with("/dodona.") {
        return Ok(node.query(method, request)?);
    }
    cosmos::answer(node, method, request)
}
