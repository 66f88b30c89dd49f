//! One whole trace without its content: every span as a few numbers, in columns.
//!
//! Parents are indices, so readers need no table of ids. Broken input ends here: a parent that is not in the store is
//! [`MISSING`], and a circle of parents is opened at its earliest span.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, params};

use super::content::Body;
use super::json::{Json, Object, Time, object, write_list};
use super::scores::Score;
use super::sql::Sql;
use super::traces::TraceRow;
use super::words::{Status, kind_from_number};
use super::{ReadError, Reader, Trouble};
use crate::kind::Kind;

/// The parent of a root.
pub const ROOT: i64 = -1;
/// The parent is not in the store.
pub const MISSING: i64 = -2;
/// The shortest prefix of an id that is taken for one.
const PREFIX: usize = 4;
/// Ids shown when a prefix fits several.
const CANDIDATES: i64 = 10;
/// A child that begins so much before its parent is a sign of clocks that differ, nanoseconds.
const SKEW: i64 = 1_000_000;

/// A span without its content. Texts are indices into [`Skeleton::names`].
#[derive(Clone, Debug, PartialEq)]
pub struct SpanEntry {
    /// 16 hexadecimal digits.
    pub id: String,
    /// Index of the parent, [`ROOT`] or [`MISSING`].
    pub parent: i64,
    /// What it is called.
    pub name: i64,
    /// What it is.
    pub kind: Kind,
    /// The agent it worked for; -1 for none.
    pub agent: i64,
    /// The model; -1 for none.
    pub model: i64,
    /// Nanoseconds after the trace's start.
    pub start: i64,
    /// Nanoseconds, so far for an open one.
    pub duration: i64,
    /// How it ended.
    pub status: Status,
    /// It failed, and not because a child did.
    pub own_error: bool,
    /// The message of its error; -1 for none.
    pub error: i64,
    /// Tokens sent.
    pub input_tokens: Option<i64>,
    /// Tokens received.
    pub output_tokens: Option<i64>,
    /// USD.
    pub cost: Option<f64>,
    /// Nanoseconds until the first chunk of a stream.
    pub first_chunk: Option<i64>,
    /// The service; -1 for none.
    pub service: i64,
}

/// The spans of a trace, in the order of their starts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Skeleton {
    /// Names, agents, models, messages and services, each once.
    pub names: Vec<String>,
    /// The spans.
    pub spans: Vec<SpanEntry>,
}

impl Skeleton {
    /// The text of an index; nothing for -1.
    #[must_use]
    pub fn text(&self, index: i64) -> &str {
        usize::try_from(index).ok().and_then(|index| self.names.get(index)).map_or("", String::as_str)
    }

    /// The children of every span and, last, the roots and those without a parent here; each in the order of starts.
    #[must_use]
    pub fn children(&self) -> Vec<Vec<usize>> {
        let mut children = vec![Vec::new(); self.spans.len() + 1];
        for (index, span) in self.spans.iter().enumerate() {
            let parent = usize::try_from(span.parent).unwrap_or(self.spans.len());
            if let Some(list) = children.get_mut(parent) {
                list.push(index);
            }
        }
        children
    }
}

impl Json for Skeleton {
    fn write(&self, out: &mut String) {
        fn column<T: Json>(object: &mut Object<'_>, spans: &[SpanEntry], name: &str, value: impl Fn(&SpanEntry) -> T) {
            object.with(name, |out| write_list(out, spans, |span, out| value(span).write(out)));
        }
        out.reserve(self.spans.len() * 72);
        let mut object = Object::new(out);
        let spans = self.spans.as_slice();
        object.put("n", &spans.len());
        object.put("names", &self.names);
        object.with("id", |out| write_list(out, spans, |span, out| span.id.write(out)));
        column(&mut object, spans, "parent", |span| span.parent);
        column(&mut object, spans, "name", |span| span.name);
        column(&mut object, spans, "kind", |span| span.kind as i64);
        column(&mut object, spans, "agent", |span| span.agent);
        column(&mut object, spans, "model", |span| span.model);
        column(&mut object, spans, "start", |span| span.start);
        column(&mut object, spans, "duration", |span| span.duration);
        column(&mut object, spans, "status", |span| span.status as i64);
        column(&mut object, spans, "own_error", |span| i64::from(span.own_error));
        column(&mut object, spans, "error", |span| span.error);
        column(&mut object, spans, "input_tokens", |span| span.input_tokens);
        column(&mut object, spans, "output_tokens", |span| span.output_tokens);
        column(&mut object, spans, "cost", |span| span.cost);
        column(&mut object, spans, "first_chunk", |span| span.first_chunk);
        column(&mut object, spans, "service", |span| span.service);
        object.end();
    }
}

