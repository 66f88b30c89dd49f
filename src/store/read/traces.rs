//! The list of traces: rows, what to filter by next, and a strip of how the window went.

use rusqlite::{Connection, Row, params};

use super::filter_sql::Scope;
use super::json::{Json, Time, object};
use super::metrics::percentile;
use super::page::{Cursor, ListQuery};
use super::sql::{INPUT_TOKENS, OUTPUT_TOKENS, STATUS, Sql, TOKENS, UNBEGUN};
use super::words::{Status, Tokens};
use super::{ReadError, Reader, Trouble};

/// Traces that have begun and ended no span, at most.
const UNBEGUN_MOST: usize = 1_000;
/// Values of a facet.
const FACET: i64 = 20;
/// Traces that facets count: the newest. Those whose spans are looked at, for models.
const FACET_NEWEST: i64 = 20_000;
const FACET_TRACES: i64 = 2_000;
/// Buckets of the strip.
const STRIP: usize = 60;

/// What the list is sorted by, the largest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// Newest first.
    #[default]
    Start,
    /// Longest first.
    Duration,
    /// Most expensive first.
    Cost,
    /// Most tokens first.
    Tokens,
    /// Most errors first.
    Errors,
}

impl Sort {
    /// The order of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "start" => Self::Start,
            "duration" => Self::Duration,
            "cost" => Self::Cost,
            "tokens" => Self::Tokens,
            "errors" => Self::Errors,
            _ => return None,
        })
    }

    /// SQL: an integer to sort by. Money counts in thousand-millionths, so that a cursor is exact.
    fn column(self) -> &'static str {
        match self {
            Self::Start => "t.start_ns",
            Self::Duration => "(t.end_ns - t.start_ns)",
            Self::Cost => "CAST(coalesce(t.cost, t.reported_cost, -1) * 1e9 AS INTEGER)",
            Self::Tokens => TOKENS,
            Self::Errors => "t.errors",
        }
    }
}

/// A score as lists show it.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoreBrief {
    /// What is judged.
    pub name: String,
    /// As a number.
    pub value: Option<f64>,
    /// As a word.
    pub label: Option<String>,
}

impl Json for ScoreBrief {
    fn write(&self, out: &mut String) {
        object!(out, "name": self.name, "value": self.value, "label": self.label);
    }
}

/// A trace in a list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TraceRow {
    /// 32 hexadecimal digits.
    pub id: String,
    /// The root's name.
    pub name: String,
    /// The root's, or whether it runs.
    pub status: Status,
    /// Spans that failed of themselves.
    pub errors: i64,
    /// Nanoseconds since the Unix epoch.
    pub start_ns: i64,
    /// Nanoseconds, so far for a trace that runs.
    pub duration_ns: i64,
    /// Spans, open ones included.
    pub spans: i64,
    /// Those that have not ended.
    pub open: i64,
    /// Agents, in the order they began.
    pub agents: Vec<String>,
    /// Model calls.
    pub generations: i64,
    /// Tool calls.
    pub tools: i64,
    /// Tokens of model calls, or what else was told.
    pub tokens: Tokens,
    /// USD.
    pub cost: Option<f64>,
    /// Model calls with tokens and no price.
    pub unpriced: i64,
    /// The session.
    pub session: Option<String>,
    /// The user.
    pub user: Option<String>,
    /// The service.
    pub service: Option<String>,
    /// The environment.
    pub environment: Option<String>,
    /// The beginning of what the root was given.
    pub input: Option<String>,
    /// The beginning of what it returned.
    pub output: Option<String>,
    /// The first message of a failed span.
    pub error: Option<String>,
    /// Tags.
    pub tags: Vec<String>,
    /// Scores of the whole trace.
    pub scores: Vec<ScoreBrief>,
}

