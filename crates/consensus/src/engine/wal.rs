//! A log that forgets, for a validator that is alone.
//! Its votes leave the process only inside a committed block, so there is nothing a restart could
//! contradict; what it saves is five or six disk flushes per block.

use arc_malachitebft_engine as malachite;
use malachite::wal::{Msg, WalRef};
use ractor::{Actor, ActorProcessingErr, ActorRef, SpawnErr, async_trait};

use crate::types::Ctx;

/// Answers "written" and "nothing to replay".
pub(super) struct Volatile;

impl Volatile {
    pub(super) async fn spawn() -> Result<WalRef<Ctx>, SpawnErr> {
        let (actor, _) = Actor::spawn(None, Volatile, ()).await?;
        Ok(actor)
    }
}

#[async_trait]
impl Actor for Volatile {
    type Msg = Msg<Ctx>;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Self::Msg>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<Self::Msg>,
        message: Self::Msg,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        // An answer nobody waits for any more is no failure.
        match message {
            Msg::StartedHeight(_, reply) => drop(reply.send(Ok(Vec::new()))),
            Msg::Reset(_, reply) | Msg::Append(_, _, reply) | Msg::Flush(reply) => drop(reply.send(Ok(()))),
            Msg::Dump => {}
        }
        Ok(())
    }
}
