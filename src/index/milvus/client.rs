//! Calls of a server, none of which lasts longer than it may.

use std::future::Future;
use std::time::Duration;

use milvus::v2::prelude::*;
use tokio::runtime::Runtime;

use crate::{Error, ErrorKind, Result};

use super::config::MilvusConfig;

/// Longer than anyone waits, and short enough to be added to a time.
pub(super) const FOREVER: Duration = Duration::from_secs(86_400);

pub(super) type Answer<T> = milvus::v2::error::Result<T>;

/// A runtime that may be dropped anywhere: waiting for its tasks, as it would otherwise do, is
/// forbidden within asynchronous code.
pub(super) struct Background(pub(super) Option<Runtime>);

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Background {
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.0 {
            drop(runtime.spawn(task));
        }
    }
}

/// Waits until a collection can be searched.
pub(super) async fn load(client: &ClientV2, name: &str) -> Answer<()> {
    let request = LoadCollectionRequest::builder()
        .collection_name(name)
        .sync(true)
        .build()?;
    client.load_collection(request).await
}

/// What `ask` gives, asked again where the collection has to be loaded first: a server that was
/// started anew may have to be told what to hold in memory.
pub(super) async fn or_load<T, F: Future<Output = Answer<T>>>(
    client: &ClientV2,
    name: &str,
    ask: impl Fn() -> F,
) -> Answer<T> {
    match ask().await {
        Err(error) if is_not_loaded(&error) => {
            load(client, name).await?;
            ask().await
        }
        answer => answer,
    }
}

/// Whether a server refuses since it does not hold the collection in memory. Servers of different
/// kinds have different codes for that (101 and 110), and both speak of loading.
pub(super) fn is_not_loaded(error: &milvus::v2::error::Error) -> bool {
    match error {
        milvus::v2::error::Error::Server(error) => {
            let reason = error.reason().to_lowercase();
            reason.contains("not loaded") || reason.contains("load()")
        }
        milvus::v2::error::Error::RetryExhausted { source, .. } => is_not_loaded(source),
        _ => false,
    }
}

/// Whether there was such a collection.
pub(super) async fn drop_if_there(client: &ClientV2, name: &str) -> Answer<bool> {
    let request = HasCollectionRequest::builder()
        .collection_name(name)
        .build()?;
    let there = client.has_collection(request).await?.exists();
    if there {
        let request = DropCollectionRequest::builder()
            .collection_name(name)
            .build()?;
        client.drop_collection(request).await?;
    }
    Ok(there)
}

/// Waits for an answer until the deadline. The work is done on the runtime's own thread, so that
/// the caller may be an asynchronous task himself.
pub(super) fn wait<T: Send + 'static>(
    runtime: &Background,
    config: &MilvusConfig,
    action: &'static str,
    answer: impl Future<Output = Answer<T>> + Send + 'static,
) -> Result<T> {
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    let deadline = config.deadline;
    runtime.spawn(async move {
        let answer = tokio::time::timeout(deadline, answer).await;
        // Nobody waits any more where the receiver is gone.
        let _ = sender.send(answer);
    });
    let late = || {
        Error::from(ErrorKind::Deadline {
            address: config.address.clone(),
            action,
            seconds: deadline.as_secs_f64(),
        })
    };
    // A little more than the deadline, since the task itself keeps to it.
    let answer = receiver.recv_timeout(deadline + deadline / 10);
    match answer.map_err(|_| late())? {
        Err(_) => Err(late()),
        Ok(Err(error)) => Err(ErrorKind::Server {
            address: config.address.clone(),
            action,
            reason: error.to_string(),
        }
        .into()),
        Ok(Ok(value)) => Ok(value),
    }
}