/// Something about a trace that its reader should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceWarning {
    /// `missing_parent`, `parent_cycle`, `clock_skew` or `lost`.
    pub kind: &'static str,
    /// Spans that it is about.
    pub count: usize,
    /// The same as a sentence.
    pub text: String,
}

impl Json for TraceWarning {
    fn write(&self, out: &mut String) {
        object!(out, "kind": self.kind, "count": self.count, "text": self.text);
    }
}

/// A link from a span of the trace to another span, of any trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceLink {
    /// Index of the span that has it.
    pub span: usize,
    /// Trace that it points to.
    pub to_trace: String,
    /// Span that it points to.
    pub to_span: String,
    /// What it is for; may be empty.
    pub role: String,
}

impl Json for TraceLink {
    fn write(&self, out: &mut String) {
        (self.span, self.to_trace.as_str(), self.to_span.as_str(), self.role.as_str()).write(out);
    }
}

/// A whole trace without content.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace {
    /// As in a list.
    pub row: TraceRow,
    /// The spans.
    pub spans: Skeleton,
    /// Their links.
    pub links: Vec<TraceLink>,
    /// What to know about it.
    pub warnings: Vec<TraceWarning>,
    /// Scores of the trace and of its spans.
    pub scores: Vec<Score>,
}

impl Json for Trace {
    fn write(&self, out: &mut String) {
        object!(out, "trace": self.row, "spans": self.spans, "links": self.links, "warnings": self.warnings,
            "scores": self.scores);
    }
}

impl Reader {
    /// The whole id of the trace whose id begins with `prefix`, of at least four digits in any case.
    ///
    /// # Errors
    ///
    /// No trace has it, or several have.
    pub fn trace_id(&self, prefix: &str) -> Result<String, ReadError> {
        self.ask(|connection| find(connection, prefix))
    }

    /// The trace whose id begins with `prefix`.
    ///
    /// # Errors
    ///
    /// As [`Reader::trace_id`].
    pub fn trace(&self, prefix: &str) -> Result<Trace, ReadError> {
        self.ask(|connection| {
            let id = find(connection, prefix)?;
            self.whole(connection, &id)
        })
    }

    pub(super) fn whole(&self, connection: &Connection, id: &str) -> Result<Trace, Trouble> {
        let (number, row) = self.trace_row(connection, id)?.ok_or_else(|| Trouble::not_found("trace", id))?;
        let mut building = Building { start: row.start_ns, ..Building::default() };
        if let Some(number) = number {
            building.finished(connection, number)?;
        }
        let now = self.now();
        let mut open_links = Vec::new();
        let open = self.open_spans(connection, Some(id), usize::MAX)?;
        let ended: HashSet<String> = if open.is_empty() { HashSet::new() } else { building.ids() };
        for span in open {
            // It may have ended between the announcement of its start and the batch that took it away.
            if ended.contains(&span.id) {
                continue;
            }
            if span.data.contains("\"links\":") {
                open_links.push((span.id.clone(), span.data.clone()));
            }
            let entry = SpanEntry {
                parent: ROOT,
                name: building.name(&span.name),
                kind: span.kind,
                agent: building.name(&span.agent),
                model: building.name(&span.model),
                start: span.start_ns.saturating_sub(row.start_ns),
                duration: if span.status == Status::Running { now.saturating_sub(span.start_ns).max(0) } else { 0 },
                status: span.status,
                own_error: false,
                error: -1,
                input_tokens: None,
                output_tokens: None,
                cost: None,
                first_chunk: None,
                service: -1,
                id: span.id,
            };
            building.add(entry, span.parent);
        }
        let linked = std::mem::take(&mut building.linked);
        let (spans, mut warnings) = building.finish();
        let lost = spans.spans.iter().filter(|span| span.status == Status::Lost).count();
        if lost > 0 {
            let text = format!("{lost} spans were open when their process ended: their ends are not known");
            warnings.push(TraceWarning { kind: "lost", count: lost, text });
        }
        let links = links(connection, &linked, &spans, &open_links)?;
        let scores = super::scores::of_trace(connection, id)?;
        Ok(Trace { row, spans, links, warnings, scores })
    }
}

