//! Stores for tests: rows put straight into the tables, so that what a test expects follows from what it says here.

#![allow(clippy::unwrap_used, reason = "a failing test may panic")]

use rusqlite::{Connection, params};

use super::Reader;
use crate::kind::Kind;
use crate::store::Database;

/// A second, nanoseconds.
pub(crate) const SECOND: i64 = 1_000_000_000;
/// When the stories of tests begin.
pub(crate) const BEGIN: i64 = 1_790_000_000 * SECOND;

/// A span to be inserted.
#[derive(Clone, Debug)]
pub(crate) struct Seed {
    pub(crate) trace: String,
    pub(crate) id: String,
    pub(crate) parent: Option<String>,
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) agent: String,
    pub(crate) model: String,
    pub(crate) start: i64,
    pub(crate) duration: i64,
    pub(crate) status: i64,
    pub(crate) own_error: bool,
    pub(crate) error_type: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) tokens: Option<(i64, i64)>,
    pub(crate) first_chunk: Option<i64>,
    pub(crate) cost: Option<f64>,
    pub(crate) body: String,
}

/// The id of the n-th trace.
pub(crate) fn trace_id(number: u64) -> String {
    format!("{number:08x}{:024x}", 0xabc)
}

/// The id of the n-th span.
pub(crate) fn span_id(number: u64) -> String {
    format!("{number:016x}")
}

/// Span `number` of trace `trace`, below span `parent` (0 for none).
pub(crate) fn seed(trace: u64, number: u64, parent: u64, kind: Kind, name: &str) -> Seed {
    Seed {
        trace: trace_id(trace),
        id: span_id(number),
        parent: (parent > 0).then(|| span_id(parent)),
        name: name.to_owned(),
        kind,
        agent: if kind == Kind::Agent { name.to_owned() } else { String::new() },
        model: if kind == Kind::Generation { name.to_owned() } else { String::new() },
        start: BEGIN + i64::try_from(number).unwrap() * SECOND,
        duration: SECOND,
        status: 0,
        own_error: false,
        error_type: None,
        error: None,
        tokens: None,
        first_chunk: None,
        cost: None,
        body: String::from("{\"attributes\":{}}"),
    }
}

impl Seed {
    pub(crate) fn agent(mut self, agent: &str) -> Self {
        self.agent = agent.to_owned();
        self
    }

    pub(crate) fn failed(mut self, error_type: &str, message: &str, own: bool) -> Self {
        self.status = 1;
        self.own_error = own;
        self.error_type = Some(error_type.to_owned());
        self.error = Some(message.to_owned());
        self
    }

    pub(crate) fn used(mut self, input: i64, output: i64, cost: f64) -> Self {
        self.tokens = Some((input, output));
        self.cost = Some(cost);
        self
    }

    pub(crate) fn at(mut self, start: i64, duration: i64) -> Self {
        (self.start, self.duration) = (start, duration);
        self
    }

    pub(crate) fn body(mut self, body: &serde_json::Value) -> Self {
        self.body = body.to_string();
        self
    }

    /// Inserts it and brings its trace up to date, in the way the writer does.
    pub(crate) fn insert(&self, connection: &Connection) -> i64 {
        let calls = matches!(self.kind, Kind::Generation | Kind::Embedding | Kind::Rerank);
        let tokens = self.tokens.filter(|_| calls);
        let cost = self.cost.filter(|_| calls);
        let end = self.start + self.duration;
        connection
            .execute(
                "INSERT INTO trace(trace_id, start_ns, end_ns) VALUES(?1, ?2, ?3) ON CONFLICT DO NOTHING",
                params![self.trace, self.start, end],
            )
            .unwrap();
        let trace: i64 = connection
            .query_row(
                "UPDATE trace SET start_ns = min(start_ns, ?2), end_ns = max(end_ns, ?3), spans = spans + 1, \
                 errors = errors + ?4, generations = generations + ?5, tools = tools + ?6, \
                 input_tokens = CASE WHEN ?7 IS NULL THEN input_tokens ELSE coalesce(input_tokens, 0) + ?7 END, \
                 output_tokens = CASE WHEN ?8 IS NULL THEN output_tokens ELSE coalesce(output_tokens, 0) + ?8 END, \
                 cost = CASE WHEN ?9 IS NULL THEN cost ELSE coalesce(cost, 0) + ?9 END, \
                 error = CASE WHEN ?4 THEN coalesce(error, ?10) ELSE error END WHERE trace_id = ?1 RETURNING id",
                params![
                    self.trace,
                    self.start,
                    end,
                    self.own_error,
                    self.kind == Kind::Generation,
                    self.kind == Kind::Tool,
                    tokens.map(|tokens| tokens.0),
                    tokens.map(|tokens| tokens.1),
                    cost,
                    self.error,
                ],
                |row| row.get(0),
            )
            .unwrap();
        if self.parent.is_none() {
            connection
                .execute(
                    "UPDATE trace SET root = ?2, name = ?3, status = ?4 WHERE id = ?1",
                    params![trace, self.id, self.name, self.status],
                )
                .unwrap();
        }
        if !self.agent.is_empty() {
            connection
                .execute(
                    "INSERT INTO trace_agent VALUES(?1, ?2, ?3, 1, ?4, ?5, ?6, 0, 0, 0.0) \
                     ON CONFLICT DO UPDATE SET spans = spans + 1, start_ns = min(start_ns, excluded.start_ns)",
                    params![trace, self.agent, self.start, self.own_error, self.kind == Kind::Agent, self.duration],
                )
                .unwrap();
        }
        connection
            .execute(
                "INSERT INTO span(trace, span_id, parent_id, name, kind, agent, model, start_ns, duration_ns, status, \
                 own_error, error_type, error, input_tokens, output_tokens, first_chunk_ns, cost, links) \
                 VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18)",
                params![
                    trace,
                    self.id,
                    self.parent,
                    self.name,
                    self.kind as u8,
                    self.agent,
                    self.model,
                    self.start,
                    self.duration,
                    self.status,
                    self.own_error,
                    self.error_type,
                    self.error,
                    self.tokens.map(|tokens| tokens.0),
                    self.tokens.map(|tokens| tokens.1),
                    self.first_chunk,
                    self.cost,
                    i64::from(self.body.contains("\"links\":")),
                ],
            )
            .unwrap();
        let id = connection.last_insert_rowid();
        connection.execute("INSERT INTO body(id, data) VALUES(?1, ?2)", params![id, self.body]).unwrap();
        id
    }

