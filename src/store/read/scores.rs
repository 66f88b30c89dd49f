//! What people and programs think of traces, spans and sessions.

use rusqlite::{Connection, Row, params};

use super::json::{Json, Time, object};
use super::sql::Sql;
use super::{ReadError, Reader, Trouble};

/// Scores of an answer, at most.
const MOST: i64 = 1_000;

/// A stored score.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// Its row.
    pub id: i64,
    /// The trace; empty for a session's.
    pub trace: String,
    /// The span; empty for the whole trace.
    pub span: String,
    /// The session; empty for a trace's.
    pub session: String,
    /// What is judged.
    pub name: String,
    /// As a number.
    pub value: Option<f64>,
    /// As a word.
    pub label: Option<String>,
    /// Why.
    pub comment: Option<String>,
    /// Who judged: `code`, `user`, ...
    pub source: String,
    /// By name, where known.
    pub author: String,
    /// Nanoseconds since the Unix epoch.
    pub created_ns: i64,
}

impl Json for Score {
    fn write(&self, out: &mut String) {
        object!(out, "id": self.id, "trace": self.trace, "span": self.span, "session": self.session, "name": self.name,
            "value": self.value, "label": self.label, "comment": self.comment, "source": self.source,
            "author": self.author, "time": Time(self.created_ns));
    }
}

/// Scores, and what there is to ask for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores {
    /// The newest first.
    pub scores: Vec<Score>,
    /// Name, number of scores and their mean.
    pub names: Vec<(String, i64, Option<f64>)>,
}

impl Json for Scores {
    fn write(&self, out: &mut String) {
        object!(out, "scores": self.scores, "names": self.names);
    }
}

pub(crate) const COLUMNS: &str =
    "c.id, c.trace_id, c.span_id, c.session, c.name, c.value, c.label, c.comment, c.source, c.author, c.created_ns";

pub(crate) fn score(row: &Row<'_>) -> rusqlite::Result<Score> {
    Ok(Score {
        id: row.get(0)?,
        trace: row.get(1)?,
        span: row.get(2)?,
        session: row.get(3)?,
        name: row.get(4)?,
        value: row.get(5)?,
        label: row.get(6)?,
        comment: row.get(7)?,
        source: row.get(8)?,
        author: row.get(9)?,
        created_ns: row.get(10)?,
    })
}

/// The scores of a trace and of its spans.
pub(super) fn of_trace(connection: &Connection, trace: &str) -> Result<Vec<Score>, Trouble> {
    let mut statement = connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM score c WHERE c.trace_id = ?1 ORDER BY c.created_ns"))?;
    let scores = statement.query_map(params![trace], score)?;
    Ok(scores.collect::<rusqlite::Result<_>>()?)
}

impl Reader {
    /// The newest scores, of that name and of that trace where given.
    ///
    /// # Errors
    ///
    /// The store.
    pub fn scores(&self, name: Option<&str>, trace: Option<&str>) -> Result<Scores, ReadError> {
        self.ask(|connection| {
            let mut sql = Sql::with_gone(String::new(), "SELECT ");
            sql.push(COLUMNS).push(" FROM score c WHERE ?1 = ''");
            if let Some(name) = name {
                sql.push(" AND c.name = ").bind(name.to_owned());
            }
            if let Some(trace) = trace {
                sql.push(" AND c.trace_id = ").bind(super::trace::find(connection, trace)?);
            }
            sql.push(" ORDER BY c.created_ns DESC, c.id DESC LIMIT ").bind(MOST);
            let scores = sql.rows(connection, score)?;
            let mut names = connection
                .prepare_cached("SELECT name, count(*), avg(value) FROM score GROUP BY name ORDER BY name")?;
            let names = names.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            Ok(Scores { scores, names: names.collect::<rusqlite::Result<_>>()? })
        })
    }
}