/// The one trace whose id begins with `prefix`.
pub(super) fn find(connection: &Connection, prefix: &str) -> Result<String, Trouble> {
    let wanted = prefix.to_ascii_lowercase();
    let fits = (PREFIX..=32).contains(&wanted.len()) && wanted.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !fits {
        return Err(Trouble::not_found("trace", prefix));
    }
    let mut sql = Sql::with_gone(String::new(), "SELECT trace_id, start_ns FROM (");
    for (index, table) in ["trace", "open_span"].into_iter().enumerate() {
        sql.push(if index > 0 { " UNION ALL " } else { "" });
        sql.push("SELECT trace_id, start_ns FROM ").push(table).push(" WHERE ?1 = '' AND trace_id >= ");
        sql.bind(wanted.clone()).push(" AND trace_id < ").bind(format!("{wanted}g"));
    }
    sql.push(") GROUP BY trace_id ORDER BY min(start_ns) DESC LIMIT ").bind(CANDIDATES);
    let mut candidates: Vec<String> = sql.rows(connection, |row| row.get(0))?;
    match candidates.len() {
        0 => Err(Trouble::not_found("trace", prefix)),
        1 => Ok(candidates.swap_remove(0)),
        _ => Err(ReadError::Ambiguous { prefix: wanted, candidates }.into()),
    }
}

/// The links of all spans. They are in the content, which is read only where it holds any: `linked` has the ids and the
/// rows of those spans, `open` the ids and the content of those that have not ended.
fn links(
    connection: &Connection,
    linked: &[(String, i64)],
    spans: &Skeleton,
    open: &[(String, String)],
) -> Result<Vec<TraceLink>, Trouble> {
    if linked.is_empty() && open.is_empty() {
        return Ok(Vec::new());
    }
    let places: HashMap<&str, usize> =
        spans.spans.iter().enumerate().map(|(index, span)| (span.id.as_str(), index)).collect();
    let mut found = Vec::new();
    let mut take = |id: &str, data: &str| {
        if let Some(span) = places.get(id) {
            found.extend(Body::parse(data).links().map(|link| TraceLink {
                span: *span,
                to_trace: link.trace.to_owned(),
                to_span: link.span.to_owned(),
                role: link.role.to_owned(),
            }));
        }
    };
    let mut statement = connection.prepare_cached("SELECT data FROM body WHERE id = ?1")?;
    for (id, number) in linked {
        let mut rows = statement.query(params![number])?;
        while let Some(row) = rows.next()? {
            take(id, row.get_ref(0)?.as_str().unwrap_or_default());
        }
    }
    for (id, data) in open {
        take(id, data);
    }
    found.sort_by_key(|link| link.span);
    Ok(found)
}

/// A skeleton that is being put together.
#[derive(Default)]
struct Building {
    start: i64,
    names: Vec<String>,
    known: HashMap<String, i64>,
    spans: Vec<(SpanEntry, Option<String>)>,
    /// Ids and rows of finished spans with links.
    linked: Vec<(String, i64)>,
}

impl Building {
    fn name(&mut self, text: &str) -> i64 {
        if text.is_empty() {
            return -1;
        }
        if let Some(index) = self.known.get(text) {
            return *index;
        }
        let index = i64::try_from(self.names.len()).unwrap_or(-1);
        self.names.push(text.to_owned());
        self.known.insert(text.to_owned(), index);
        index
    }

    fn ids(&self) -> HashSet<String> {
        self.spans.iter().map(|(span, _)| span.id.clone()).collect()
    }

    fn add(&mut self, span: SpanEntry, parent: Option<String>) {
        self.spans.push((span, parent));
    }

    fn finished(&mut self, connection: &Connection, trace: i64) -> Result<(), Trouble> {
        let mut statement = connection.prepare_cached(
            "SELECT s.span_id, s.parent_id, s.name, s.kind, s.agent, s.model, s.start_ns, s.duration_ns, s.status, \
             s.own_error, s.error, s.input_tokens, s.output_tokens, s.cost, s.first_chunk_ns, r.service, s.links, s.id \
             FROM span s LEFT JOIN resource r ON r.id = s.resource WHERE s.trace = ?1",
        )?;
        let mut rows = statement.query(params![trace])?;
        while let Some(row) = rows.next()? {
            let mut text = |index: usize| -> rusqlite::Result<i64> {
                let value = row.get_ref(index)?;
                Ok(value.as_str_or_null().ok().flatten().map_or(-1, |text| self.name(text)))
            };
            let (name, agent, model) = (text(2)?, text(4)?, text(5)?);
            let (error, service) = (text(10)?, text(15)?);
            let entry = SpanEntry {
                id: row.get(0)?,
                parent: ROOT,
                name,
                kind: kind_from_number(row.get(3)?),
                agent,
                model,
                start: row.get::<_, i64>(6)?.saturating_sub(self.start),
                duration: row.get(7)?,
                status: Status::from_number(row.get(8)?),
                own_error: row.get(9)?,
                error,
                input_tokens: row.get(11)?,
                output_tokens: row.get(12)?,
                cost: row.get(13)?,
                first_chunk: row.get(14)?,
                service,
            };
            if row.get::<_, i64>(16)? > 0 {
                self.linked.push((entry.id.clone(), row.get(17)?));
            }
            self.add(entry, row.get(1)?);
        }
        Ok(())
    }