impl Json for TraceRow {
    fn write(&self, out: &mut String) {
        object!(out,
            "id": self.id, "name": self.name, "status": self.status, "errors": self.errors,
            "start": Time(self.start_ns), "duration": self.duration_ns, "spans": self.spans, "open": self.open,
            "agents": self.agents, "generations": self.generations, "tools": self.tools, "tokens": self.tokens,
            "cost": self.cost, "unpriced": self.unpriced, "session": self.session, "user": self.user,
            "service": self.service, "environment": self.environment, "input": self.input, "output": self.output,
            "error": self.error, "tags": self.tags, "scores": self.scores,
        );
    }
}

/// SQL: what [`TraceRow`] is read from, over `t`; the row's number and the order's value come first.
fn columns(order: &str) -> String {
    format!(
        "t.id, {order}, t.trace_id, t.name, {STATUS}, t.errors, t.start_ns, t.end_ns, t.spans, \
         (SELECT count(*) FROM open_span o WHERE o.trace_id = t.trace_id), t.generations, t.tools, \
         {INPUT_TOKENS}, {OUTPUT_TOKENS}, \
         t.cached_tokens, t.reasoning_tokens, coalesce(t.cost, t.reported_cost), t.unpriced, t.session, t.user, \
         (SELECT r.service FROM resource r WHERE r.id = t.resource), \
         (SELECT r.environment FROM resource r WHERE r.id = t.resource), t.input, t.output, t.error"
    )
}

/// A row with what pages are cut by.
struct Found {
    order: i64,
    /// Of traces without a row of their own, a number below zero that follows from the id.
    number: i64,
    in_table: Option<i64>,
    row: TraceRow,
}

fn found(row: &Row<'_>, now: i64) -> rusqlite::Result<Found> {
    let in_table: Option<i64> = row.get(0)?;
    let id: String = row.get(2)?;
    let start: i64 = row.get(6)?;
    let status = Status::from_number(row.get(4)?);
    let end = if status == Status::Running { now } else { row.get(7)? };
    let open: i64 = row.get(9)?;
    let number =
        in_table.or_else(|| i64::from_str_radix(id.get(..15)?, 16).ok().map(|number| -1 - number)).unwrap_or_default();
    Ok(Found {
        order: row.get(1)?,
        number,
        in_table,
        row: TraceRow {
            id,
            name: row.get(3)?,
            status,
            errors: row.get(5)?,
            start_ns: start,
            duration_ns: end.saturating_sub(start).max(0),
            spans: row.get::<_, i64>(8)?.saturating_add(open),
            open,
            generations: row.get(10)?,
            tools: row.get(11)?,
            tokens: Tokens::from_row(row, 12)?,
            cost: row.get(16)?,
            unpriced: row.get(17)?,
            session: row.get(18)?,
            user: row.get(19)?,
            service: row.get(20)?,
            environment: row.get(21)?,
            input: row.get(22)?,
            output: row.get(23)?,
            error: row.get(24)?,
            ..TraceRow::default()
        },
    })
}

/// A page of traces.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TracePage {
    /// The rows.
    pub traces: Vec<TraceRow>,
    /// Where the next page begins; `None` on the last.
    pub next: Option<String>,
    /// When asked for.
    pub facets: Option<Facets>,
    /// When asked for.
    pub strip: Option<Strip>,
}

impl Json for TracePage {
    fn write(&self, out: &mut String) {
        object!(out, "traces": self.traces, "next": self.next, "facets": self.facets, "strip": self.strip);
    }
}

/// How many of the newest 20,000 traces have which value, the most frequent first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facets {
    /// By agent.
    pub agent: Vec<(String, i64)>,
    /// By model; of the newest 2,000 traces.
    pub model: Vec<(String, i64)>,
    /// By status.
    pub status: Vec<(Status, i64)>,
    /// By tag.
    pub tag: Vec<(String, i64)>,
}

impl Json for Facets {
    fn write(&self, out: &mut String) {
        object!(out, "agent": self.agent, "model": self.model, "status": self.status, "tag": self.tag);
    }
}

