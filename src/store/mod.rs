//! The local store: one SQLite file that every process of a user may write to, and that everything which reads traces
//! reads from.
//!
//! ```text
//! sinks::store (one thread) --write--> file <--read-- command line, page, `open_store`
//!                                        ^--maintain-- whoever holds the lease
//! ```
//!
//! Only this process's own copy of SQLite may open the file in this process: a second library would drop our locks when
//! it closes the file (POSIX advisory locks belong to the process).

pub mod body;
pub mod facts;
pub mod location;
pub mod maintain;
pub mod open;
pub mod process;
pub mod read;
mod row;
pub mod schema;
pub mod scores;
mod sums;
pub mod tokens;
pub mod write;

use std::path::PathBuf;

use thiserror::Error;

pub use open::{Access, Database};
pub use read::Reader;
pub use write::Writer;

/// What is wrong with a store, as a sentence for the person who has to do something about it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No file there, and it was to be read only.
    #[error("there is no store at {0}: run a program that calls ironspan.init(), or `ironspan demo`")]
    Missing(PathBuf),
    /// The file holds something else.
    #[error("{0} is not an ironspan store")]
    Foreign(PathBuf),
    /// Written by a later version.
    #[error(
        "{path} has schema {found}, and this version of ironspan knows {}: install a newer ironspan",
        schema::VERSION
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The schema's number in it.
        found: i64,
    },
    /// The file is damaged.
    #[error("{path} is damaged: {detail}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        detail: String,
    },
    /// The disk is full.
    #[error("the disk that holds {0} is full")]
    Full(PathBuf),
    /// Not allowed to write.
    #[error("{path} cannot be written: {detail}")]
    ReadOnly {
        /// The file.
        path: PathBuf,
        /// Why.
        detail: String,
    },
    /// Something else of SQLite's, or of the file system's.
    #[error("{path}: {detail}")]
    Failed {
        /// The file.
        path: PathBuf,
        /// What is said.
        detail: String,
    },
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a failing test may panic")]
mod tests;
