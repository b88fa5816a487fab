//! A task that follows the chain for somebody outside it, and how it is told to end. It is never cut off: what it has
//! begun on another thread would go on there, and hold the store that its node has given back.

use std::sync::Arc;

use tokio::{sync::Notify, task::JoinHandle};

/// Said once, when it is time to end; who listens later hears it too.
#[derive(Clone)]
pub(crate) struct Farewell(Arc<Notify>);

impl Farewell {
    /// What `news` comes to, or none if the farewell comes first.
    pub(crate) async fn or<A>(&self, news: impl Future<Output = A>) -> Option<A> {
        tokio::select! {
            () = self.0.notified() => None,
            told = news => Some(told),
        }
    }
}

/// A running task of this kind.
pub(crate) struct Follower {
    task: JoinHandle<()>,
    farewell: Farewell,
}

impl Follower {
    /// Starts `follow`, which returns soon after its farewell.
    pub(crate) fn start<F: Future<Output = ()> + Send + 'static>(
        follow: impl FnOnce(Farewell) -> F,
    ) -> Follower {
        let farewell = Farewell(Arc::new(Notify::new()));
        Follower { task: tokio::spawn(follow(farewell.clone())), farewell }
    }

    /// Says farewell and waits; what is under way is finished. A panic of the task is told by the runtime.
    pub(crate) async fn end(self) {
        self.farewell.0.notify_one();
        let _ = self.task.await;
    }
}