/// How the window went.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Strip {
    /// Start, traces and failed traces of each part of the window that has any.
    pub buckets: Vec<(Time, i64, i64)>,
    /// Traces.
    pub count: i64,
    /// Traces that failed; recovered ones did not.
    pub errors: i64,
    /// Nanoseconds: half of the traces took no longer.
    pub p50: Option<i64>,
    /// 95 of 100.
    pub p95: Option<i64>,
    /// 99 of 100.
    pub p99: Option<i64>,
    /// USD.
    pub cost: Option<f64>,
}

impl Json for Strip {
    fn write(&self, out: &mut String) {
        object!(out, "buckets": self.buckets, "count": self.count, "errors": self.errors, "p50": self.p50,
            "p95": self.p95, "p99": self.p99, "cost": self.cost);
    }
}

impl Reader {
    /// A page of traces; `facets` adds the facets and the strip.
    ///
    /// # Errors
    ///
    /// A cursor that is none, or the store.
    pub fn traces(&self, query: &ListQuery, sort: Sort, facets: bool) -> Result<TracePage, ReadError> {
        self.ask(|connection| {
            let mut page = self.trace_page(connection, query, sort)?;
            if facets {
                page.facets = Some(self.trace_facets(connection, query)?);
                page.strip = Some(self.strip(connection, query)?);
            }
            Ok(page)
        })
    }

    fn trace_page(&self, connection: &Connection, query: &ListQuery, sort: Sort) -> Result<TracePage, Trouble> {
        let limit = query.rows();
        let cursor = match &query.cursor {
            None => None,
            Some(text) => {
                let cursor = Cursor::parse(text)?;
                let number: i64 = cursor
                    .row
                    .parse()
                    .map_err(|_| ReadError::Parameter(String::from("cursor has to be what `next` held")))?;
                Some((cursor.value, number))
            }
        };
        let order = sort.column();
        let mut sql = Sql::new(self, connection, "SELECT ")?;
        sql.push(&columns(order)).push(" FROM trace t WHERE ?1 IS NOT NULL").window("t.start_ns", query.window);
        query.filter.write(Scope::Trace, &mut sql);
        if let Some((value, number)) = cursor {
            sql.push(" AND (").push(order).push(" < ").bind(value).push(" OR (").push(order).push(" = ").bind(value);
            sql.push(" AND t.id < ").bind(number).push("))");
            if sort == Sort::Start {
                // Said once more in the words that the index understands.
                sql.push(" AND t.start_ns <= ").bind(value);
            }
        }
        sql.push(" ORDER BY ")
            .push(order)
            .push(" DESC, t.id DESC LIMIT ")
            .bind(i64::try_from(limit + 1).unwrap_or(501));
        let now = self.now();
        let mut rows = sql.rows(connection, |row| found(row, now))?;

        let mut sql = sql.another("SELECT ");
        sql.push(&columns(order)).push(" FROM ").push(UNBEGUN).push(" t WHERE ?1 IS NOT NULL");
        sql.window("t.start_ns", query.window);
        query.filter.write(Scope::Trace, &mut sql);
        sql.push(" ORDER BY t.start_ns DESC LIMIT ").bind(i64::try_from(UNBEGUN_MOST).unwrap_or(1_000));
        let unbegun = sql.rows(connection, |row| found(row, now))?;
        rows.extend(
            unbegun
                .into_iter()
                .filter(|found| cursor.is_none_or(|(value, number)| (found.order, found.number) < (value, number))),
        );
        rows.sort_by_key(|found| std::cmp::Reverse((found.order, found.number)));

        let more = rows.len() > limit;
        rows.truncate(limit);
        let last = rows.last().filter(|_| more);
        let next = last.map(|last| Cursor { value: last.order, row: last.number.to_string() }.text());
        let traces = rows.into_iter().map(|found| complete(connection, found)).collect::<Result<_, _>>()?;
        Ok(TracePage { traces, next, facets: None, strip: None })
    }

