//! What has changed in a store since a moment: for pages and terminals that watch.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, params};

use super::scores::Score;
use super::trace::SpanRow;
use super::traces::TraceRow;
use super::words::{Status, kind_from_number};
use super::{Filter, ReadError, Reader, Trouble};

/// Spans of one look, at most; the next look goes on from there.
const SPANS: i64 = 1_000;
/// Open spans that are watched: the newest.
const OPEN: usize = 1_000;

/// Up to where a watcher has seen everything: the rows of the last span and of the last score.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LiveCursor {
    /// Row of `span`.
    pub span: i64,
    /// Row of `score`.
    pub score: i64,
}

impl LiveCursor {
    /// `span.score`.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}.{}", self.span, self.score)
    }

    /// Reads what [`text`](Self::text) wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (span, score) = text.split_once('.')?;
        let number = |text: &str| text.parse().ok().filter(|number| *number >= 0);
        Some(Self { span: number(span)?, score: number(score)? })
    }
}

/// What one watcher has been told.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    /// Where it stands.
    pub cursor: LiveCursor,
    open: BTreeMap<(String, String), Status>,
}

/// What is new.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Spans that have begun, or whose process has gone since.
    pub opened: Vec<SpanRow>,
    /// Spans that have ended, in the order of commits.
    pub ended: Vec<SpanRow>,
    /// The traces of all these, as they are now.
    pub traces: Vec<TraceRow>,
    /// New scores.
    pub scores: Vec<Score>,
}

impl Changes {
    /// Whether nothing is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.opened.is_empty() && self.ended.is_empty() && self.traces.is_empty() && self.scores.is_empty()
    }
}

impl Reader {
    /// A watcher that has seen everything up to now, but for the open spans.
    ///
    /// # Errors
    ///
    /// The store.
    pub fn watch(&self) -> Result<Watch, ReadError> {
        self.ask(|connection| {
            let last = |table: &str| {
                connection.query_row(&format!("SELECT coalesce(max(id), 0) FROM {table}"), [], |row| row.get(0))
            };
            Ok(Watch { cursor: LiveCursor { span: last("span")?, score: last("score")? }, open: BTreeMap::new() })
        })
    }

    /// A watcher that stands where `cursor` says.
    #[must_use]
    pub fn watch_from(cursor: LiveCursor) -> Watch {
        Watch { cursor, open: BTreeMap::new() }
    }

    /// A number that changes with every commit of another connection: as long as it stays, nothing is new.
    ///
    /// # Errors
    ///
    /// The store.
    pub fn data_version(&self) -> Result<i64, ReadError> {
        let version = self.database.connection.pragma_query_value(None, "data_version", |row| row.get(0));
        version.map_err(|error| self.database.explain(error).into())
    }

    /// What is new for `watch`, which moves on. Only traces for which the filter holds, and their spans.
    ///
    /// # Errors
    ///
    /// The store.
    pub fn changes(&self, watch: &mut Watch, filter: &Filter) -> Result<Changes, ReadError> {
        self.ask(|connection| {
            let mut changes = Changes::default();
            let (ended, last) = ended_after(connection, watch.cursor.span)?;
            let mut open = BTreeMap::new();
            let mut touched: BTreeSet<String> = ended.iter().map(|span| span.trace.clone()).collect();
            for span in self.open_spans(connection, None, OPEN)? {
                let place = (span.trace.clone(), span.id.clone());
                if watch.open.get(&place) != Some(&span.status) {
                    touched.insert(span.trace.clone());
                    changes.opened.push(SpanRow {
                        trace: span.trace,
                        id: span.id,
                        parent: span.parent,
                        name: span.name,
                        kind: span.kind,
                        status: span.status,
                        agent: span.agent,
                        model: span.model,
                        start_ns: span.start_ns,
                        duration_ns: 0,
                        own_error: false,
                        error: None,
                        input_tokens: None,
                        output_tokens: None,
                        cost: None,
                    });
                }
                open.insert(place, span.status);
            }
            changes.opened.reverse();
            changes.ended = ended;
            if !touched.is_empty() {
                let ids: Vec<String> = touched.into_iter().collect();
                changes.traces = self.trace_rows(connection, &ids, filter)?;
                let fits: BTreeSet<&str> = changes.traces.iter().map(|trace| trace.id.as_str()).collect();
                changes.opened.retain(|span| fits.contains(span.trace.as_str()));
                changes.ended.retain(|span| fits.contains(span.trace.as_str()));
            }
            let mut statement = connection.prepare_cached(&format!(
                "SELECT {} FROM score c WHERE c.id > ?1 ORDER BY c.id LIMIT ?2",
                super::scores::COLUMNS
            ))?;
            let scores = statement.query_map(params![watch.cursor.score, SPANS], super::scores::score)?;
            changes.scores = scores.collect::<rusqlite::Result<_>>()?;
            // Only now: an error before leaves the watcher where it stood.
            watch.cursor.span = last.max(watch.cursor.span);
            watch.cursor.score = changes.scores.last().map_or(watch.cursor.score, |score| score.id);
            watch.open = open;
            Ok(changes)
        })
    }
}

fn ended_after(connection: &Connection, after: i64) -> Result<(Vec<SpanRow>, i64), Trouble> {
    let mut statement = connection.prepare_cached(
        "SELECT s.id, t.trace_id, s.span_id, s.parent_id, s.name, s.kind, s.status, s.agent, s.model, s.start_ns, \
         s.duration_ns, s.own_error, s.error, s.input_tokens, s.output_tokens, s.cost \
         FROM span s JOIN trace t ON t.id = s.trace WHERE s.id > ?1 ORDER BY s.id LIMIT ?2",
    )?;
    let mut rows = statement.query(params![after, SPANS])?;
    let (mut ended, mut last) = (Vec::new(), after);
    while let Some(row) = rows.next()? {
        last = row.get(0)?;
        ended.push(SpanRow {
            trace: row.get(1)?,
            id: row.get(2)?,
            parent: row.get(3)?,
            name: row.get(4)?,
            kind: kind_from_number(row.get(5)?),
            status: Status::from_number(row.get(6)?),
            agent: row.get(7)?,
            model: row.get(8)?,
            start_ns: row.get(9)?,
            duration_ns: row.get(10)?,
            own_error: row.get(11)?,
            error: row.get(12)?,
            input_tokens: row.get(13)?,
            output_tokens: row.get(14)?,
            cost: row.get(15)?,
        });
    }
    Ok((ended, last))
}
