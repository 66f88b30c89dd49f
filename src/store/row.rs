//! The row of a finished span.

use rusqlite::{OptionalExtension as _, Transaction, params};

use super::facts::{self, Facts};
use super::write::nanoseconds;
use crate::finished::SpanView;
use crate::kind::Outcome;

/// Where a row goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'t, 'c> {
    pub(super) transaction: &'t Transaction<'c>,
    pub(super) trace: i64,
    pub(super) resource: i64,
}

/// A row that was inserted, with what the summaries need of it.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) agent: String,
    /// What went wrong, for a span that failed.
    pub(super) error: Option<String>,
    /// It failed, and no child of it had.
    pub(super) own_error: bool,
}

impl Row {
    /// Inserts the row; `None` when the span is there already.
    pub(super) fn insert(
        place: &Place<'_, '_>,
        span: &SpanView<'_>,
        facts: &Facts<'_>,
    ) -> rusqlite::Result<Option<Self>> {
        let head = span.head();
        let span_id = head.span_id.to_string();
        let error = (head.outcome == Outcome::Error).then(|| facts::error(span, facts));
        let own_error = error.is_some() && !has_failed_child(place, &span_id)?;
        let name = facts::name(head.kind, span.name());
        let agent = facts.agent(span);
        let inserted = place
            .transaction
            .prepare_cached(
                "INSERT INTO span(trace, span_id, parent_id, name, kind, agent, model, provider, start_ns, duration_ns,
                 status, own_error, error_type, error, input_tokens, output_tokens, cached_tokens, reasoning_tokens,
                 first_chunk_ns, cost, resource, links)
                 VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19,?20,?21,?22)
                 ON CONFLICT(trace, span_id) DO NOTHING",
            )?
            .execute(params![
                place.trace,
                span_id,
                head.parent_id.map(|id| id.to_string()),
                name,
                head.kind as u8,
                agent,
                facts.model(),
                facts.provider,
                nanoseconds(head.start_unix_nano),
                nanoseconds(head.end_unix_nano.saturating_sub(head.start_unix_nano)),
                head.outcome as u8,
                own_error,
                facts.error_type.filter(|_| error.is_some()),
                error,
                facts.tokens.input,
                facts.tokens.output,
                facts.tokens.cached,
                facts.tokens.reasoning,
                facts.first_chunk,
                facts.cost,
                place.resource,
                i64::try_from(span.links().count()).unwrap_or(i64::MAX),
            ])?;
        // RETURNING would cost as much as the row: SQLite collects its rows in a table of their own.
        let id = place.transaction.last_insert_rowid();
        Ok((inserted == 1).then_some(Self { id, name, agent, error, own_error }))
    }

    /// Whether the span failed.
    pub(super) fn failed(&self) -> bool {
        self.error.is_some()
    }

    /// The parent of a failed span did not fail of itself. Mostly it ends later; where it has ended before, by another
    /// process or out of order, its row is put right. Returns the agent whose error that was.
    pub(super) fn relieve_parent(place: &Place<'_, '_>, span: &SpanView<'_>) -> rusqlite::Result<Option<String>> {
        let Some(parent) = span.head().parent_id else { return Ok(None) };
        place
            .transaction
            .prepare_cached(
                "UPDATE span SET own_error = 0 WHERE trace = ?1 AND span_id = ?2 AND own_error = 1 RETURNING agent",
            )?
            .query_row(params![place.trace, parent.to_string()], |row| row.get(0))
            .optional()
    }
}

fn has_failed_child(place: &Place<'_, '_>, span_id: &str) -> rusqlite::Result<bool> {
    place
        .transaction
        .prepare_cached("SELECT 1 FROM span WHERE trace = ?1 AND parent_id = ?2 AND status = 1 LIMIT 1")?
        .exists(params![place.trace, span_id])
}
