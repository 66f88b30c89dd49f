//! Values that a field of the filter has in the store: for completion while somebody types.

use super::sql::{Sql, like};
use super::words::Status;
use super::{ReadError, Reader};
use crate::kind::Kind;

/// Values offered.
const MOST: i64 = 20;
/// Rows looked at where no index holds the values: the newest.
const NEWEST: i64 = 50_000;

impl Reader {
    /// The values of `field` that begin with `prefix`, the most frequent first.
    ///
    /// # Errors
    ///
    /// There is no such field, or the store.
    pub fn facets(&self, field: &str, prefix: &str) -> Result<Vec<(String, i64)>, ReadError> {
        let words = |words: &[&'static str]| {
            let fits = words.iter().filter(|word| word.starts_with(prefix));
            Ok(fits.map(|word| ((*word).to_owned(), 0)).collect())
        };
        let newest_spans = format!("(SELECT name, model FROM span ORDER BY id DESC LIMIT {NEWEST})");
        let newest_traces =
            format!("(SELECT session, user, resource FROM trace ORDER BY start_ns DESC LIMIT {NEWEST})");
        let (column, table) = match field {
            "kind" => return words(&Kind::ALL.map(Kind::name)),
            "status" => return words(&Status::ALL.map(Status::name)),
            "errors" => return words(&["any", "none", "recovered"]),
            "agent" => ("agent", String::from("trace_agent")),
            "tag" => ("tag", String::from("trace_tag")),
            "model" => ("model", newest_spans),
            "name" => ("name", newest_spans),
            "session" => ("session", newest_traces),
            "user" => ("user", newest_traces),
            "service" => ("service", format!("{newest_traces} t JOIN resource r ON r.id = t.resource")),
            "env" => ("environment", format!("{newest_traces} t JOIN resource r ON r.id = t.resource")),
            "score" | "score." => ("name", String::from("score")),
            _ => {
                let known = "agent, model, name, kind, status, errors, session, user, tag, service, env, score";
                return Err(ReadError::Parameter(format!("field has to be one of {known}")));
            }
        };
        self.ask(|connection| {
            let mut sql = Sql::with_gone(String::new(), "SELECT ");
            sql.push(column).push(", count(*) FROM ").push(&table).push(" WHERE ?1 = '' AND ").push(column);
            sql.push(" <> '' AND ").push(column).push(" LIKE ").bind(like("", prefix, "%")).push(" ESCAPE '\\'");
            sql.push(" GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT ").bind(MOST);
            sql.rows(connection, |row| Ok((row.get(0)?, row.get(1)?)))
        })
    }
}
