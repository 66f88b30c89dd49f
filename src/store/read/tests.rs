//! The answers of a reader, on stores whose rows the tests put there themselves.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failing test may panic")]

use serde_json::{Value, json};

use super::metrics::{By, Metric};
use super::testing::{BEGIN, SECOND, reader, seed, span_id, story, trace_id};
use super::traces::Sort;
use super::*;
use crate::kind::Kind;

fn list(q: &str) -> ListQuery {
    ListQuery { filter: Filter::parse(q).unwrap(), ..ListQuery::default() }
}

fn ids(reader: &Reader, q: &str) -> Vec<String> {
    reader.traces(&list(q), Sort::Start, false).unwrap().traces.into_iter().map(|trace| trace.name).collect()
}

fn value(answer: &impl Json) -> Value {
    serde_json::from_str(&answer.to_json()).unwrap()
}

#[test]
fn a_trace_in_a_list_is_what_the_contract_says() {
    let reader = reader();
    story(reader.connection());
    let page = value(&reader.traces(&ListQuery::default(), Sort::Start, true).unwrap());
    assert_eq!(
        page["traces"][0],
        json!({"id": trace_id(1), "name": "support_workflow", "status": "ok", "errors": 1,
            "start": (BEGIN + SECOND).to_string(), "duration": 60 * SECOND, "spans": 8, "open": 0,
            "agents": ["manager", "researcher"], "generations": 3, "tools": 2,
            "tokens": {"input": 450, "output": 85, "cached": null, "reasoning": null}, "cost": 0.042, "unpriced": 0,
            "session": "sess-demo", "user": "42", "service": null, "environment": null,
            "input": "Compare SQLite with DuckDB", "output": null, "error": "web_search timed out", "tags": ["prod"],
            "scores": [{"name": "helpful", "value": 0.25, "label": null}]})
    );
    assert_eq!(page["facets"]["agent"], json!([["manager", 1], ["researcher", 1]]));
    assert_eq!(page["facets"]["model"], json!([["gpt-4o", 1]]));
    assert_eq!(page["facets"]["status"], json!([["ok", 1]]));
    assert_eq!(page["facets"]["tag"], json!([["prod", 1]]));
    assert_eq!(page["strip"]["p50"], json!(60 * SECOND));
    assert_eq!(page["strip"]["buckets"].as_array().unwrap().len(), 1);
}

#[test]
fn every_term_of_a_filter_holds_or_does_not() {
    let reader = reader();
    story(reader.connection());
    seed(2, 20, 0, Kind::Tool, "other").failed("KeyError", "no 'x'", true).insert(reader.connection());
    let both = ["other", "support_workflow"];
    for (q, expected) in [
        ("", &both[..]),
        ("agent:manager", &both[1..]),
        ("agent:man*,nobody", &both[1..]),
        ("-agent:manager", &both[..1]),
        ("agent:*", &both[1..]),
        ("errors:recovered", &both[1..]),
        ("errors:any", &both),
        ("errors:none", &[]),
        ("model:gpt-4o", &both[1..]),
        ("dur:>5s", &both[1..]),
        ("dur:<=1s", &both[..1]),
        ("cost:>0.01", &both[1..]),
        ("-cost:>0.01", &both[..1]),
        ("tokens:>500", &both[1..]),
        ("session:sess-demo user:42 tag:prod", &both[1..]),
        ("-tag:prod", &both[..1]),
        ("score.helpful:<0.5", &both[1..]),
        ("score.helpful:>0.5", &[]),
        ("score.helpful:*", &both[1..]),
        ("kind:tool", &both),
        ("root.kind:tool", &both[..1]),
        ("kind:tool,workflow name:web_search", &both[1..]),
        ("status:error", &both[..1]),
        ("root.status:ok", &both[1..]),
        ("id:00000001", &both[1..]),
        ("error:KeyError", &both[..1]),
        ("error:*timed*", &both[1..]),
        ("root.error:*x*", &both[..1]),
        ("root.dur:>30s", &both[1..]),
        ("env:dev", &[]),
        ("-service:api", &both),
        ("timed", &both[1..]),
        ("\"with DuckDB\"", &both[1..]),
        ("\"100% 'x; DROP TABLE span; --\"", &[]),
        ("\"\\\" OR NEAR( * ^ :\"", &[]),
    ] {
        assert_eq!(ids(&reader, q), expected, "{q}");
    }
}

