//! Readers of the store, each with a connection of its own: four questions are answered at once, the next ones wait.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Semaphore;

use super::reply::Failure;
use crate::store::read::{ReadError, Reader};

/// Questions that are answered at once.
pub(super) const READERS: usize = 4;

#[derive(Debug)]
pub(super) struct Pool {
    path: PathBuf,
    idle: Mutex<Vec<Reader>>,
    turns: Semaphore,
}

impl Pool {
    pub(super) fn new(path: PathBuf, reader: Reader) -> Self {
        Self { path, idle: Mutex::new(vec![reader]), turns: Semaphore::new(READERS) }
    }

    pub(super) fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Asks a reader, away from the thread that serves connections.
    pub(super) async fn ask<T: Send + 'static>(
        self: &std::sync::Arc<Self>,
        question: impl FnOnce(&Reader) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let _turn = self.turns.acquire().await.map_err(|_| Failure::internal())?;
        let pool = std::sync::Arc::clone(self);
        let answered = tokio::task::spawn_blocking(move || {
            let idle = pool.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let reader = match idle {
                Some(reader) => reader,
                None => Reader::open(&pool.path).map_err(ReadError::Store)?,
            };
            let answer = question(&reader);
            // A reader whose store is damaged or gone is not asked again.
            if !answer.as_ref().is_err_and(Failure::is_of_store) {
                pool.idle.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
            }
            answer
        });
        answered.await.map_err(|_| Failure::internal())?
    }
}