    /// The row of one trace, by its whole id.
    pub(super) fn trace_row(
        &self,
        connection: &Connection,
        id: &str,
    ) -> Result<Option<(Option<i64>, TraceRow)>, Trouble> {
        let now = self.now();
        let mut sql = Sql::new(self, connection, "SELECT ")?;
        sql.push(&columns("0")).push(" FROM trace t WHERE ?1 IS NOT NULL AND t.trace_id = ").bind(id.to_owned());
        let mut rows = sql.rows(connection, |row| found(row, now))?;
        if rows.is_empty() {
            let mut sql = sql.another("SELECT ");
            sql.push(&columns("0")).push(" FROM ").push(UNBEGUN).push(" t WHERE ?1 IS NOT NULL AND t.trace_id = ");
            sql.bind(id.to_owned());
            rows = sql.rows(connection, |row| found(row, now))?;
        }
        match rows.pop() {
            None => Ok(None),
            Some(found) => Ok(Some((found.in_table, complete(connection, found)?))),
        }
    }

    /// The rows of these traces for which the filter holds.
    pub(super) fn trace_rows(
        &self,
        connection: &Connection,
        ids: &[String],
        filter: &super::Filter,
    ) -> Result<Vec<TraceRow>, Trouble> {
        let now = self.now();
        let mut rows = Vec::new();
        let list = serde_json::Value::from(ids.to_vec()).to_string();
        let first = Sql::new(self, connection, "")?;
        for table in ["trace", UNBEGUN] {
            let mut sql = first.another("SELECT ");
            sql.push(&columns("0")).push(" FROM ").push(table).push(" t WHERE ?1 IS NOT NULL");
            sql.push(" AND t.trace_id IN (SELECT value FROM json_each(").bind(list.clone()).push("))");
            filter.write(Scope::Trace, &mut sql);
            for found in sql.rows(connection, |row| found(row, now))? {
                rows.push(complete(connection, found)?);
            }
        }
        rows.sort_by_key(|row| row.start_ns);
        Ok(rows)
    }

