//! What figures are made of: spans, traces and rows of `rollup`, one after the other, and how they are added up.

use rusqlite::Connection;

use super::{BUCKET, By, DAY, Figures, Metric, Point, PointValue, first_start, percentile};
use crate::kind::Kind;
use crate::store::read::filter_sql::Scope;
use crate::store::read::page::ListQuery;
use crate::store::read::sketch::Sketch;
use crate::store::read::sql::{INPUT_TOKENS, OUTPUT_TOKENS, Sql};
use crate::store::read::words::kind_from_number;
use crate::store::read::{Reader, Trouble, Window};

/// A span, a trace or a row of `rollup`, as far as figures need it.
pub(super) struct Item<'r> {
    pub(super) key: &'r str,
    pub(super) start: i64,
    /// 0 when it only brings tokens and cost.
    pub(super) count: i64,
    errors: i64,
    tokens: Option<i64>,
    cost: Option<f64>,
    duration: Measured<'r>,
}

pub(super) enum Measured<'r> {
    Exact(i64),
    Sketch(&'r [u8]),
}

/// What has been added up.
#[derive(Clone, Debug, Default)]
pub(super) struct Sum {
    count: i64,
    errors: i64,
    tokens: Option<i64>,
    cost: Option<f64>,
    durations: Vec<i64>,
    sketch: Sketch,
}

impl Sum {
    pub(super) fn add(&mut self, item: &Item<'_>, sketched: bool) {
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

    pub(super) fn figures(&mut self) -> Figures {
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

    pub(super) fn point(&mut self, metric: Metric, at: i64) -> Option<Point> {
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
    /// Gives every span, trace or row of roll-ups that counts to `take`.
    pub(super) fn items(
        &self,
        connection: &Connection,
        query: &ListQuery,
        by: By,
        first_chunk: bool,
        rolled: Option<RolledUp>,
        take: &mut dyn FnMut(Item<'_>),
    ) -> Result<(), Trouble> {
        if first_chunk {
            return self.first_chunks(connection, query, by, take);
        }
        if by.is_of_traces() {
            return self.trace_items(connection, query, by, take);
        }
        if let Some(rolled) = rolled {
            for part in self.parts(connection, query.window, rolled.by_days)? {
                rolled_items(connection, &part, by, take)?;
            }
        }
        self.span_items(connection, query, by, rolled.map(|rolled| rolled.last_span), take)
    }

    /// The roll-ups of a window: whole days, where there are any and days will do, and five minutes for the rest. A
    /// bucket that touches the window counts whole.
    fn parts(&self, connection: &Connection, window: Window, by_days: bool) -> Result<Vec<Part>, Trouble> {
        // Traces that are gone still count in the day of the oldest one that is not.
        let since = window.since.max(first_start(connection)?.unwrap_or(window.since));
        let first = since.div_euclid(BUCKET);
        let end = window.until.saturating_sub(1).div_euclid(BUCKET).saturating_add(1);
        let first_day = since.saturating_add(DAY - 1).div_euclid(DAY);
        // Nothing is later than now: a day that has not ended is whole.
        let end_day = if window.until >= self.now() { i64::MAX / DAY } else { window.until.div_euclid(DAY) };
        if !by_days || first_day >= end_day {
            return Ok(vec![Part { table: "rollup", length: BUCKET, first, end }]);
        }
        let of_day = |day: i64| day.saturating_mul(DAY / BUCKET);
        Ok(vec![
            Part { table: "rollup", length: BUCKET, first, end: of_day(first_day) },
            Part { table: "rollup_day", length: DAY, first: first_day, end: end_day },
            Part { table: "rollup", length: BUCKET, first: of_day(end_day), end },
        ])
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
        sql.push(key).push(", t.start_ns, t.status = 1, t.end_ns - t.start_ns, ").push(INPUT_TOKENS);
        sql.push(", ")
            .push(OUTPUT_TOKENS)
            .push(", coalesce(t.cost, t.reported_cost) FROM trace t WHERE ?1 IS NOT NULL");
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

/// What roll-ups are read for spans up to `last_span`.
#[derive(Clone, Copy, Debug)]
pub(super) struct RolledUp {
    pub(super) last_span: i64,
    /// Whole days may be one row.
    pub(super) by_days: bool,
}

/// Some buckets of a table of roll-ups.
struct Part {
    table: &'static str,
    /// Of a bucket, nanoseconds.
    length: i64,
    first: i64,
    /// The first one that is not wanted.
    end: i64,
}

/// The rows of some buckets.
fn rolled_items(connection: &Connection, part: &Part, by: By, take: &mut dyn FnMut(Item<'_>)) -> Result<(), Trouble> {
    let (key, which) = by.of_spans("s");
    let mut sql = Sql::with_gone(String::new(), "SELECT ");
    sql.push(&key).push(", s.bucket, s.kind, s.spans, s.errors, s.input_tokens + s.output_tokens, s.cost, s.sketch");
    sql.push(" FROM ").push(part.table).push(" s WHERE ?1 = ''").push(&which);
    sql.push(" AND s.bucket >= ").bind(part.first);
    sql.push(" AND s.bucket < ").bind(part.end);
    sql.each(connection, |row| {
        let kind = kind_from_number(row.get(2)?);
        let calls = is_call(kind);
        let counts = by != By::Agent || kind == Kind::Agent;
        let name = kind.name();
        let (tokens, cost): (i64, f64) = (row.get(5)?, row.get(6)?);
        take(Item {
            key: if by == By::Kind { name } else { row.get_ref(0)?.as_str().unwrap_or_default() },
            start: row.get::<_, i64>(1)?.saturating_mul(part.length),
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
