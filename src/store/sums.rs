//! What a batch adds to the summaries of a trace and of its agents.

use std::collections::HashMap;

use rusqlite::{Transaction, params};

use super::facts::Facts;
use super::row::Row;
use super::tokens::Tokens;
use super::write::nanoseconds;
use crate::finished::SpanView;
use crate::kind::{Kind, Outcome};

/// OTLP span flags: the parent is in another process.
const REMOTE: u32 = 0x200;

/// The spans of one trace in one batch.
#[derive(Debug, Default)]
pub(super) struct Sum {
    start: Option<i64>,
    end: i64,
    spans: i64,
    errors: i64,
    generations: i64,
    tools: i64,
    tokens: Tokens,
    cost: Option<f64>,
    unpriced: i64,
    reported: Tokens,
    reported_cost: Option<f64>,
    session: Option<String>,
    user: Option<String>,
    error: Option<String>,
    root: Option<Root>,
    agents: HashMap<String, AgentSum>,
    tags: Vec<String>,
}

/// The root of a trace, or what stands for it while it is not in this store: a span whose parent is in another process.
#[derive(Debug)]
struct Root {
    /// `None` for a stand-in.
    id: Option<String>,
    name: String,
    status: u8,
    input: Option<String>,
    output: Option<String>,
}

/// The spans of one agent.
#[derive(Debug, Default)]
struct AgentSum {
    start: Option<i64>,
    spans: i64,
    errors: i64,
    turns: i64,
    duration: i64,
    tokens: Tokens,
    cost: f64,
}

fn earlier(known: &mut Option<i64>, start: i64) {
    *known = Some(known.map_or(start, |known| known.min(start)));
}

impl Sum {
    /// Counts a span whose row has been inserted.
    pub(super) fn add(&mut self, span: &SpanView<'_>, facts: &Facts<'_>, row: &Row) {
        let head = span.head();
        let (start, end) = (nanoseconds(head.start_unix_nano), nanoseconds(head.end_unix_nano));
        earlier(&mut self.start, start);
        self.end = self.end.max(end);
        self.spans += 1;
        self.errors += i64::from(row.own_error);
        self.generations += i64::from(head.kind == Kind::Generation);
        self.tools += i64::from(head.kind == Kind::Tool);
        // Only model calls are counted: what an agent or a workflow reports is the same tokens once more.
        let is_call = matches!(head.kind, Kind::Generation | Kind::Embedding | Kind::Rerank);
        if is_call {
            self.tokens.add(&facts.tokens);
            self.cost = add_cost(self.cost, facts.cost);
            self.unpriced += i64::from(facts.cost.is_none() && facts.tokens.any());
        } else {
            let larger = |known: &mut Option<i64>, more: Option<i64>| *known = (*known).max(more);
            larger(&mut self.reported.input, facts.tokens.input);
            larger(&mut self.reported.output, facts.tokens.output);
            if facts.cost > self.reported_cost {
                self.reported_cost = facts.cost;
            }
        }
        if self.session.is_none() {
            self.session = facts.session();
        }
        if self.user.is_none() {
            self.user = facts.user.map(str::to_owned);
        }
        if row.own_error && self.error.is_none() {
            self.error.clone_from(&row.error);
        }
        for tag in &facts.tags {
            if !self.tags.iter().any(|known| known == tag) {
                self.tags.push((*tag).to_owned());
            }
        }
        self.add_root(span, facts, row);
        if !row.agent.is_empty() {
            let agent = self.agents.entry(row.agent.clone()).or_default();
            earlier(&mut agent.start, start);
            agent.spans += 1;
            agent.errors += i64::from(row.own_error);
            if head.kind == Kind::Agent {
                agent.turns += 1;
                agent.duration += end - start;
            }
            if is_call {
                agent.tokens.add(&facts.tokens);
                agent.cost += facts.cost.unwrap_or(0.0);
            }
        }
    }

    fn add_root(&mut self, span: &SpanView<'_>, facts: &Facts<'_>, row: &Row) {
        let head = span.head();
        let is_root = head.parent_id.is_none();
        let stands_in = head.flags & REMOTE != 0 && self.root.is_none();
        if !is_root && !stands_in {
            return;
        }
        self.root = Some(Root {
            id: is_root.then(|| head.span_id.to_string()),
            name: row.name.clone(),
            status: head.outcome as u8,
            input: facts.input(),
            output: facts.output(),
        });
        if is_root && head.outcome == Outcome::Error && self.error.is_none() {
            self.error.clone_from(&row.error);
        }
    }