#[test]
fn pages_go_through_everything_once_in_every_order() {
    let reader = reader();
    for number in 1..=23_u64 {
        // Three traces begin at the same moment, so that ties are crossed.
        let start = BEGIN + i64::try_from(number / 3).unwrap() * SECOND;
        let seed = seed(number, number, 0, Kind::Generation, "m").at(start, i64::try_from(number % 5).unwrap());
        seed.used(1, 1, 0.001).insert(reader.connection());
    }
    for number in 24..=30 {
        seed(number, number, 0, Kind::Agent, "open").at(BEGIN, 0).announce(reader.connection(), true);
    }
    for sort in [Sort::Start, Sort::Duration, Sort::Cost, Sort::Tokens, Sort::Errors] {
        let mut seen = Vec::new();
        let mut query = ListQuery { limit: 4, ..ListQuery::default() };
        loop {
            let page = reader.traces(&query, sort, false).unwrap();
            assert!(page.traces.len() <= 4);
            seen.extend(page.traces.into_iter().map(|trace| trace.id));
            match page.next {
                None => break,
                next => query.cursor = next,
            }
        }
        let mut unique = seen.clone();
        unique.sort();
        unique.dedup();
        assert_eq!((seen.len(), unique.len()), (30, 30), "{sort:?}");
    }
    let wrong = ListQuery { cursor: Some(String::from("x.y")), ..ListQuery::default() };
    assert!(matches!(reader.traces(&wrong, Sort::Start, false), Err(ReadError::Parameter(_))));
}

#[test]
fn open_spans_run_or_are_lost() {
    let reader = reader();
    let connection = reader.connection();
    seed(1, 1, 0, Kind::Agent, "alive").announce(connection, true);
    seed(1, 2, 1, Kind::Generation, "gpt").insert(connection);
    seed(2, 3, 0, Kind::Agent, "dead").announce(connection, false);
    assert_eq!(ids(&reader, "status:running"), [""]);
    assert_eq!(ids(&reader, "status:lost"), ["dead"]);
    assert_eq!(ids(&reader, "name:alive"), [""]);
    let trace = reader.trace(&trace_id(1)).unwrap();
    assert_eq!((trace.row.status, trace.row.open, trace.row.spans), (Status::Running, 1, 2));
    let statuses: Vec<Status> = trace.spans.spans.iter().map(|span| span.status).collect();
    assert_eq!(statuses, [Status::Running, Status::Ok]);
    assert_eq!(trace.spans.spans[1].parent, 0);
    assert_eq!(trace.spans.spans[0].duration, 3_599 * SECOND);
    let lost = reader.trace(&trace_id(2)).unwrap();
    assert_eq!(lost.row.status, Status::Lost);
    assert_eq!(lost.warnings[0].kind, "lost");
    assert_eq!(reader.span(&trace_id(2), &span_id(3), false).unwrap().status, Status::Lost);
}

#[test]
fn a_trace_without_its_root_has_the_status_of_what_is_there() {
    let reader = reader();
    seed(1, 2, 1, Kind::Agent, "a").insert(reader.connection());
    seed(2, 4, 3, Kind::Agent, "b").failed("E", "m", true).insert(reader.connection());
    assert_eq!(reader.trace(&trace_id(1)).unwrap().row.status, Status::Ok);
    let failed = reader.trace(&trace_id(2)).unwrap();
    assert_eq!(failed.row.status, Status::Error);
    assert_eq!((failed.spans.spans[0].parent, failed.warnings[0].kind), (trace::MISSING, "missing_parent"));
}

#[test]
fn circles_of_parents_are_opened() {
    let reader = reader();
    let connection = reader.connection();
    for (span, parent) in [(1, 3), (2, 1), (3, 2), (4, 4), (5, 3), (6, 0)] {
        seed(1, span, parent, Kind::Span, "s").insert(connection);
    }
    let trace = reader.trace(&trace_id(1)).unwrap();
    let parents: Vec<i64> = trace.spans.spans.iter().map(|span| span.parent).collect();
    assert_eq!(parents, [trace::MISSING, 0, 1, trace::MISSING, 2, trace::ROOT]);
    assert_eq!(
        trace.warnings.iter().map(|warning| (warning.kind, warning.count)).collect::<Vec<_>>(),
        [("parent_cycle", 2)]
    );
    assert_eq!(reader.compare(&trace_id(1), &trace_id(1)).unwrap().rows.len(), 6);
}

