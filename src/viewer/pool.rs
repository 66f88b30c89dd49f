//! Readers of the store, each with a connection of its own: four questions are answered at once, the next ones wait.
//!
//! The store may not be there yet, and it may be deleted or replaced: each question is asked of the file that has the
//! name now, or of an empty store while there is none. Whoever looks after the store goes with it.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;

use super::reply::Failure;
use crate::store::StoreError;
use crate::store::maintain::{Limits, Maintainer, Maintenance};
use crate::store::open::Place;
use crate::store::read::{ReadError, Reader};

/// Questions that are answered at once.
pub(super) const READERS: usize = 4;

#[derive(Debug)]
pub(super) struct Pool {
    path: PathBuf,
    idle: Mutex<Vec<Reader>>,
    turns: Semaphore,
    care: Mutex<Care>,
}

/// Who looks after the store.
#[derive(Debug)]
struct Care {
    /// `None` when nobody should.
    limits: Option<Limits>,
    /// The file that was last taken care of.
    place: Place,
    maintenance: Option<Maintenance>,
}

impl Pool {
    /// Readers of the store at `path`, which is looked after if `limits` say how.
    ///
    /// # Errors
    ///
    /// The store cannot be read; that there is none is no error.
    pub(super) fn new(path: PathBuf, limits: Option<Limits>) -> Result<Self, StoreError> {
        let care = Mutex::new(Care { limits, place: None, maintenance: None });
        let pool = Self { path, idle: Mutex::default(), turns: Semaphore::new(READERS), care };
        // A store that cannot be read is better told here than by every request.
        let reader = pool.open()?;
        pool.idle().push(reader);
        Ok(pool)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Reader>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn care(&self) -> MutexGuard<'_, Care> {
        self.care.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> Result<Reader, StoreError> {
        let reader = Reader::open_or_await(&self.path)?;
        let place = reader.database().place();
        let mut care = self.care();
        if care.place != place {
            // The thread of the file before ends first.
            care.maintenance = None;
            care.place = place;
            // A store that cannot be written is still shown.
            let maintainer =
                care.limits.filter(|_| place.is_some()).and_then(|limits| Maintainer::open(&self.path, limits).ok());
            care.maintenance = maintainer.and_then(|maintainer| maintainer.start().ok());
        }
        Ok(reader)
    }

    /// Nobody looks after the store any more.
    pub(super) fn end(&self) {
        let mut care = self.care();
        care.limits = None;
        care.maintenance = None;
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
            let idle = pool.idle().pop();
            let reader = match idle.filter(|reader| reader.database().is_current()) {
                Some(reader) => reader,
                None => pool.open().map_err(ReadError::Store)?,
            };
            let answer = question(&reader);
            // A reader whose store is damaged is not asked again.
            if !answer.as_ref().is_err_and(Failure::is_of_store) {
                pool.idle().push(reader);
            }
            answer
        });
        answered.await.map_err(|_| Failure::internal())?
    }
}