    /// Takes an error back that turned out not to be the span's own.
    pub(super) fn take_back(&mut self, agent: Option<String>) {
        if let Some(agent) = agent {
            self.errors -= 1;
            if !agent.is_empty() {
                self.agents.entry(agent).or_default().errors -= 1;
            }
        }
    }

    /// Brings the trace's row and those of its agents up to date.
    pub(super) fn write(&self, transaction: &Transaction<'_>, trace: i64) -> rusqlite::Result<()> {
        let start = self.start.unwrap_or(i64::MAX);
        transaction
            .prepare_cached(
                "UPDATE trace SET
                   start_ns = min(start_ns, ?2), end_ns = max(end_ns, ?3), spans = spans + ?4, errors = errors + ?5,
                   generations = generations + ?6, tools = tools + ?7,
                   input_tokens = CASE WHEN ?8 IS NULL THEN input_tokens ELSE coalesce(input_tokens, 0) + ?8 END,
                   output_tokens = CASE WHEN ?9 IS NULL THEN output_tokens ELSE coalesce(output_tokens, 0) + ?9 END,
                   cached_tokens = CASE WHEN ?10 IS NULL THEN cached_tokens ELSE coalesce(cached_tokens, 0) + ?10 END,
                   reasoning_tokens =
                     CASE WHEN ?11 IS NULL THEN reasoning_tokens ELSE coalesce(reasoning_tokens, 0) + ?11 END,
                   cost = CASE WHEN ?12 IS NULL THEN cost ELSE coalesce(cost, 0) + ?12 END,
                   unpriced = unpriced + ?13,
                   reported_input = nullif(max(coalesce(reported_input, -1), coalesce(?14, -1)), -1),
                   reported_output = nullif(max(coalesce(reported_output, -1), coalesce(?15, -1)), -1),
                   reported_cost = nullif(max(coalesce(reported_cost, -1), coalesce(?16, -1)), -1),
                   session = coalesce(session, ?17), user = coalesce(user, ?18), error = coalesce(error, ?19)
                 WHERE id = ?1",
            )?
            .execute(params![
                trace,
                start,
                self.end,
                self.spans,
                self.errors,
                self.generations,
                self.tools,
                self.tokens.input,
                self.tokens.output,
                self.tokens.cached,
                self.tokens.reasoning,
                self.cost,
                self.unpriced,
                self.reported.input,
                self.reported.output,
                self.reported_cost,
                self.session,
                self.user,
                self.error,
            ])?;
        if let Some(root) = &self.root {
            // A stand-in never replaces a root.
            transaction
                .prepare_cached(
                    "UPDATE trace SET root = ?2, name = ?3, status = ?4, input = ?5, output = ?6
                     WHERE id = ?1 AND (?2 IS NOT NULL OR root IS NULL)",
                )?
                .execute(params![trace, root.id, root.name, root.status, root.input, root.output])?;
        }
        for (name, agent) in &self.agents {
            agent.write(transaction, trace, name)?;
        }
        for tag in &self.tags {
            transaction
                .prepare_cached(
                    "INSERT INTO trace_tag(tag, start_ns, trace)
                     SELECT ?1, start_ns, id FROM trace
                     WHERE id = ?2 AND NOT EXISTS (SELECT 1 FROM trace_tag WHERE tag = ?1 AND trace = ?2)
                     ON CONFLICT DO NOTHING",
                )?
                .execute(params![tag, trace])?;
        }
        Ok(())
    }
}

impl AgentSum {
    fn write(&self, transaction: &Transaction<'_>, trace: i64, name: &str) -> rusqlite::Result<()> {
        transaction
            .prepare_cached(
                "INSERT INTO trace_agent(trace, agent, start_ns, spans, errors, turns, duration_ns, input_tokens,
                   output_tokens, cost) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
                 ON CONFLICT(trace, agent) DO UPDATE SET
                   start_ns = min(start_ns, excluded.start_ns), spans = spans + excluded.spans,
                   errors = errors + excluded.errors, turns = turns + excluded.turns,
                   duration_ns = duration_ns + excluded.duration_ns,
                   input_tokens = input_tokens + excluded.input_tokens,
                   output_tokens = output_tokens + excluded.output_tokens, cost = cost + excluded.cost",
            )?
            .execute(params![
                trace,
                name,
                self.start.unwrap_or(i64::MAX),
                self.spans,
                self.errors,
                self.turns,
                self.duration,
                self.tokens.input.unwrap_or(0),
                self.tokens.output.unwrap_or(0),
                self.cost,
            ])?;
        Ok(())
    }
}

fn add_cost(sum: Option<f64>, more: Option<f64>) -> Option<f64> {
    match (sum, more) {
        (Some(sum), Some(more)) => Some(sum + more),
        (sum, more) => sum.or(more),
    }
}