#[test]
fn ids_are_prefixes_of_hexadecimal_digits_and_nothing_else() {
    let reader = reader();
    story(reader.connection());
    seed(1 << 8, 9, 0, Kind::Span, "s").insert(reader.connection());
    assert_eq!(reader.trace("00000001").unwrap().row.id, trace_id(1));
    assert_eq!(reader.trace(&trace_id(1).to_uppercase()).unwrap().row.id, trace_id(1));
    match reader.trace("0000") {
        Err(ReadError::Ambiguous { candidates, .. }) => assert_eq!(candidates, [trace_id(1 << 8), trace_id(1)]),
        other => panic!("{other:?}"),
    }
    let long = "a".repeat(10_000);
    for hostile in ["", "000", "../../etc/passwd", "%2e%2e", "0000\0", "0001%", "CON", "' OR 1=1 --", &long, "é000"] {
        assert!(matches!(reader.trace(hostile), Err(ReadError::NotFound { .. })), "{hostile:.20}");
        assert!(matches!(reader.span(&trace_id(1), hostile, false), Err(ReadError::NotFound { .. })));
        assert!(matches!(reader.delta(&trace_id(1), hostile), Err(ReadError::NotFound { .. })));
    }
}

#[test]
fn a_skeleton_is_columns_of_one_length() {
    let reader = reader();
    story(reader.connection());
    let trace = value(&reader.trace(&trace_id(1)).unwrap());
    let spans = &trace["spans"];
    assert_eq!(spans["n"], 8);
    for column in [
        "id",
        "parent",
        "name",
        "kind",
        "agent",
        "model",
        "start",
        "duration",
        "status",
        "own_error",
        "error",
        "input_tokens",
        "output_tokens",
        "cost",
        "first_chunk",
        "service",
    ] {
        assert_eq!(spans[column].as_array().unwrap().len(), 8, "{column}");
    }
    assert_eq!(spans["parent"], json!([-1, 0, 1, 1, 1, 1, 5, 1]));
    assert_eq!(spans["kind"], json!([1, 2, 3, 7, 7, 2, 3, 3]));
    let name = |column: &str, index: usize| {
        spans["names"][usize::try_from(spans[column][index].as_i64().unwrap()).unwrap()].clone()
    };
    assert_eq!(name("name", 3), "web_search");
    assert_eq!(name("error", 3), "web_search timed out");
    assert_eq!(name("agent", 6), "researcher");
    assert_eq!(spans["start"][1], SECOND);
    assert_eq!(trace["scores"][0]["value"], 0.25);
}

#[test]
fn a_span_has_its_content_with_long_texts_put_back() {
    let reader = reader();
    let connection = reader.connection();
    let message = json!({"role": "user", "parts": [{"type": "text", "content": "one, [two]"}]}).to_string();
    for (id, text) in [(1, "long text"), (2, message.as_str())] {
        connection.execute("INSERT INTO blob VALUES(?1, ?2, 0, ?3)", (id, [id], text)).unwrap();
    }
    let body = json!({
        "attributes": {
            "input.value": {"$text": [1]}, "gen_ai.input.messages": {"$list": [2, "{\"role\":\"tool\"}"]},
            "mine": {"$map": {"$text": 7}}, "gone": {"$text": [99]}, "raw": {"$bytes": "AA=="},
            "gen_ai.tool.definitions": "[{\"name\":\"f\"}]", "gen_ai.retrieval.documents": "broken [",
            "gen_ai.retrieval.query.text": "what"},
        "events": [{"time": "5", "name": "note", "attributes": {"text": {"$text": [1]}}}],
        "links": [{"trace": trace_id(9), "span": span_id(9), "role": "handoff", "attributes": {}}]});
    seed(1, 1, 0, Kind::Generation, "m").body(&body).insert(connection);
    let span = value(&reader.span("00000001", &span_id(1), false).unwrap());
    assert_eq!(span["input"], "long text");
    assert_eq!(span["messages"]["input"][0]["parts"][0]["content"], "one, [two]");
    assert_eq!(span["messages"]["input"][1], json!({"role": "tool"}));
    assert_eq!(span["messages"]["output"], json!([]));
    assert_eq!(span["attributes"]["mine"], json!({"$text": 7}));
    assert_eq!(span["attributes"]["gone"], "<no longer stored>");
    assert_eq!(span["tools"], json!([{"name": "f"}]));
    assert_eq!(span["documents"], json!([]));
    assert_eq!(span["query"], "what");
    assert_eq!(span["events"][0]["attributes"]["text"], "long text");
    assert_eq!(span["links"][0]["role"], "handoff");
    let trace = reader.trace("00000001").unwrap();
    assert_eq!((trace.links[0].span, trace.links[0].role.as_str()), (0, "handoff"));
}