    fn trace_facets(&self, connection: &Connection, query: &ListQuery) -> Result<Facets, Trouble> {
        let mut base = Sql::new(self, connection, "WITH m AS MATERIALIZED (SELECT t.id, t.trace_id, ")?;
        base.push(STATUS).push(" AS status FROM trace t WHERE ?1 IS NOT NULL").window("t.start_ns", query.window);
        query.filter.write(Scope::Trace, &mut base);
        base.push(" ORDER BY t.start_ns DESC LIMIT ").bind(FACET_NEWEST).push(") ");
        let ask = |text: &str| {
            let mut sql = base.clone();
            sql.push(text).push(" ORDER BY 2 DESC, 1 LIMIT ").bind(FACET);
            sql
        };
        let counts = |sql: &Sql| sql.rows(connection, |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)));
        let models = format!(
            "SELECT s.model, count(DISTINCT s.trace) FROM (SELECT id FROM m LIMIT {FACET_TRACES}) m \
             CROSS JOIN span s ON s.trace = m.id WHERE s.model <> '' GROUP BY 1"
        );
        Ok(Facets {
            agent: counts(&ask("SELECT a.agent, count(*) FROM m JOIN trace_agent a ON a.trace = m.id GROUP BY 1"))?,
            model: counts(&ask(&models))?,
            status: ask("SELECT status, count(*) FROM m GROUP BY 1")
                .rows(connection, |row| Ok((Status::from_number(row.get(0)?), row.get(1)?)))?,
            tag: counts(&ask("SELECT g.tag, count(*) FROM m JOIN trace_tag g ON g.trace = m.id GROUP BY 1"))?,
        })
    }

    fn strip(&self, connection: &Connection, query: &ListQuery) -> Result<Strip, Trouble> {
        let mut sql = Sql::new(self, connection, "SELECT t.start_ns, t.end_ns - t.start_ns, t.status = 1, ")?;
        sql.push("coalesce(t.cost, t.reported_cost) FROM trace t WHERE ?1 IS NOT NULL");
        sql.window("t.start_ns", query.window);
        query.filter.write(Scope::Trace, &mut sql);
        let mut durations = Vec::new();
        let mut starts: Vec<(i64, bool)> = Vec::new();
        let mut strip = Strip::default();
        sql.each(connection, |row| {
            starts.push((row.get(0)?, row.get(2)?));
            durations.push(row.get::<_, i64>(1)?);
            if let Some(cost) = row.get::<_, Option<f64>>(3)? {
                strip.cost = Some(strip.cost.unwrap_or(0.0) + cost);
            }
            Ok(())
        })?;
        strip.count = i64::try_from(starts.len()).unwrap_or(i64::MAX);
        strip.errors = i64::try_from(starts.iter().filter(|(_, failed)| *failed).count()).unwrap_or(i64::MAX);
        strip.p50 = percentile(&mut durations, 50);
        strip.p95 = percentile(&mut durations, 95);
        strip.p99 = percentile(&mut durations, 99);
        let first = starts.iter().map(|(start, _)| *start).min();
        let last = starts.iter().map(|(start, _)| *start).max();
        if let (Some(first), Some(last)) = (first, last) {
            let since = if query.window.since == i64::MIN { first } else { query.window.since };
            let until = query.window.until.min(self.now()).max(last.saturating_add(1));
            let parts = i64::try_from(STRIP).unwrap_or(60);
            let width = (until.saturating_sub(since) / parts).saturating_add(1);
            let mut counts = [(0_i64, 0_i64); STRIP];
            for (start, failed) in starts {
                let at = usize::try_from(start.saturating_sub(since) / width).unwrap_or(0);
                if let Some((count, errors)) = counts.get_mut(at) {
                    *count += 1;
                    *errors += i64::from(failed);
                }
            }
            let start_of = |at: usize| since.saturating_add(width.saturating_mul(i64::try_from(at).unwrap_or(0)));
            let filled = counts.iter().enumerate().filter(|(_, (count, _))| *count > 0);
            strip.buckets = filled.map(|(at, (count, errors))| (Time(start_of(at)), *count, *errors)).collect();
        }
        Ok(strip)
    }
}

/// Adds what other tables hold of a trace.
fn complete(connection: &Connection, found: Found) -> Result<TraceRow, Trouble> {
    let mut row = found.row;
    let texts = |sql: &str, parameter: &dyn rusqlite::ToSql| -> rusqlite::Result<Vec<String>> {
        connection.prepare_cached(sql)?.query_map(params![parameter], |row| row.get(0))?.collect()
    };
    if let Some(number) = found.in_table {
        row.agents = texts("SELECT agent FROM trace_agent WHERE trace = ?1 ORDER BY start_ns, agent", &number)?;
        row.tags = texts("SELECT tag FROM trace_tag WHERE trace = ?1 ORDER BY tag", &number)?;
    }
    if row.open > 0 {
        let more = texts(
            "SELECT agent FROM open_span WHERE trace_id = ?1 AND agent <> '' GROUP BY agent ORDER BY min(start_ns)",
            &row.id,
        )?;
        for agent in more {
            if !row.agents.contains(&agent) {
                row.agents.push(agent);
            }
        }
    }
    let mut scores = connection.prepare_cached(
        "SELECT name, value, label FROM score WHERE trace_id = ?1 AND span_id = '' ORDER BY name, id",
    )?;
    let briefs = scores.query_map(params![row.id], |row| {
        Ok(ScoreBrief { name: row.get(0)?, value: row.get(1)?, label: row.get(2)? })
    })?;
    row.scores = briefs.collect::<rusqlite::Result<_>>()?;
    Ok(row)
}
