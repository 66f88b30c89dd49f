//! Figures over a window of time: a row for each agent, tool, model ..., or a line for each over time.
//!
//! ```text
//! up to 200,000 spans   span_figures (covering index) --> exact
//! beyond                rollup (5 minutes, sketches) + spans past its watermark --> within 1 %, marked `sketched`
//! ```
//!
//! What counts depends on what is asked: agents by their turns, with the tokens of the model calls made for them; models
//! by model calls; tools by tool calls; everything together, sessions and users by whole traces.

use std::collections::HashMap;

use rusqlite::Connection;

use super::filter_sql::Scope;
use super::json::{Json, Object, Time, object, write_list};
use super::page::ListQuery;
use super::sketch::Sketch;
use super::sql::Sql;
use super::words::{MODEL_CALLS, kind_from_number};
use super::{ReadError, Reader, Trouble, Window};
use crate::kind::Kind;

/// Spans of a window that are still read one by one.
pub const EXACT: i64 = 200_000;
/// Length of a bucket of `rollup`, nanoseconds.
pub const BUCKET: i64 = 300_000_000_000;
/// The key in `meta` of the last span that `rollup` counts.
pub(crate) const WATERMARK: &str = "rollup_span";
/// Rows of a table and lines of a chart, at most: those that count most.
const ROWS: usize = 500;
const LINES: usize = 50;
/// Points of a line, at most.
const POINTS: i64 = 2_000;
/// Points of a line when nobody says.
const USUAL_POINTS: i64 = 60;

/// What figures are told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Nothing: all traces together.
    None,
    /// Agent.
    Agent,
    /// Model.
    Model,
    /// Tool.
    Tool,
    /// Kind of span.
    Kind,
    /// Name of span.
    Name,
    /// Session.
    Session,
    /// User.
    User,
}

impl By {
    /// By that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "none" => Self::None,
            "agent" => Self::Agent,
            "model" => Self::Model,
            "tool" => Self::Tool,
            "kind" => Self::Kind,
            "name" => Self::Name,
            "session" => Self::Session,
            "user" => Self::User,
            _ => return None,
        })
    }

    fn is_of_traces(self) -> bool {
        matches!(self, Self::None | Self::Session | Self::User)
    }

    /// SQL: the key, and which spans (or rows of `rollup`, which has the same columns) count. `letter` is the table's.
    fn of_spans(self, letter: &str) -> (String, String) {
        match self {
            Self::Agent => {
                (format!("{letter}.agent"), format!(" AND {letter}.agent <> '' AND {letter}.kind IN (2, 3, 5, 6)"))
            }
            Self::Model => {
                (format!("{letter}.model"), format!(" AND {letter}.model <> '' AND {letter}.kind IN {MODEL_CALLS}"))
            }
            Self::Tool => (format!("{letter}.name"), format!(" AND {letter}.kind = 7")),
            Self::Name => (format!("{letter}.name"), String::new()),
            Self::None | Self::Kind | Self::Session | Self::User => (format!("{letter}.kind"), String::new()),
        }
    }
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Percentiles of durations.
    Latency,
    /// Failures.
    Errors,
    /// Tokens of model calls.
    Tokens,
    /// USD.
    Cost,
    /// How many.
    Count,
    /// Percentiles of the time to the first chunk of a stream.
    FirstChunk,
}

impl Metric {
    /// The metric of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "latency" => Self::Latency,
            "errors" => Self::Errors,
            "tokens" => Self::Tokens,
            "cost" => Self::Cost,
            "count" => Self::Count,
            "first_chunk" => Self::FirstChunk,
            _ => return None,
        })
    }
}

/// The figures of one key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Turns, calls or traces.
    pub count: i64,
    /// Those that failed.
    pub errors: i64,
    /// Nanoseconds: half took no longer.
    pub p50: Option<i64>,
    /// 95 of 100.
    pub p95: Option<i64>,
    /// 99 of 100.
    pub p99: Option<i64>,
    /// Tokens of model calls, in and out.
    pub tokens: Option<i64>,
    /// USD.
    pub cost: Option<f64>,
}

impl Figures {
    fn put(&self, object: &mut Object<'_>) {
        object.put("count", &self.count);
        object.put("errors", &self.errors);
        object.put("p50", &self.p50);
        object.put("p95", &self.p95);
        object.put("p99", &self.p99);
        object.put("tokens", &self.tokens);
        object.put("cost", &self.cost);
    }
}