#[test]
fn long_texts_come_cut_unless_wanted_whole() {
    let reader = reader();
    let long = "x".repeat(40_000);
    let body = json!({"attributes": {"gen_ai.tool.call.result": long.as_str()}});
    seed(1, 1, 0, Kind::Tool, "t").body(&body).insert(reader.connection());
    let cut = value(&reader.span("00000001", &span_id(1), false).unwrap());
    assert_eq!(cut["output"].as_str().unwrap().len(), 32 << 10);
    assert_eq!(cut["whole"], json!({"output": 40_000}));
    assert_eq!(cut["attributes"]["gen_ai.tool.call.result"]["whole"], 40_000);
    let whole = value(&reader.span("00000001", &span_id(1), true).unwrap());
    assert_eq!(whole["output"], long.as_str());
    assert_eq!(whole["attributes"]["gen_ai.tool.call.result"], long.as_str());
}

#[test]
fn an_error_has_its_message_and_stack_from_the_event() {
    let reader = reader();
    story(reader.connection());
    let span = value(&reader.span("00000001", &span_id(4), false).unwrap());
    assert_eq!(
        span["error"],
        json!({"type": "TimeoutError", "message": "web_search timed out\nafter 30 s", "stack": "Traceback ..."})
    );
    assert_eq!(span["input"], "{\"query\":\"sqlite\"}");
}

#[test]
fn a_delta_has_what_the_call_before_did_not() {
    let reader = reader();
    story(reader.connection());
    let delta = reader.delta("00000001", &span_id(8)).unwrap();
    assert_eq!((delta.previous, delta.same, delta.messages.len()), (Some(span_id(3)), 1, 2));
    let first = reader.delta("00000001", &span_id(3)).unwrap();
    assert_eq!((first.previous, first.same, first.messages.len()), (None, 0, 1));
}

#[test]
fn a_graph_has_callers_tools_and_handoffs() {
    let reader = reader();
    let connection = reader.connection();
    story(connection);
    let link = json!({"attributes": {}, "links": [{"trace": trace_id(1), "span": span_id(6), "role": "handoff"}]});
    seed(1, 9, 2, Kind::Agent, "writer").body(&link).insert(connection);
    let graph = reader.trace_graph("00000001").unwrap();
    let edges: Vec<_> = graph
        .edges
        .iter()
        .map(|edge| (edge.from.as_str(), edge.to.as_str(), edge.calls, edge.errors, edge.handoff))
        .collect();
    assert_eq!(
        edges,
        [
            ("agent:manager", "agent:researcher", 1, 0, false),
            ("agent:manager", "tool:web_search", 2, 1, false),
            ("agent:researcher", "agent:writer", 1, 0, true),
            ("user", "agent:manager", 1, 0, false),
        ]
    );
    let manager = graph.nodes.iter().find(|node| node.name == "manager").unwrap();
    assert_eq!((manager.tokens, &manager.models[..]), (Some(480), &[(String::from("gpt-4o"), 2)][..]));
    let window = reader.graph(&ListQuery::default()).unwrap();
    assert_eq!(window.nodes.len(), graph.nodes.len());
    assert_eq!(window.edges.iter().map(|edge| edge.calls).sum::<i64>(), 5);
}

