//! Which of the processes that have open spans are gone: their spans are lost.

use rusqlite::Connection;

use super::{Reader, Trouble};
use crate::store::process::Process;

/// A process of another machine that has not been seen for so long is taken for gone, nanoseconds.
const SILENT: i64 = 15_000_000_000;

impl Reader {
    /// The processes of open spans that are gone, by their rows.
    pub(super) fn processes_gone(&self, connection: &Connection) -> Result<Vec<i64>, Trouble> {
        let mut statement = connection.prepare_cached(
            "SELECT p.id, p.host, p.pid, p.birth, p.seen_ns FROM process p \
             WHERE p.id IN (SELECT o.process FROM open_span o) ORDER BY p.id",
        )?;
        let mut rows = statement.query([])?;
        let mut gone = Vec::new();
        while let Some(row) = rows.next()? {
            let seen: i64 = row.get(4)?;
            // A number that is none of this system's cannot be a process of it.
            let pid = u32::try_from(row.get::<_, i64>(2)?).unwrap_or(0);
            let process = Process { host: row.get(1)?, pid, birth: row.get(3)? };
            let alive = process.is_alive().unwrap_or_else(|| self.now().saturating_sub(seen) <= SILENT);
            if !alive {
                gone.push(row.get(0)?);
            }
        }
        Ok(gone)
    }
}