impl Json for Figures {
    fn write(&self, out: &mut String) {
        let mut object = Object::new(out);
        self.put(&mut object);
        object.end();
    }
}

/// A row of a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableRow {
    /// The agent, tool, model ...
    pub key: String,
    /// In the window.
    pub now: Figures,
    /// In the window of the same length before it; `None` when there is no such window.
    pub before: Option<Figures>,
}

impl Json for TableRow {
    fn write(&self, out: &mut String) {
        let mut object = Object::new(out);
        object.put("key", &self.key);
        self.now.put(&mut object);
        object.put("before", &self.before);
        object.end();
    }
}

/// Figures by key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// Percentiles are within 1 % instead of exact.
    pub sketched: bool,
    /// The largest count first.
    pub rows: Vec<TableRow>,
}

impl Json for Table {
    fn write(&self, out: &mut String) {
        object!(out, "sketched": self.sketched, "rows": self.rows);
    }
}

/// A point of a line.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Steps after the beginning.
    pub at: i64,
    /// A number, or three percentiles.
    pub value: PointValue,
    /// What it was made of.
    pub count: i64,
}

/// The value of a point.
#[derive(Clone, Debug, PartialEq)]
pub enum PointValue {
    /// A sum.
    Number(f64),
    /// The 50th, 95th and 99th percentile, nanoseconds.
    Percentiles(Option<i64>, Option<i64>, Option<i64>),
}

impl Json for Point {
    fn write(&self, out: &mut String) {
        out.push('[');
        self.at.write(out);
        out.push(',');
        match &self.value {
            PointValue::Number(number) => number.write(out),
            PointValue::Percentiles(p50, p95, p99) => object!(out, "p50": p50, "p95": p95, "p99": p99),
        }
        out.push(',');
        self.count.write(out);
        out.push(']');
    }
}

/// A metric over time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// Nanoseconds between two points.
    pub step: i64,
    /// When step 0 begins.
    pub start: i64,
    /// Percentiles are within 1 % instead of exact.
    pub sketched: bool,
    /// A line for each key; steps without anything have no point.
    pub series: Vec<(String, Vec<Point>)>,
}

impl Json for Series {
    fn write(&self, out: &mut String) {
        let mut object = Object::new(out);
        object.put("step", &self.step);
        object.put("start", &Time(self.start));
        object.put("sketched", &self.sketched);
        object.with("series", |out| {
            write_list(out, &self.series, |(key, points), out| object!(out, "key": key, "points": points));
        });
        object.end();
    }
}

/// The value that `percent` of 100 do not exceed (nearest rank); `None` without any. Reorders.
#[must_use]
pub fn percentile(values: &mut [i64], percent: usize) -> Option<i64> {
    let rank = (values.len() * percent).div_ceil(100).max(1);
    if values.is_empty() {
        return None;
    }
    let (_, value, _) = values.select_nth_unstable(rank - 1);
    Some(*value)
}

/// A span, a trace or a row of `rollup`, as far as figures need it.
struct Item<'r> {
    key: &'r str,
    start: i64,
    /// 0 when it only brings tokens and cost.
    count: i64,
    errors: i64,
    tokens: Option<i64>,
    cost: Option<f64>,
    duration: Measured<'r>,
}

enum Measured<'r> {
    Exact(i64),
    Sketch(&'r [u8]),
}

/// What has been added up.
#[derive(Clone, Debug, Default)]
struct Sum {
    count: i64,
    errors: i64,
    tokens: Option<i64>,
    cost: Option<f64>,
    durations: Vec<i64>,
    sketch: Sketch,
}

impl Sum {
    fn add(&mut self, item: &Item<'_>, sketched: bool) {
        self.count += item.count;
        self.errors += item.errors;
        if let Some(tokens) = item.tokens {
            self.tokens = Some(self.tokens.unwrap_or(0).saturating_add(tokens));
        }
        if let Some(cost) = item.cost {
            self.cost = Some(self.cost.unwrap_or(0.0) + cost);
        }
        match item.duration {
            _ if item.count == 0 => {}
            Measured::Exact(duration) if sketched => self.sketch.add(duration),
            Measured::Exact(duration) => self.durations.push(duration),
            Measured::Sketch(mut bytes) => self.sketch.merge_bytes(&mut bytes),
        }
    }

    fn percentile(&mut self, percent: u8) -> Option<i64> {
        self.sketch.percentile(percent.into()).or_else(|| percentile(&mut self.durations, percent.into()))
    }