#[test]
fn sessions_sum_up_and_have_turns() {
    let reader = reader();
    let connection = reader.connection();
    story(connection);
    for number in 2..=4 {
        seed(number, number * 100, 0, Kind::Agent, "a").insert(connection);
        connection.execute("UPDATE trace SET session = 's' || id WHERE trace_id = ?1", [trace_id(number)]).unwrap();
    }
    let mut query = ListQuery { limit: 3, ..ListQuery::default() };
    let page = reader.sessions(&query).unwrap();
    let names = |page: &sessions::SessionPage| page.sessions.iter().map(|row| row.session.clone()).collect::<Vec<_>>();
    assert_eq!(names(&page), ["s4", "s3", "s2"]);
    query.cursor = page.next;
    let rest = reader.sessions(&query).unwrap();
    assert_eq!((names(&rest), rest.next), (vec![String::from("sess-demo")], None));
    assert_eq!(rest.sessions[0].first.as_deref(), Some("Compare SQLite with DuckDB"));
    let session = reader.session("sess-demo").unwrap();
    assert_eq!((session.turns.len(), session.session.tokens.input), (1, Some(450)));
    assert!(matches!(reader.session("' OR 1"), Err(ReadError::NotFound { .. })));
}

#[test]
fn errors_are_grouped_by_what_they_say() {
    let reader = reader();
    let connection = reader.connection();
    story(connection);
    for number in 2..=4 {
        let message = format!("no user '{number}' at 10.0.0.{number}");
        seed(number, number * 10, 0, Kind::Tool, "lookup").failed("KeyError", &message, true).insert(connection);
        seed(number, number * 10 + 1, number * 10, Kind::Span, "child")
            .failed("KeyError", "x", false)
            .insert(connection);
    }
    // A trace that runs may still fail.
    let again = seed(5, 51, 50, Kind::Tool, "web_search").agent("manager");
    again.failed("TimeoutError", "web_search timed out", true).insert(connection);
    connection
        .execute_batch(&format!(
            "UPDATE trace SET status = 5 WHERE trace_id = '{0}'; \
             INSERT INTO open_span(trace_id, span_id, name, kind, start_ns, process, data) \
             VALUES('{0}', '{1}', 'root', 1, 0, 99, '{{}}')",
            trace_id(5),
            span_id(50)
        ))
        .unwrap();
    let page = reader.errors(&ListQuery { limit: 1, ..ListQuery::default() }).unwrap();
    let group = &page.groups[0];
    assert_eq!((group.name.as_str(), group.count, group.traces, group.recovered), ("lookup", 3, 3, 0));
    assert_eq!(group.message, "no user '4' at 10.0.0.4");
    assert_eq!(group.example, (trace_id(4), span_id(40)));
    assert_eq!(group.trend.iter().sum::<i64>(), 3);
    let next = reader.errors(&ListQuery { cursor: page.next, limit: 1, ..ListQuery::default() }).unwrap();
    let group = &next.groups[0];
    assert_eq!((group.name.as_str(), group.count, group.traces, group.recovered), ("web_search", 2, 2, 1));
    assert_eq!(next.next, None);
}

#[test]
fn search_finds_words_and_phrases_whatever_they_hold() {
    let reader = reader();
    let connection = reader.connection();
    story(connection);
    connection
        .execute("INSERT INTO blob VALUES(1, x'01', 0, 'Einschließlich 日本語 100%_sure \"quoted\"')", [])
        .unwrap();
    seed(2, 20, 0, Kind::Tool, "t").body(&json!({"attributes": {"a": {"$text": [1]}}})).insert(connection);
    let hits = |text: &str| {
        let found = reader.search(text, &ListQuery::default()).unwrap();
        assert_eq!(found.next, None, "{text}");
        found.hits.into_iter().map(|hit| (hit.span, hit.snippet)).collect::<Vec<_>>()
    };
    assert_eq!(hits("duckdb").len(), 2);
    assert_eq!(hits("duckdb compare").len(), 2);
    assert_eq!(hits("\"row based\"").len(), 2);
    assert_eq!(hits("日本").iter().map(|hit| hit.0.as_str()).collect::<Vec<_>>(), [span_id(20)]);
    assert_eq!(hits("100%_s").len(), 1);
    assert_eq!(hits("\"quoted\"")[0].1[1], "quoted");
    assert_eq!(hits("timed out")[0].1[1], "timed");
    for hostile in
        ["NEAR(a b)", "a AND OR", "\"\"\"", "*", "(((((", "^a", "a:b", "%", "'; DROP TABLE span", "\\", "a\0b"]
    {
        reader
            .search(hostile, &ListQuery::default())
            .map_or_else(|error| assert!(matches!(error, ReadError::Parameter(_))), drop);
    }
    assert!(matches!(reader.search(&"a".repeat(1 << 20), &ListQuery::default()), Err(ReadError::Parameter(_))));
}

