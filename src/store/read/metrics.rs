//! Figures over a window of time: a row for each agent, tool, model ..., or a line for each over time.
//!
//! ```text
//! up to 200,000 spans   span_figures (covering index) --> exact
//! beyond                rollup (5 minutes) and rollup_day, sketches, + spans past their watermark --> within 1 %,
//!                       marked `sketched`
//! ```
//!
//! What counts depends on what is asked: agents by their turns, with the tokens of the model calls made for them; models
//! by model calls; tools by tool calls; everything together, sessions and users by whole traces.

mod items;

use std::collections::HashMap;

use items::{RolledUp, Sum};
use rusqlite::Connection;

use super::json::{Json, Object, Time, object, write_list};
use super::page::ListQuery;
use super::sql::Sql;
use super::words::MODEL_CALLS;
use super::{ReadError, Reader, Trouble, Window};

/// Spans of a window that are still read one by one.
pub const EXACT: i64 = 200_000;
/// Length of a bucket of `rollup`, nanoseconds.
pub const BUCKET: i64 = 300_000_000_000;
/// Length of a bucket of `rollup_day`, nanoseconds.
pub(crate) const DAY: i64 = 86_400_000_000_000;
/// The key in `meta` of the last span that `rollup` and `rollup_day` count.
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
        let watermark = Self::watermark(connection, &query, by)?;
        let mut sums: HashMap<String, Sum> = HashMap::new();
        let rolled = watermark.map(|last_span| RolledUp { last_span, by_days: true });
        self.items(connection, &query, by, false, rolled, &mut |item| {
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
            let watermark = if first_chunk { None } else { Self::watermark(connection, query, by)? };
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
            let rolled = watermark.map(|last_span| RolledUp { last_span, by_days: false });
            self.items(connection, query, by, first_chunk, rolled, &mut |item| {
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
    pub(super) fn watermark(connection: &Connection, query: &ListQuery, by: By) -> Result<Option<i64>, Trouble> {
        if by.is_of_traces() || !query.filter.is_empty() {
            return Ok(None);
        }
        let window = query.window;
        let mut sql = Sql::with_gone(String::new(), "SELECT coalesce(sum(spans), 0) FROM rollup_day WHERE ?1 = ''");
        sql.push(" AND bucket >= ").bind(window.since.saturating_add(DAY - 1).div_euclid(DAY));
        sql.push(" AND bucket < ").bind(window.until.div_euclid(DAY));
        let mut count: i64 = sql.rows(connection, |row| row.get(0))?.pop().unwrap_or(0);
        if count <= EXACT {
            sql = sql.another("SELECT count(*) FROM (SELECT 1 FROM span s INDEXED BY span_figures WHERE ?1 = ''");
            sql.window("s.start_ns", window).push(" LIMIT ").bind(EXACT + 1).push(")");
            count = sql.rows(connection, |row| row.get(0))?.pop().unwrap_or(0);
        }
        if count <= EXACT {
            return Ok(None);
        }
        let mut sql = sql.another("SELECT value FROM meta WHERE ?1 = '' AND key = ");
        sql.bind(WATERMARK.to_owned());
        let value: Option<String> = sql.rows(connection, |row| row.get(0))?.pop();
        Ok(value.and_then(|value| value.parse().ok()).filter(|watermark| *watermark > 0))
    }
}

fn first_start(connection: &Connection) -> Result<Option<i64>, Trouble> {
    Ok(connection.query_row("SELECT min(start_ns) FROM trace", [], |row| row.get(0))?)
}

/// The next multiple of `unit`.
fn round_up(value: i64, unit: i64) -> i64 {
    value.saturating_add(unit - 1).div_euclid(unit).saturating_mul(unit)
}