    fn figures(&mut self) -> Figures {
        Figures {
            count: self.count,
            errors: self.errors,
            p50: self.percentile(50),
            p95: self.percentile(95),
            p99: self.percentile(99),
            tokens: self.tokens,
            cost: self.cost,
        }
    }

    fn point(&mut self, metric: Metric, at: i64) -> Option<Point> {
        #[allow(clippy::cast_precision_loss, reason = "charts show no 16 digits")]
        let value = match metric {
            Metric::Latency | Metric::FirstChunk if self.count == 0 => return None,
            Metric::Latency | Metric::FirstChunk => {
                PointValue::Percentiles(self.percentile(50), self.percentile(95), self.percentile(99))
            }
            Metric::Errors => PointValue::Number(self.errors as f64),
            Metric::Count => PointValue::Number(self.count as f64),
            Metric::Tokens => PointValue::Number(self.tokens? as f64),
            Metric::Cost => PointValue::Number(self.cost?),
        };
        Some(Point { at, value, count: self.count })
    }
}

impl Reader {
    /// A row of figures for each key.
    ///
    /// # Errors
    ///
    /// It takes too long, or the store.
    pub fn table(&self, query: &ListQuery, by: By) -> Result<Table, ReadError> {
        self.ask(|connection| {
            let (sketched, now) = self.sums(connection, query, query.window, by)?;
            let mut before = match query.window.before(self.now()) {
                Some(window) => Some(self.sums(connection, query, window, by)?.1),
                None => None,
            };
            let mut rows: Vec<TableRow> = now
                .into_iter()
                .map(|(key, mut sum)| {
                    let before = before.as_mut().map(|sums| sums.remove(&key).unwrap_or_default().figures());
                    TableRow { key, now: sum.figures(), before }
                })
                .collect();
            rows.sort_by(|left, right| (right.now.count, &left.key).cmp(&(left.now.count, &right.key)));
            rows.truncate(ROWS);
            Ok(Table { sketched, rows })
        })
    }

    fn sums(
        &self,
        connection: &Connection,
        query: &ListQuery,
        window: Window,
        by: By,
    ) -> Result<(bool, HashMap<String, Sum>), Trouble> {
        let query = ListQuery { window, ..query.clone() };
        let watermark = self.watermark(connection, &query, by)?;
        let mut sums: HashMap<String, Sum> = HashMap::new();
        self.items(connection, &query, by, false, watermark, &mut |item| {
            if let Some(sum) = sums.get_mut(item.key) {
                sum.add(&item, watermark.is_some());
            } else {
                sums.entry(item.key.to_owned()).or_default().add(&item, watermark.is_some());
            }
        })?;
        Ok((watermark.is_some(), sums))
    }

    /// A line of points for each key. `step` is in nanoseconds; without one there are some 60 points.
    ///
    /// # Errors
    ///
    /// It takes too long, or the store.
    pub fn series(&self, query: &ListQuery, metric: Metric, by: By, step: Option<i64>) -> Result<Series, ReadError> {
        self.ask(|connection| {
            let first_chunk = metric == Metric::FirstChunk;
            let watermark = if first_chunk { None } else { self.watermark(connection, query, by)? };
            let since = match query.window.since {
                i64::MIN => first_start(connection)?.unwrap_or_else(|| self.now()),
                since => since,
            };
            let until = query.window.until.min(self.now().max(since));
            let length = until.saturating_sub(since).max(1);
            let mut step = step.unwrap_or(length / USUAL_POINTS).max(length / POINTS).max(1_000_000);
            if watermark.is_some() {
                step = round_up(step, BUCKET);
            }
            let start = since.div_euclid(step).saturating_mul(step);
            let mut lines: HashMap<String, (i64, HashMap<i64, Sum>)> = HashMap::new();
            self.items(connection, query, by, first_chunk, watermark, &mut |item| {
                let at = item.start.saturating_sub(start).div_euclid(step).max(0);
                if !lines.contains_key(item.key) {
                    lines.insert(item.key.to_owned(), (0, HashMap::new()));
                }
                if let Some((count, points)) = lines.get_mut(item.key) {
                    *count += item.count;
                    points.entry(at).or_default().add(&item, watermark.is_some());
                }
            })?;
            let mut lines: Vec<_> = lines.into_iter().collect();
            lines.sort_by(|(left, (left_count, _)), (right, (right_count, _))| {
                (right_count, left).cmp(&(left_count, right))
            });
            lines.truncate(LINES);
            let series = lines.into_iter().map(|(key, (_, points))| {
                let mut points: Vec<Point> =
                    points.into_iter().filter_map(|(at, mut sum)| sum.point(metric, at)).collect();
                points.sort_by_key(|point| point.at);
                (key, points)
            });
            Ok(Series { step, start, sketched: watermark.is_some(), series: series.collect() })
        })
    }