#[test]
fn search_goes_on_where_it_stopped() {
    let reader = reader();
    for number in 1..=7 {
        seed(number, number, 0, Kind::Tool, "same").insert(reader.connection());
    }
    let mut query = ListQuery { limit: 3, ..ListQuery::default() };
    let mut seen = Vec::new();
    loop {
        let found = reader.search("same", &query).unwrap();
        seen.extend(found.hits.into_iter().map(|hit| hit.span));
        match found.next {
            None => break,
            next => query.cursor = next,
        }
    }
    assert_eq!(seen, (1..=7).rev().map(span_id).collect::<Vec<_>>());
}

#[test]
fn facets_complete_what_is_typed() {
    let reader = reader();
    story(reader.connection());
    assert_eq!(reader.facets("agent", "m").unwrap(), [(String::from("manager"), 1)]);
    assert_eq!(reader.facets("name", "web").unwrap(), [(String::from("web_search"), 2)]);
    assert_eq!(reader.facets("tag", "%").unwrap(), []);
    assert_eq!(reader.facets("kind", "ge").unwrap(), [(String::from("generation"), 0)]);
    assert!(matches!(reader.facets("sqlite_schema", ""), Err(ReadError::Parameter(_))));
}

#[test]
fn watchers_see_begin_end_and_scores_once() {
    let reader = reader();
    let connection = reader.connection();
    let mut watch = reader.watch().unwrap();
    seed(1, 1, 0, Kind::Agent, "a").announce(connection, true);
    let look = |watch: &mut live::Watch| {
        let changes = reader.changes(watch, &Filter::default()).unwrap();
        (changes.opened.len(), changes.ended.len(), changes.traces.len(), changes.scores.len())
    };
    assert_eq!(look(&mut watch), (1, 0, 1, 0));
    assert_eq!(look(&mut watch), (0, 0, 0, 0));
    connection.execute("DELETE FROM open_span", []).unwrap();
    story(connection);
    assert_eq!(look(&mut watch), (0, 8, 1, 1));
    assert_eq!(look(&mut watch), (0, 0, 0, 0));
    let cursor = live::LiveCursor::parse(&watch.cursor.text()).unwrap();
    assert_eq!(cursor, watch.cursor);
    let mut again = Reader::watch_from(live::LiveCursor::parse("6.0").unwrap());
    let changes = reader.changes(&mut again, &Filter::parse("agent:manager").unwrap()).unwrap();
    assert_eq!((changes.ended.len(), changes.scores.len()), (2, 1));
    assert_eq!(live::LiveCursor::parse("-1.0"), None);
}

#[test]
fn a_question_that_takes_too_long_is_cancelled() {
    let reader = reader();
    let endless = reader.ask(|connection| {
        reader.deadline.store(1, Ordering::Relaxed);
        let text = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
        Ok(connection.query_row(text, [], |row| row.get::<_, i64>(0))?)
    });
    assert!(matches!(endless, Err(ReadError::Slow)));
    assert_eq!(reader.status().unwrap().spans, 0);
}