    /// Sorts, turns parents into indices and opens circles.
    fn finish(mut self) -> (Skeleton, Vec<TraceWarning>) {
        self.spans.sort_by(|(left, _), (right, _)| (left.start, &left.id).cmp(&(right.start, &right.id)));
        let places: HashMap<&str, usize> =
            self.spans.iter().enumerate().map(|(index, (span, _))| (span.id.as_str(), index)).collect();
        let parents: Vec<i64> = self
            .spans
            .iter()
            .map(|(_, parent)| match parent {
                None => ROOT,
                Some(id) => places.get(id.as_str()).and_then(|index| i64::try_from(*index).ok()).unwrap_or(MISSING),
            })
            .collect();
        let mut spans: Vec<SpanEntry> = self.spans.into_iter().map(|(span, _)| span).collect();
        for (span, parent) in spans.iter_mut().zip(parents) {
            span.parent = parent;
        }
        let missing = spans.iter().filter(|span| span.parent == MISSING).count();
        let circles = open_circles(&mut spans);
        let skewed = spans
            .iter()
            .filter(|span| {
                let parent = usize::try_from(span.parent).ok().and_then(|parent| spans.get(parent));
                parent.is_some_and(|parent| span.start.saturating_add(SKEW) < parent.start)
            })
            .count();
        let mut warnings = Vec::new();
        let mut warn = |kind, count: usize, text: &str| {
            if count > 0 {
                warnings.push(TraceWarning { kind, count, text: format!("{count} {text}") });
            }
        };
        warn("missing_parent", missing, "spans have a parent that is not in this store");
        warn("parent_cycle", circles, "spans were their own ancestors and stand at the top");
        warn("clock_skew", skewed, "spans begin before their parents: clocks of different machines differ");
        (Skeleton { names: self.names, spans }, warnings)
    }
}

/// Makes the earliest span of every circle of parents an orphan; returns how many there were.
fn open_circles(spans: &mut [SpanEntry]) -> usize {
    // 0: not seen; n: seen in walk n.
    let mut seen = vec![0_usize; spans.len()];
    let mut circles = 0;
    for begin in 0..spans.len() {
        let mut at = begin;
        loop {
            match seen.get_mut(at) {
                Some(mark) if *mark == 0 => *mark = begin + 1,
                Some(mark) if *mark == begin + 1 => {
                    // Spans are walked in the order of their starts, so `begin` leads to the circle; its earliest member
                    // is found by going round once.
                    let mut earliest = at;
                    let mut next = parent_of(spans, at);
                    while let Some(index) = next.filter(|index| *index != at) {
                        earliest = earliest.min(index);
                        next = parent_of(spans, index);
                    }
                    if let Some(span) = spans.get_mut(earliest) {
                        span.parent = MISSING;
                        circles += 1;
                    }
                    break;
                }
                _ => break,
            }
            match parent_of(spans, at) {
                Some(parent) => at = parent,
                None => break,
            }
        }
    }
    circles
}

fn parent_of(spans: &[SpanEntry], index: usize) -> Option<usize> {
    spans.get(index).and_then(|span| usize::try_from(span.parent).ok())
}

/// A span as the live stream sends it.
#[derive(Clone, Debug, PartialEq)]
pub struct SpanRow {
    /// The trace.
    pub trace: String,
    /// 16 hexadecimal digits.
    pub id: String,
    /// The span above.
    pub parent: Option<String>,
    /// What it is called.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// How it ended.
    pub status: Status,
    /// The agent it worked for; empty for none.
    pub agent: String,
    /// The model; empty for none.
    pub model: String,
    /// Nanoseconds since the Unix epoch.
    pub start_ns: i64,
    /// Nanoseconds; 0 for an open one.
    pub duration_ns: i64,
    /// It failed, and not because a child did.
    pub own_error: bool,
    /// What went wrong.
    pub error: Option<String>,
    /// Tokens sent.
    pub input_tokens: Option<i64>,
    /// Tokens received.
    pub output_tokens: Option<i64>,
    /// USD.
    pub cost: Option<f64>,
}

impl Json for SpanRow {
    fn write(&self, out: &mut String) {
        object!(out, "trace": self.trace, "id": self.id, "parent": self.parent, "name": self.name, "kind": self.kind,
            "status": self.status, "agent": self.agent, "model": self.model, "start": Time(self.start_ns),
            "duration": self.duration_ns, "own_error": self.own_error, "error": self.error,
            "input_tokens": self.input_tokens, "output_tokens": self.output_tokens, "cost": self.cost);
    }
}