    /// Announces its start; `alive` says whether its process is this one or one that is gone.
    pub(crate) fn announce(&self, connection: &Connection, alive: bool) {
        let this = crate::store::process::Process::this();
        let birth = if alive { this.birth } else { String::from("before:1") };
        connection
            .execute(
                "INSERT INTO process(host, pid, birth, seen_ns) VALUES(?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
                params![this.host, this.pid, birth, BEGIN],
            )
            .unwrap();
        connection
            .execute(
                "INSERT INTO open_span(trace_id, span_id, parent_id, name, kind, agent, model, start_ns, process, data) \
                 SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, id, ?9 FROM process WHERE birth = ?10",
                params![
                    self.trace,
                    self.id,
                    self.parent,
                    self.name,
                    self.kind as u8,
                    self.agent,
                    self.model,
                    self.start,
                    self.body,
                    birth
                ],
            )
            .unwrap();
    }
}

/// A reader of a store in memory, whose clock stands an hour after [`BEGIN`].
pub(crate) fn reader() -> Reader {
    let mut reader = Reader::new(Database::in_memory().unwrap()).unwrap();
    reader.set_now(BEGIN + 3_600 * SECOND);
    reader
}

/// A support request: a manager with a researcher, a tool that fails and is tried again, two model calls.
pub(crate) fn story(connection: &Connection) {
    let message =
        |role: &str, text: &str| serde_json::json!({"role": role, "parts": [{"type": "text", "content": text}]});
    let attributes = |input: &[serde_json::Value], output: &str| {
        serde_json::json!({"attributes": {
            "gen_ai.input.messages": serde_json::Value::from(input.to_vec()).to_string(),
            "gen_ai.output.messages": serde_json::json!([message("assistant", output)]).to_string(),
            "gen_ai.response.finish_reasons": ["stop"],
        }})
    };
    let first = [message("user", "Compare SQLite with DuckDB")];
    let second = [first[0].clone(), message("assistant", "I will search"), message("tool", "SQLite is row based")];
    let exception = serde_json::json!({"attributes": {"gen_ai.tool.call.arguments": "{\"query\":\"sqlite\"}"}, "events": [
        {"time": "1790000004000000000", "name": "exception", "attributes": {
            "exception.type": "TimeoutError", "exception.message": "web_search timed out\nafter 30 s",
            "exception.stacktrace": "Traceback ..."}}]});
    let answer = serde_json::json!({"attributes": {"gen_ai.tool.call.result": "SQLite is row based"}});
    let seeds = [
        seed(1, 1, 0, Kind::Workflow, "support_workflow").at(BEGIN + SECOND, 60 * SECOND),
        seed(1, 2, 1, Kind::Agent, "manager").at(BEGIN + 2 * SECOND, 50 * SECOND),
        seed(1, 3, 2, Kind::Generation, "gpt-4o")
            .agent("manager")
            .used(100, 20, 0.01)
            .body(&attributes(&first, "I will search")),
        seed(1, 4, 2, Kind::Tool, "web_search")
            .agent("manager")
            .failed("TimeoutError", "web_search timed out", true)
            .body(&exception),
        seed(1, 5, 2, Kind::Tool, "web_search").agent("manager").body(&answer),
        seed(1, 6, 2, Kind::Agent, "researcher").at(BEGIN + 6 * SECOND, 30 * SECOND),
        seed(1, 7, 6, Kind::Generation, "gpt-4o").agent("researcher").used(50, 5, 0.002),
        seed(1, 8, 2, Kind::Generation, "gpt-4o")
            .agent("manager")
            .used(300, 60, 0.03)
            .body(&attributes(&second, "SQLite for rows")),
    ];
    for seed in &seeds {
        seed.insert(connection);
    }
    connection
        .execute_batch(
            "UPDATE trace SET session = 'sess-demo', user = '42', input = 'Compare SQLite with DuckDB'; \
             INSERT INTO trace_tag SELECT 'prod', start_ns, id FROM trace; \
             INSERT INTO score(trace_id, name, value, source, created_ns) \
             SELECT trace_id, 'helpful', 0.25, 'user', 7 FROM trace;",
        )
        .unwrap();
}
