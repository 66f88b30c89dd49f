//! What is new in a model call since the call before, of the same agent: agents send their whole history every time.

use rusqlite::{OptionalExtension as _, params};
use serde_json::Value;

use super::content::{Body, Texts};
use super::json::{Json, object};
use super::messages;
use super::{ReadError, Reader, Trouble};
use crate::kind::Kind;

/// The messages of a call that the call before did not have.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delta {
    /// The call before, of the same agent in the same trace.
    pub previous: Option<String>,
    /// Messages at the beginning that both have.
    pub same: usize,
    /// Those after them.
    pub messages: Vec<Value>,
}

impl Json for Delta {
    fn write(&self, out: &mut String) {
        object!(out, "previous": self.previous, "same": self.same, "messages": self.messages);
    }
}

const INPUT: &str = "gen_ai.input.messages";

impl Reader {
    /// Compares a call with the one before it.
    ///
    /// # Errors
    ///
    /// There is no such span, or no such trace.
    pub fn delta(&self, trace: &str, span: &str) -> Result<Delta, ReadError> {
        self.ask(|connection| {
            let trace = super::trace::find(connection, trace)?;
            let span = span.to_ascii_lowercase();
            let mut statement = connection.prepare_cached(
                "SELECT s.trace, s.id, s.agent, s.start_ns, b.data FROM trace t \
                 JOIN span s ON s.trace = t.id AND s.span_id = ?2 LEFT JOIN body b ON b.id = s.id WHERE t.trace_id = ?1",
            )?;
            let found = statement
                .query_row(params![trace, span], |row| {
                    let place: (i64, i64, String, i64) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
                    Ok((place, row.get::<_, Option<String>>(4)?.unwrap_or_default()))
                })
                .optional()?;
            let ((trace, id, agent, start), data) = found.ok_or_else(|| Trouble::not_found("span", &span))?;
            let mut texts = Texts::new(connection);
            let mut sent = |data: &str| -> Result<Vec<Value>, Trouble> {
                let body = Body::expanded(data, &mut texts)?;
                Ok(messages::parsed(body.text(INPUT)))
            };
            let now = sent(&data)?;
            let mut statement = connection.prepare_cached(
                "SELECT s.span_id, b.data FROM span s LEFT JOIN body b ON b.id = s.id \
                 WHERE s.trace = ?1 AND s.kind = ?2 AND s.agent = ?3 AND (s.start_ns, s.id) < (?4, ?5) \
                 ORDER BY s.start_ns DESC, s.id DESC LIMIT 1",
            )?;
            let before = statement
                .query_row(params![trace, Kind::Generation as i64, agent, start, id], |row| {
                    Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?.unwrap_or_default()))
                })
                .optional()?;
            let Some((previous, data)) = before else {
                return Ok(Delta { previous: None, same: 0, messages: now });
            };
            let then = sent(&data)?;
            let same = now.iter().zip(&then).take_while(|(now, then)| now == then).count();
            Ok(Delta { previous: Some(previous), same, messages: now.into_iter().skip(same).collect() })
        })
    }
}
