//! What is read from a store: by the command line, the page and `open_store`.
//!
//! ```text
//! Reader --one snapshot, 5 s at most--> SQLite --> structs --> JSON text (json.rs)
//! ```
//!
//! One file for each question. Filters become SQL with parameters only (`filter.rs`). Nothing here writes: scores are
//! written by `store::scores`, derived tables by `store::maintain`.

pub mod compare;
pub(super) mod content;
pub mod delta;
pub mod errors;
pub mod facets;
pub mod filter;
mod filter_sql;
pub mod graph;
pub mod json;
pub mod live;
mod messages;
pub mod metrics;
mod open_spans;
pub(crate) mod otlp;
pub mod page;
mod processes;
pub mod scores;
pub mod search;
pub mod sessions;
pub mod sketch;
pub mod span;
mod sql;
pub mod status;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
pub mod trace;
pub mod traces;
pub mod words;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, ErrorCode};
use thiserror::Error;

pub use filter::{Filter, FilterError};
pub use json::Json;
pub use page::{ListQuery, Window};
pub use words::{Status, Tokens};

use super::{Access, Database, StoreError};

/// How long one question may take; then it is cancelled.
pub const QUERY_LIMIT: Duration = Duration::from_secs(5);
/// Instructions of SQLite's between two looks at the clock: some ten microseconds.
const INSTRUCTIONS: i32 = 4_000;

/// Why there is no answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The store itself.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The filter cannot be read.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// There is no such thing.
    #[error("there is no {what} {id:?} in this store")]
    NotFound {
        /// What was asked for.
        what: &'static str,
        /// By what id.
        id: String,
    },
    /// A prefix fits several traces.
    #[error("{prefix} is the beginning of several trace ids")]
    Ambiguous {
        /// What was given.
        prefix: String,
        /// Some of the ids, newest first.
        candidates: Vec<String>,
    },
    /// It took over [`QUERY_LIMIT`].
    #[error("the query took over {} s and was cancelled: choose a shorter time", QUERY_LIMIT.as_secs())]
    Slow,
    /// A parameter makes no sense; the sentence says which and what it takes.
    #[error("{0}")]
    Parameter(String),
}

/// Reads one store, for one thread at a time.
pub struct Reader {
    database: Database,
    /// Nanoseconds after `base` at which the running question is cancelled; `u64::MAX` when none runs.
    deadline: Arc<AtomicU64>,
    base: Instant,
    now: Box<dyn Fn() -> i64 + Send>,
}

impl fmt::Debug for Reader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Reader").field("path", &self.database.path()).finish_non_exhaustive()
    }
}

impl Reader {
    /// Opens the store at `path` for reading.
    ///
    /// # Errors
    ///
    /// As [`Database::open`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::new(Database::open(path, Access::Read)?)
    }

    /// Opens the store at `path` for reading, or, where there is none yet, an empty one that stands for it.
    ///
    /// # Errors
    ///
    /// As [`Database::open`], but for a store that is missing.
    pub fn open_or_await(path: &Path) -> Result<Self, StoreError> {
        match Self::open(path) {
            Err(StoreError::Missing(_)) => Self::new(Database::awaited(path)?),
            opened => opened,
        }
    }

    /// Reads `database`, which may also be one in memory.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub fn new(mut database: Database) -> Result<Self, StoreError> {
        let deadline = Arc::new(AtomicU64::new(u64::MAX));
        let base = Instant::now();
        let watched = Arc::clone(&deadline);
        let watch = move || nanos_since(base) > watched.load(Ordering::Relaxed);
        let set = database.connection.progress_handler(INSTRUCTIONS, Some(watch));
        set.map_err(|error| database.explain(error))?;
        Ok(Self { database, deadline, base, now: Box::new(system_now) })
    }

    /// The store.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// The time that "15 minutes ago" counts from, nanoseconds since the Unix epoch.
    #[must_use]
    pub fn now(&self) -> i64 {
        (self.now)()
    }

    /// Asks `question` of one snapshot, for [`QUERY_LIMIT`] at most.
    fn ask<T>(&self, question: impl FnOnce(&Connection) -> Result<T, Trouble>) -> Result<T, ReadError> {
        let limit = u64::try_from(QUERY_LIMIT.as_nanos()).unwrap_or(u64::MAX);
        self.deadline.store(nanos_since(self.base).saturating_add(limit), Ordering::Relaxed);
        let connection = &self.database.connection;
        // A store in memory may be inside its writer's transaction; then that is the snapshot.
        let snapshot = if connection.is_autocommit() { Some(connection.unchecked_transaction()) } else { None };
        let answer = match snapshot {
            Some(Err(error)) => Err(Trouble::Sqlite(error)),
            Some(Ok(snapshot)) => question(&snapshot),
            None => question(connection),
        };
        self.deadline.store(u64::MAX, Ordering::Relaxed);
        answer.map_err(|trouble| match trouble {
            Trouble::Sqlite(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
                ReadError::Slow
            }
            Trouble::Sqlite(error) => self.database.explain(error).into(),
            Trouble::Read(error) => error,
        })
    }

    /// Whether the running question has had its time: for loops between statements.
    fn check_time(&self) -> Result<(), Trouble> {
        let over = nanos_since(self.base) > self.deadline.load(Ordering::Relaxed);
        if over { Err(Trouble::Read(ReadError::Slow)) } else { Ok(()) }
    }

    #[cfg(test)]
    pub(crate) fn set_now(&mut self, now: i64) {
        self.now = Box::new(move || now);
    }

    #[cfg(test)]
    pub(crate) fn connection(&self) -> &Connection {
        &self.database.connection
    }
}

/// The trace whose id begins with `prefix`, for those who write.
pub(super) fn find_trace(database: &Database, prefix: &str) -> Result<String, ReadError> {
    trace::find(&database.connection, prefix).map_err(|trouble| match trouble {
        Trouble::Sqlite(error) => database.explain(error).into(),
        Trouble::Read(error) => error,
    })
}

/// What goes wrong inside a question.
#[derive(Debug)]
pub(in crate::store) enum Trouble {
    Sqlite(rusqlite::Error),
    Read(ReadError),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<ReadError> for Trouble {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl Trouble {
    fn not_found(what: &'static str, id: &str) -> Self {
        // A hostile id is cut, so that no answer repeats ten kilobytes.
        Self::Read(ReadError::NotFound { what, id: id.chars().take(64).collect() })
    }
}

fn nanos_since(base: Instant) -> u64 {
    u64::try_from(base.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// The system's time, nanoseconds since the Unix epoch.
pub(crate) fn system_now() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_nanos()).unwrap_or(i64::MAX)
}
