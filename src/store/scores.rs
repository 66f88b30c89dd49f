//! Writing scores: from the page, the command line and programs, at any time after the trace.

use std::path::Path;

use rusqlite::{OptionalExtension as _, params};

use super::read::ReadError;
use super::read::scores::{COLUMNS, Score, score};
use super::{Access, Database, StoreError};

/// The longest name and label, and the longest comment, characters.
const WORD: usize = 200;
const COMMENT: usize = 10_000;

/// A score to be stored. One of `value` and `label`, one of `trace` and `session`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewScore {
    /// The trace: its id, or the beginning of it.
    pub trace: Option<String>,
    /// A span of the trace; none for the whole trace.
    pub span: Option<String>,
    /// A session.
    pub session: Option<String>,
    /// What is judged.
    pub name: String,
    /// As a number.
    pub value: Option<f64>,
    /// As a word.
    pub label: Option<String>,
    /// Why.
    pub comment: Option<String>,
    /// Who judges: `user`, `code`, ...
    pub source: String,
    /// By name, where known.
    pub author: String,
    /// Tells scores apart that agree in all of the above; the last one of a key counts.
    pub key: String,
}

/// A connection that writes scores and nothing else.
#[derive(Debug)]
pub struct ScoreWriter {
    database: Database,
}

fn refuse<T>(sentence: impl Into<String>) -> Result<T, ReadError> {
    Err(ReadError::Parameter(sentence.into()))
}

impl ScoreWriter {
    /// Opens the store at `path`, which has to be there.
    ///
    /// # Errors
    ///
    /// As [`Database::open`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        if !path.exists() {
            return Err(StoreError::Missing(path.to_owned()));
        }
        Ok(Self { database: Database::open(path, Access::Write)? })
    }

    /// Writes to `database`, which may also be one in memory.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// Stores a score; one with the same target, name, source, author and key is replaced.
    ///
    /// # Errors
    ///
    /// It makes no sense, the trace or the span is not in the store, or the store cannot be written.
    pub fn put(&self, new: &NewScore, now_ns: i64) -> Result<Score, ReadError> {
        check(new)?;
        let connection = &self.database.connection;
        let explain = |error| ReadError::Store(self.database.explain(error));
        let trace = match &new.trace {
            None => String::new(),
            Some(prefix) => super::read::find_trace(&self.database, prefix)?,
        };
        let span = new.span.as_deref().unwrap_or_default().to_ascii_lowercase();
        if !span.is_empty() {
            let known = connection
                .prepare_cached(
                    "SELECT 1 FROM trace t JOIN span s ON s.trace = t.id WHERE t.trace_id = ?1 AND s.span_id = ?2 \
                     UNION ALL SELECT 1 FROM open_span WHERE trace_id = ?1 AND span_id = ?2",
                )
                .and_then(|mut statement| statement.exists(params![trace, span]))
                .map_err(explain)?;
            if !known {
                return Err(ReadError::NotFound { what: "span", id: span.chars().take(64).collect() });
            }
        }
        let stored = connection.prepare_cached(&format!(
            "INSERT INTO score AS c (trace_id, span_id, session, name, value, label, comment, source, author, key, \
             created_ns) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) \
             ON CONFLICT(trace_id, span_id, session, name, source, author, key) DO UPDATE SET value = excluded.value, \
             label = excluded.label, comment = excluded.comment, created_ns = excluded.created_ns RETURNING {}",
            COLUMNS.replace("c.", "")
        ));
        let stored = stored.and_then(|mut statement| {
            let session = new.session.as_deref().unwrap_or_default();
            let values = params![
                trace,
                span,
                session,
                new.name,
                new.value,
                new.label,
                new.comment,
                new.source,
                new.author,
                new.key,
                now_ns
            ];
            statement.query_row(values, score)
        });
        stored.map_err(explain)
    }

    /// Removes a score; says whether there was one.
    ///
    /// # Errors
    ///
    /// The store cannot be written.
    pub fn delete(&self, id: i64) -> Result<bool, ReadError> {
        let deleted = self.database.connection.prepare_cached("DELETE FROM score WHERE id = ?1 RETURNING id");
        let deleted =
            deleted.and_then(|mut statement| statement.query_row([id], |row| row.get::<_, i64>(0)).optional());
        deleted.map(|id| id.is_some()).map_err(|error| self.database.explain(error).into())
    }
}

fn check(new: &NewScore) -> Result<(), ReadError> {
    let long = |text: &Option<String>, most: usize| text.as_ref().is_some_and(|text| text.chars().count() > most);
    let named = new.name.chars().count();
    if named == 0 || named > WORD || new.name.chars().any(|letter| letter.is_whitespace() || "\":,".contains(letter)) {
        return refuse(format!("name has to be 1 to {WORD} characters without space, colon, comma and quote"));
    }
    if new.value.is_some() == new.label.is_some() {
        return refuse("a score has either a value or a label");
    }
    if new.value.is_some_and(|value| !value.is_finite()) {
        return refuse("value has to be a number");
    }
    if long(&new.label, WORD) || new.label.as_deref() == Some("") {
        return refuse(format!("label has to be 1 to {WORD} characters"));
    }
    if long(&new.comment, COMMENT) {
        return refuse(format!("comment has to be {COMMENT} characters at most"));
    }
    if new.trace.is_some() == new.session.is_some() || long(&new.session, WORD) || new.session.as_deref() == Some("") {
        return refuse("a score is about either a trace or a session");
    }
    if new.span.is_some() && new.trace.is_none() {
        return refuse("a span needs its trace");
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failing test may panic")]
mod tests {
    use super::*;
    use crate::config::testing::Folder;
    use crate::store::Reader;
    use crate::store::read::testing::{span_id, story, trace_id};

    #[test]
    fn scores_are_stored_replaced_and_deleted() {
        let folder = Folder::new();
        let path = folder.0.join("traces.db");
        let database = Database::open(&path, Access::Write).unwrap();
        story(&database.connection);
        let writer = ScoreWriter::new(database);
        let new = NewScore {
            trace: Some(String::from("00000001")),
            name: String::from("right"),
            value: Some(0.5),
            source: String::from("user"),
            ..NewScore::default()
        };
        let first = writer.put(&new, 9).unwrap();
        assert_eq!((first.trace.as_str(), first.value), (trace_id(1).as_str(), Some(0.5)));
        let again = writer.put(&NewScore { value: None, label: Some(String::from("no")), ..new.clone() }, 10).unwrap();
        assert_eq!((again.id, again.value, again.label.as_deref()), (first.id, None, Some("no")));
        let of_span = NewScore { span: Some(span_id(3)), ..new.clone() };
        assert_ne!(writer.put(&of_span, 11).unwrap().id, first.id);
        assert_eq!(Reader::open(&path).unwrap().scores(Some("right"), None).unwrap().scores.len(), 2);
        assert!(writer.delete(first.id).unwrap() && !writer.delete(first.id).unwrap());
        for wrong in [
            NewScore { value: None, ..new.clone() },
            NewScore { label: Some(String::from("x")), ..new.clone() },
            NewScore { value: Some(f64::NAN), ..new.clone() },
            NewScore { name: String::from("a b"), ..new.clone() },
            NewScore { trace: None, ..new.clone() },
            NewScore { session: Some(String::from("s")), ..new.clone() },
        ] {
            assert!(matches!(writer.put(&wrong, 1), Err(ReadError::Parameter(_))), "{wrong:?}");
        }
        let nowhere = NewScore { span: Some(span_id(99)), ..new };
        assert!(matches!(writer.put(&nowhere, 1), Err(ReadError::NotFound { .. })));
    }
}
