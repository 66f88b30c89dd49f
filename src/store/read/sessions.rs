//! Sessions: the traces that share one, summed up, and the turns of one.

use rusqlite::{Connection, Row};

use super::filter_sql::Scope;
use super::json::{Json, Time, object};
use super::page::{Cursor, ListQuery};
use super::sql::{INPUT_TOKENS, OUTPUT_TOKENS, Sql};
use super::traces::TraceRow;
use super::words::Tokens;
use super::{Filter, ReadError, Reader, Trouble};

/// Words that a list shows of a session's first input.
const WORDS: usize = 20;
/// Turns of a session, at most.
const TURNS: i64 = 1_000;

/// A session in a list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SessionRow {
    /// Its id.
    pub session: String,
    /// The user.
    pub user: Option<String>,
    /// Traces in the window.
    pub traces: i64,
    /// Spans that failed of themselves.
    pub errors: i64,
    /// The first words of the first trace's input.
    pub first: Option<String>,
    /// Nanoseconds since the Unix epoch.
    pub start_ns: i64,
    /// Nanoseconds since the Unix epoch.
    pub end_ns: i64,
    /// Nanoseconds that its traces took.
    pub duration_ns: i64,
    /// Tokens.
    pub tokens: Tokens,
    /// USD.
    pub cost: Option<f64>,
}

impl Json for SessionRow {
    fn write(&self, out: &mut String) {
        object!(out, "session": self.session, "user": self.user, "traces": self.traces, "errors": self.errors,
            "first": self.first, "start": Time(self.start_ns), "end": Time(self.end_ns), "duration": self.duration_ns,
            "tokens": self.tokens.total(), "cost": self.cost);
    }
}

/// A page of sessions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SessionPage {
    /// The rows, the one with the newest trace first.
    pub sessions: Vec<SessionRow>,
    /// Where the next page begins.
    pub next: Option<String>,
}

impl Json for SessionPage {
    fn write(&self, out: &mut String) {
        object!(out, "sessions": self.sessions, "next": self.next);
    }
}

/// A session with its turns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Session {
    /// As in a list.
    pub session: SessionRow,
    /// Its traces, oldest first, with whole input and output.
    pub turns: Vec<TraceRow>,
}

impl Json for Session {
    fn write(&self, out: &mut String) {
        object!(out, "session": self.session, "turns": self.turns);
    }
}

/// SQL: what a row is read from, over the traces `t` of a session.
fn columns() -> String {
    format!(
        "t.session, max(t.user), count(*), sum(t.errors), min(t.start_ns), max(t.end_ns), \
         sum(t.end_ns - t.start_ns), sum({INPUT_TOKENS}), sum({OUTPUT_TOKENS}), sum(t.cached_tokens), \
         sum(t.reasoning_tokens), sum(coalesce(t.cost, t.reported_cost)), max(t.start_ns)"
    )
}

fn session(row: &Row<'_>) -> rusqlite::Result<(i64, SessionRow)> {
    let session = SessionRow {
        session: row.get(0)?,
        user: row.get(1)?,
        traces: row.get(2)?,
        errors: row.get(3)?,
        first: None,
        start_ns: row.get(4)?,
        end_ns: row.get(5)?,
        duration_ns: row.get(6)?,
        tokens: Tokens::from_row(row, 7)?,
        cost: row.get(11)?,
    };
    Ok((row.get(12)?, session))
}