#[test]
fn figures_equal_those_computed_here() {
    let reader = reader();
    let connection = reader.connection();
    let mut random = fastrand::Rng::with_seed(7);
    let (agents, models) = (["coder", "tester"], ["gpt-4o", "o3"]);
    let mut spans = Vec::new();
    for number in 1..=400_u64 {
        let (agent, model) = (agents[random.usize(..2)], models[random.usize(..2)]);
        let at = BEGIN + random.i64(0..3_600) * SECOND;
        let mut span = match random.u8(..3) {
            0 => seed(number, number, 0, Kind::Agent, agent),
            1 => seed(number, number, 0, Kind::Generation, model).agent(agent),
            _ => seed(number, number, 0, Kind::Tool, "search").agent(agent),
        };
        span = span.at(at, random.i64(1_000..90 * SECOND)).used(random.i64(0..999), random.i64(0..99), random.f64());
        if random.u8(..4) == 0 {
            span = span.failed("E", "m", true);
        }
        span.insert(connection);
        spans.push(span);
    }
    let window = Window { since: BEGIN + 600 * SECOND, until: BEGIN + 3_000 * SECOND };
    let query = ListQuery { window, ..ListQuery::default() };
    let check = |by: By, key_of: &dyn Fn(&testing::Seed) -> Option<(String, bool)>| {
        let table = reader.table(&query, by).unwrap();
        assert!(!table.sketched && !table.rows.is_empty());
        for (window, before) in [(window, false), (window.before(reader.now()).unwrap(), true)] {
            for row in &table.rows {
                let figures = if before { row.before.as_ref().unwrap() } else { &row.now };
                let here = spans.iter().filter(|span| (window.since..window.until).contains(&span.start));
                let mine: Vec<_> = here
                    .filter_map(|span| Some((span, key_of(span)?)))
                    .filter(|(_, (key, _))| *key == row.key)
                    .collect();
                let mut durations: Vec<i64> =
                    mine.iter().filter(|(_, (_, counts))| *counts).map(|(span, _)| span.duration).collect();
                durations.sort_unstable();
                let rank = |percent: f64| {
                    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
                    let rank = (durations.len() as f64 * percent / 100.0).ceil() as usize;
                    durations.get(rank.max(1) - 1).copied()
                };
                assert_eq!(figures.count, i64::try_from(durations.len()).unwrap());
                assert_eq!([figures.p50, figures.p95, figures.p99], [rank(50.0), rank(95.0), rank(99.0)]);
                let errors = mine.iter().filter(|(span, (_, counts))| *counts && span.status == 1).count();
                assert_eq!(figures.errors, i64::try_from(errors).unwrap());
                let calls = mine.iter().filter(|(span, _)| span.kind == Kind::Generation);
                let (tokens, cost) = calls.fold((0, 0.0), |(tokens, cost), (span, _)| {
                    (tokens + span.tokens.unwrap().0 + span.tokens.unwrap().1, cost + span.cost.unwrap())
                });
                assert_eq!(figures.tokens.unwrap_or(0), tokens, "{by:?} {}", row.key);
                assert!((figures.cost.unwrap_or(0.0) - cost).abs() < 1e-9);
            }
        }
    };
    check(By::Agent, &|span| Some((span.agent.clone(), span.kind == Kind::Agent)));
    check(By::Model, &|span| (span.kind == Kind::Generation).then(|| (span.model.clone(), true)));
    check(By::Tool, &|span| (span.kind == Kind::Tool).then(|| (span.name.clone(), true)));
    check(By::Kind, &|span| Some((span.kind.name().to_owned(), true)));
    check(By::None, &|_| Some((String::new(), true)));

    let series = reader.series(&query, Metric::Count, By::None, Some(60 * SECOND)).unwrap();
    let total: i64 = series.series[0].1.iter().map(|point| point.count).sum();
    let here = spans.iter().filter(|span| (window.since..window.until).contains(&span.start)).count();
    assert_eq!(total, i64::try_from(here).unwrap());
    for point in &series.series[0].1 {
        let from = series.start + point.at * series.step;
        let count = spans
            .iter()
            .filter(|span| span.start >= window.since.max(from) && span.start < (from + series.step).min(window.until));
        assert_eq!(point.count, i64::try_from(count.count()).unwrap());
    }
    let filtered = ListQuery { filter: Filter::parse("agent:coder").unwrap(), ..query };
    let rows = reader.table(&filtered, By::Tool).unwrap().rows;
    let coder = spans.iter().filter(|span| span.kind == Kind::Tool && span.agent == "coder");
    let coder = coder.filter(|span| (window.since..window.until).contains(&span.start)).count();
    assert_eq!(rows[0].now.count, i64::try_from(coder).unwrap());
}