    /// The last span of `rollup`, when the window holds too many to be read one by one.
    fn watermark(&self, connection: &Connection, query: &ListQuery, by: By) -> Result<Option<i64>, Trouble> {
        if by.is_of_traces() || !query.filter.is_empty() {
            return Ok(None);
        }
        let mut sql = Sql::with_gone(
            String::new(),
            "SELECT count(*) FROM (SELECT 1 FROM span s INDEXED BY span_figures WHERE ?1 = ''",
        );
        sql.window("s.start_ns", query.window).push(" LIMIT ").bind(EXACT + 1).push(")");
        let count: i64 = sql.rows(connection, |row| row.get(0))?.pop().unwrap_or(0);
        if count <= EXACT {
            return Ok(None);
        }
        let mut sql = sql.another("SELECT value FROM meta WHERE ?1 = '' AND key = ");
        sql.bind(WATERMARK.to_owned());
        let value: Option<String> = sql.rows(connection, |row| row.get(0))?.pop();
        Ok(value.and_then(|value| value.parse().ok()).filter(|watermark| *watermark > 0))
    }

    /// Gives every span, trace or row of `rollup` that counts to `take`.
    fn items(
        &self,
        connection: &Connection,
        query: &ListQuery,
        by: By,
        first_chunk: bool,
        watermark: Option<i64>,
        take: &mut dyn FnMut(Item<'_>),
    ) -> Result<(), Trouble> {
        if first_chunk {
            return self.first_chunks(connection, query, by, take);
        }
        if by.is_of_traces() {
            return self.trace_items(connection, query, by, take);
        }
        if watermark.is_some() {
            rolled_items(connection, query.window, by, take)?;
        }
        self.span_items(connection, query, by, watermark, take)
    }

    fn span_items(
        &self,
        connection: &Connection,
        query: &ListQuery,
        by: By,
        after: Option<i64>,
        take: &mut dyn FnMut(Item<'_>),
    ) -> Result<(), Trouble> {
        let (key, which) = by.of_spans("s");
        let mut sql = Sql::new(self, connection, "SELECT ")?;
        sql.push(&key).push(", s.start_ns, s.kind, s.status, s.duration_ns, s.input_tokens, s.output_tokens, s.cost");
        sql.push(match (after, query.filter.is_empty()) {
            (Some(_), _) => " FROM span s NOT INDEXED WHERE ?1 IS NOT NULL",
            (None, true) => " FROM span s INDEXED BY span_figures WHERE ?1 IS NOT NULL",
            (None, false) => {
                " FROM span s INDEXED BY span_figures CROSS JOIN trace t ON t.id = s.trace WHERE ?1 IS NOT NULL"
            }
        });
        sql.push(&which).window("s.start_ns", query.window);
        if let Some(after) = after {
            sql.push(" AND s.id > ").bind(after);
        }
        query.filter.write(Scope::Span, &mut sql);
        sql.each(connection, |row| {
            let kind = kind_from_number(row.get(2)?);
            let (input, output): (Option<i64>, Option<i64>) = (row.get(5)?, row.get(6)?);
            let tokens = match (input, output) {
                (None, None) => None,
                (input, output) => Some(input.unwrap_or(0).saturating_add(output.unwrap_or(0))),
            };
            let calls = is_call(kind);
            let counts = by != By::Agent || kind == Kind::Agent;
            let kind_name = kind.name();
            let key = if by == By::Kind { kind_name } else { row.get_ref(0)?.as_str().unwrap_or_default() };
            take(Item {
                key,
                start: row.get(1)?,
                count: i64::from(counts),
                errors: i64::from(counts && row.get::<_, i64>(3)? == 1),
                tokens: tokens.filter(|_| calls),
                cost: row.get::<_, Option<f64>>(7)?.filter(|_| calls),
                duration: Measured::Exact(row.get(4)?),
            });
            Ok(())
        })
    }

    fn trace_items(
        &self,
        connection: &Connection,
        query: &ListQuery,
        by: By,
        take: &mut dyn FnMut(Item<'_>),
    ) -> Result<(), Trouble> {
        let key = match by {
            By::Session => "t.session",
            By::User => "t.user",
            _ => "''",
        };
        let mut sql = Sql::new(self, connection, "SELECT ")?;
        sql.push(key).push(
            ", t.start_ns, t.status = 1, t.end_ns - t.start_ns, coalesce(t.input_tokens, t.reported_input), \
             coalesce(t.output_tokens, t.reported_output), coalesce(t.cost, t.reported_cost) FROM trace t \
             WHERE ?1 IS NOT NULL",
        );
        if by != By::None {
            sql.push(" AND ").push(key).push(" IS NOT NULL");
        }
        sql.window("t.start_ns", query.window);
        query.filter.write(Scope::Trace, &mut sql);
        sql.each(connection, |row| {
            let (input, output): (Option<i64>, Option<i64>) = (row.get(4)?, row.get(5)?);
            let tokens = input.or(output).map(|_| input.unwrap_or(0).saturating_add(output.unwrap_or(0)));
            take(Item {
                key: row.get_ref(0)?.as_str().unwrap_or_default(),
                start: row.get(1)?,
                count: 1,
                errors: row.get(2)?,
                tokens,
                cost: row.get(6)?,
                duration: Measured::Exact(row.get(3)?),
            });
            Ok(())
        })
    }

    fn first_chunks(
        &self,
        connection: &Connection,
        query: &ListQuery,
        by: By,
        take: &mut dyn FnMut(Item<'_>),
    ) -> Result<(), Trouble> {
        let key = match by {
            By::Agent => "s.agent",
            By::Model => "s.model",
            By::Name | By::Tool => "s.name",
            _ => "''",
        };
        let mut sql = Sql::new(self, connection, "SELECT ")?;
        sql.push(key).push(", s.start_ns, s.first_chunk_ns FROM span s");
        sql.push(if query.filter.is_empty() { "" } else { " JOIN trace t ON t.id = s.trace" });
        sql.push(" WHERE ?1 IS NOT NULL AND s.kind = 3 AND s.first_chunk_ns IS NOT NULL");
        sql.window("s.start_ns", query.window);
        query.filter.write(Scope::Span, &mut sql);
        sql.each(connection, |row| {
            take(Item {
                key: row.get_ref(0)?.as_str().unwrap_or_default(),
                start: row.get(1)?,
                count: 1,
                errors: 0,
                tokens: None,
                cost: None,
                duration: Measured::Exact(row.get(2)?),
            });
            Ok(())
        })
    }
}

/// Rows of `rollup` whose bucket touches the window.
fn rolled_items(
    connection: &Connection,
    window: Window,
    by: By,
    take: &mut dyn FnMut(Item<'_>),
) -> Result<(), Trouble> {
    let (key, which) = by.of_spans("s");
    let mut sql = Sql::with_gone(String::new(), "SELECT ");
    sql.push(&key).push(", s.bucket, s.kind, s.spans, s.errors, s.input_tokens + s.output_tokens, s.cost, s.sketch");
    sql.push(" FROM rollup s WHERE ?1 = ''").push(&which);
    sql.push(" AND s.bucket >= ").bind(window.since.div_euclid(BUCKET));
    sql.push(" AND s.bucket <= ").bind(window.until.saturating_sub(1).div_euclid(BUCKET));
    sql.each(connection, |row| {
        let kind = kind_from_number(row.get(2)?);
        let calls = is_call(kind);
        let counts = by != By::Agent || kind == Kind::Agent;
        let name = kind.name();
        let (tokens, cost): (i64, f64) = (row.get(5)?, row.get(6)?);
        take(Item {
            key: if by == By::Kind { name } else { row.get_ref(0)?.as_str().unwrap_or_default() },
            start: row.get::<_, i64>(1)?.saturating_mul(BUCKET),
            count: if counts { row.get(3)? } else { 0 },
            errors: if counts { row.get(4)? } else { 0 },
            // A rollup does not tell nothing from zero.
            tokens: (calls && tokens > 0).then_some(tokens),
            cost: (calls && cost > 0.0).then_some(cost),
            duration: Measured::Sketch(row.get_ref(7)?.as_blob().unwrap_or_default()),
        });
        Ok(())
    })
}

fn is_call(kind: Kind) -> bool {
    matches!(kind, Kind::Generation | Kind::Embedding | Kind::Rerank)
}

fn first_start(connection: &Connection) -> Result<Option<i64>, Trouble> {
    Ok(connection.query_row("SELECT min(start_ns) FROM trace", [], |row| row.get(0))?)
}

/// The next multiple of `unit`.
fn round_up(value: i64, unit: i64) -> i64 {
    value.saturating_add(unit - 1).div_euclid(unit).saturating_mul(unit)
}
