//! Statements that are put together from parts, with every value as a parameter.

use rusqlite::types::Value;
use rusqlite::{Connection, ParamsFromIter, Row, params_from_iter};

use super::{Reader, Trouble};

/// SQL: the status of trace `t` as people are told it. Parameter 1 holds the processes that are gone.
///
/// A trace whose root has not ended runs while one of its open spans has a living process, and is lost when none has.
/// Without any open span the root is elsewhere; then the topmost spans that are here decide.
pub(super) const STATUS: &str = "(CASE WHEN t.status <> 5 THEN t.status \
    WHEN EXISTS(SELECT 1 FROM open_span o WHERE o.trace_id = t.trace_id \
        AND o.process NOT IN (SELECT value FROM json_each(?1))) THEN 5 \
    WHEN EXISTS(SELECT 1 FROM open_span o WHERE o.trace_id = t.trace_id) THEN 6 \
    WHEN t.errors > 0 AND EXISTS(SELECT 1 FROM span e WHERE e.trace = t.id AND e.status = 1 \
        AND NOT EXISTS(SELECT 1 FROM span p WHERE p.trace = e.trace AND p.span_id = e.parent_id)) THEN 1 \
    ELSE 0 END)";

/// SQL: tokens of trace `t`: those of its model calls. What other spans report counts where no call tells any.
pub(super) const INPUT_TOKENS: &str =
    "coalesce(t.input_tokens, CASE WHEN t.output_tokens IS NULL THEN t.reported_input END)";
pub(super) const OUTPUT_TOKENS: &str =
    "coalesce(t.output_tokens, CASE WHEN t.input_tokens IS NULL THEN t.reported_output END)";
/// SQL: both together; 0 where nothing is known.
pub(super) const TOKENS: &str = "(CASE WHEN t.input_tokens IS NULL AND t.output_tokens IS NULL \
    THEN coalesce(t.reported_input, 0) + coalesce(t.reported_output, 0) \
    ELSE coalesce(t.input_tokens, 0) + coalesce(t.output_tokens, 0) END)";

/// SQL: the same shape as `trace`, of traces none of whose spans has ended.
pub(super) const UNBEGUN: &str = "(SELECT NULL AS id, o.trace_id, NULL AS resource, \
    coalesce(min(CASE WHEN o.parent_id IS NULL THEN o.name END), min(o.name)) AS name, NULL AS root, \
    max(o.session) AS session, max(o.user) AS user, min(o.start_ns) AS start_ns, min(o.start_ns) AS end_ns, \
    5 AS status, 0 AS spans, 0 AS errors, 0 AS generations, 0 AS tools, NULL AS input_tokens, \
    NULL AS output_tokens, NULL AS cached_tokens, NULL AS reasoning_tokens, NULL AS cost, 0 AS unpriced, \
    NULL AS reported_input, NULL AS reported_output, NULL AS reported_cost, \
    coalesce(min(CASE WHEN o.parent_id IS NULL THEN o.input END), min(o.input)) AS input, NULL AS output, \
    NULL AS error, 0 AS pinned \
    FROM open_span o WHERE NOT EXISTS(SELECT 1 FROM trace x WHERE x.trace_id = o.trace_id) GROUP BY o.trace_id)";

/// A statement and its parameters. The first one is always the list of processes that are gone, as JSON.
#[derive(Clone, Debug)]
pub(super) struct Sql {
    text: String,
    values: Vec<Value>,
}

impl Sql {
    /// Begins with `text`.
    pub(super) fn new(reader: &Reader, connection: &Connection, text: &str) -> Result<Self, Trouble> {
        let gone = reader.processes_gone(connection)?;
        let ids: Vec<String> = gone.iter().map(i64::to_string).collect();
        Ok(Self::with_gone(format!("[{}]", ids.join(",")), text))
    }

    pub(super) fn with_gone(gone: String, text: &str) -> Self {
        Self { text: text.to_owned(), values: vec![Value::Text(gone)] }
    }

    /// Another statement of the same question.
    pub(super) fn another(&self, text: &str) -> Self {
        Self { text: text.to_owned(), values: self.values.iter().take(1).cloned().collect() }
    }

    /// Appends SQL.
    pub(super) fn push(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Appends a parameter.
    pub(super) fn bind(&mut self, value: impl Into<Value>) -> &mut Self {
        self.values.push(value.into());
        self.text.push('?');
        self.text.push_str(itoa::Buffer::new().format(self.values.len()));
        self
    }

    /// Appends parameters as a list in parentheses.
    pub(super) fn bind_all(&mut self, values: impl IntoIterator<Item = impl Into<Value>>) -> &mut Self {
        self.push("(");
        for (index, value) in values.into_iter().enumerate() {
            if index > 0 {
                self.push(", ");
            }
            self.bind(value);
        }
        self.push(")")
    }

    /// Appends " AND column >= ? AND column < ?"; nothing for a side that is open.
    pub(super) fn window(&mut self, column: &str, window: super::Window) -> &mut Self {
        if window.since != i64::MIN {
            self.push(" AND ").push(column).push(" >= ").bind(window.since);
        }
        if window.until != i64::MAX {
            self.push(" AND ").push(column).push(" < ").bind(window.until);
        }
        self
    }

    fn parameters(&self) -> ParamsFromIter<impl Iterator<Item = &Value>> {
        // The last parameter that the text names may be an earlier one than was bound: SQLite takes exactly that many.
        let known = if self.values.len() == 1 && !self.text.contains("?1") { 0 } else { self.values.len() };
        params_from_iter(self.values.iter().take(known))
    }

    /// Runs it and gives every row to `take`.
    pub(super) fn each(
        &self,
        connection: &Connection,
        mut take: impl FnMut(&Row<'_>) -> rusqlite::Result<()>,
    ) -> Result<(), Trouble> {
        let mut statement = connection.prepare_cached(&self.text)?;
        let mut rows = statement.query(self.parameters())?;
        while let Some(row) = rows.next()? {
            take(row)?;
        }
        Ok(())
    }

    /// Runs it and maps every row.
    pub(super) fn rows<T>(
        &self,
        connection: &Connection,
        mut map: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, Trouble> {
        let mut found = Vec::new();
        self.each(connection, |row| {
            found.push(map(row)?);
            Ok(())
        })?;
        Ok(found)
    }
}

/// A pattern for LIKE (with `ESCAPE '\'`) that finds `text` as it is, between `before` and `after`.
pub(super) fn like(before: &str, text: &str, after: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push_str(before);
    for letter in text.chars() {
        if matches!(letter, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern.push_str(after);
    pattern
}

/// A query for the text index that finds this text as a phrase, whatever operators it holds.
pub(super) fn phrase(text: &str, prefix: bool) -> String {
    let mut phrase = String::with_capacity(text.len() + 3);
    phrase.push('"');
    for letter in text.chars().filter(|letter| *letter != '\0') {
        if letter == '"' {
            phrase.push('"');
        }
        phrase.push(letter);
    }
    phrase.push('"');
    if prefix {
        phrase.push('*');
    }
    phrase
}
