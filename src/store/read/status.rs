//! What the store is: where, how large, who looks after it.

use rusqlite::OptionalExtension as _;

use super::json::{Json, object};
use super::{ReadError, Reader};
use crate::store::schema;

/// The key of the lease in `meta`; its value is `expiry in ns since the epoch` and the holder, with a space between.
pub(crate) const LEASE: &str = "lease";

/// A store as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreStatus {
    /// This program's version.
    pub version: &'static str,
    /// The file.
    pub path: String,
    /// Its size.
    pub bytes: i64,
    /// Traces.
    pub traces: i64,
    /// Finished spans.
    pub spans: i64,
    /// The schema's number.
    pub schema: i64,
    /// The newest span's row.
    pub last_span: i64,
    /// Somebody holds the lease.
    pub maintainer: bool,
}

impl Json for StoreStatus {
    fn write(&self, out: &mut String) {
        object!(out, "version": self.version, "path": self.path, "bytes": self.bytes, "traces": self.traces,
            "spans": self.spans, "schema": self.schema, "last_span": self.last_span, "maintainer": self.maintainer);
    }
}

impl Reader {
    /// The store as a whole.
    ///
    /// # Errors
    ///
    /// The store.
    pub fn status(&self) -> Result<StoreStatus, ReadError> {
        let path = self.database.path().display().to_string();
        let now = self.now();
        self.ask(|connection| {
            let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
            let lease: Option<String> =
                connection.query_row("SELECT value FROM meta WHERE key = ?1", [LEASE], |row| row.get(0)).optional()?;
            let expiry = lease.and_then(|lease| lease.split(' ').next()?.parse::<i64>().ok());
            Ok(StoreStatus {
                version: env!("CARGO_PKG_VERSION"),
                path,
                bytes: number("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")?,
                traces: number("SELECT count(*) FROM trace")?,
                spans: number("SELECT count(*) FROM span")?,
                schema: schema::VERSION,
                last_span: number("SELECT coalesce(max(id), 0) FROM span")?,
                maintainer: expiry.is_some_and(|expiry| expiry > now),
            })
        })
    }
}
