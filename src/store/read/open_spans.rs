//! Spans that have begun and not ended.

use rusqlite::{Connection, params};

use super::words::{Status, kind_from_number};
use super::{Reader, Trouble};
use crate::kind::Kind;

/// A span that has not ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct OpenSpan {
    pub(super) trace: String,
    pub(super) id: String,
    pub(super) parent: Option<String>,
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) agent: String,
    pub(super) model: String,
    pub(super) start_ns: i64,
    /// Running or lost.
    pub(super) status: Status,
    /// Attributes, events and links as in `body`.
    pub(super) data: String,
}

impl Reader {
    /// The open spans of a trace; of every trace when none is named, the newest `most`.
    pub(super) fn open_spans(
        &self,
        connection: &Connection,
        trace: Option<&str>,
        most: usize,
    ) -> Result<Vec<OpenSpan>, Trouble> {
        let gone = self.processes_gone(connection)?;
        let mut statement = connection.prepare_cached(
            "SELECT trace_id, span_id, parent_id, name, kind, agent, model, start_ns, process, data FROM open_span \
             WHERE (?1 IS NULL OR trace_id = ?1) ORDER BY start_ns DESC, span_id DESC LIMIT ?2",
        )?;
        let mut rows = statement.query(params![trace, i64::try_from(most).unwrap_or(i64::MAX)])?;
        let mut spans = Vec::new();
        while let Some(row) = rows.next()? {
            let process: i64 = row.get(8)?;
            let status = if gone.binary_search(&process).is_ok() { Status::Lost } else { Status::Running };
            spans.push(OpenSpan {
                trace: row.get(0)?,
                id: row.get(1)?,
                parent: row.get(2)?,
                name: row.get(3)?,
                kind: kind_from_number(row.get(4)?),
                agent: row.get(5)?,
                model: row.get(6)?,
                start_ns: row.get(7)?,
                status,
                data: row.get(9)?,
            });
        }
        Ok(spans)
    }
}