impl Reader {
    /// A page of sessions. A filter asks their traces.
    ///
    /// # Errors
    ///
    /// A cursor that is none, or the store.
    pub fn sessions(&self, query: &ListQuery) -> Result<SessionPage, ReadError> {
        self.ask(|connection| {
            let limit = query.rows();
            let mut sql = Sql::new(self, connection, "SELECT ")?;
            sql.push(&columns()).push(" FROM trace t WHERE ?1 IS NOT NULL AND t.session IS NOT NULL");
            sql.window("t.start_ns", query.window);
            query.filter.write(Scope::Trace, &mut sql);
            sql.push(" GROUP BY t.session");
            if let Some(text) = &query.cursor {
                let cursor = Cursor::parse(text)?;
                sql.push(" HAVING (max(t.start_ns), t.session) < (")
                    .bind(cursor.value)
                    .push(", ")
                    .bind(cursor.row)
                    .push(")");
            }
            sql.push(" ORDER BY max(t.start_ns) DESC, t.session DESC LIMIT ");
            sql.bind(i64::try_from(limit + 1).unwrap_or(501));
            let mut rows = sql.rows(connection, session)?;
            let more = rows.len() > limit;
            rows.truncate(limit);
            let next = rows.last().filter(|_| more);
            let next = next.map(|(value, row)| Cursor { value: *value, row: row.session.clone() }.text());
            let mut sessions: Vec<SessionRow> = rows.into_iter().map(|(_, row)| row).collect();
            for session in &mut sessions {
                session.first = first_words(connection, &session.session)?;
            }
            Ok(SessionPage { sessions, next })
        })
    }

    /// A session with its turns.
    ///
    /// # Errors
    ///
    /// There is no such session.
    pub fn session(&self, id: &str) -> Result<Session, ReadError> {
        self.ask(|connection| {
            let mut sql = Sql::with_gone(String::new(), "SELECT ");
            sql.push(&columns()).push(" FROM trace t WHERE ?1 = '' AND t.session = ").bind(id.to_owned());
            sql.push(" GROUP BY t.session");
            let found = sql.rows(connection, session)?.pop();
            let (_, mut row) = found.ok_or_else(|| Trouble::not_found("session", id))?;
            row.first = first_words(connection, id)?;
            let mut sql = sql.another("SELECT t.trace_id, t.root FROM trace t WHERE ?1 = '' AND t.session = ");
            sql.bind(id.to_owned()).push(" ORDER BY t.start_ns LIMIT ").bind(TURNS);
            let ids: Vec<(String, Option<String>)> = sql.rows(connection, |row| Ok((row.get(0)?, row.get(1)?)))?;
            let whole: Vec<String> = ids.iter().map(|(id, _)| id.clone()).collect();
            let mut turns = self.trace_rows(connection, &whole, &Filter::default())?;
            let roots: std::collections::HashMap<String, Option<String>> = ids.into_iter().collect();
            for turn in &mut turns {
                self.check_time()?;
                if let Some(Some(root)) = roots.get(&turn.id) {
                    self.complete_turn(connection, turn, root)?;
                }
            }
            Ok(Session { session: row, turns })
        })
    }

    /// The list's row has the beginning only of what the root was given and returned.
    fn complete_turn(&self, connection: &Connection, turn: &mut TraceRow, root: &str) -> Result<(), Trouble> {
        let root = self.content(connection, turn.id.clone(), root, false)?;
        let (sent, received) = root.messages.map_or((None, None), |messages| {
            (spoken(&messages.input.0, "user"), spoken(&messages.output.0, "assistant"))
        });
        turn.input = sent.or(root.input).or_else(|| turn.input.take());
        turn.output = received.or(root.output).or_else(|| turn.output.take());
        Ok(())
    }
}

/// What the last message of that role says; without one, what the last message says.
fn spoken(messages: &str, role: &str) -> Option<String> {
    let messages = super::messages::parsed(Some(messages));
    let of_role =
        messages.iter().rev().find(|message| message.get("role").and_then(|said| said.as_str()) == Some(role));
    let parts = of_role.or(messages.last())?.get("parts")?.as_array()?;
    let texts: Vec<&str> = parts.iter().filter_map(|part| part.get("content")?.as_str()).collect();
    (!texts.is_empty()).then(|| texts.join("\n"))
}

fn first_words(connection: &Connection, session: &str) -> Result<Option<String>, Trouble> {
    let mut sql = Sql::with_gone(String::new(), "SELECT t.input FROM trace t WHERE ?1 = '' AND t.session = ");
    sql.bind(session.to_owned()).push(" AND t.input IS NOT NULL ORDER BY t.start_ns LIMIT 1");
    let input: Option<String> = sql.rows(connection, |row| row.get(0))?.pop();
    Ok(input.map(|input| input.split_whitespace().take(WORDS).collect::<Vec<_>>().join(" ")))
}
