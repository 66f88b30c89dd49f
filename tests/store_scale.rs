//! How long questions take on a large store: makes one of a million spans (or of `IRONSPAN_SCALE_SPANS`) and prints a
//! table. Nothing is asserted about time; `benches/store_read.py` runs it, reads the table and judges. Run alone,
//! optimised:
//!
//! ```text
//! cargo test --release --features full --test store_scale -- --ignored --nocapture
//! ```

#![cfg(feature = "local")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a measurement: prints, and may panic"
)]

use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ironspan::store::maintain::{Limits, Maintainer, Step};
use ironspan::store::read::metrics::{By, Metric};
use ironspan::store::read::traces::Sort;
use ironspan::store::read::{Filter, Json, ListQuery, ReadError, Reader, Window};
use ironspan::store::{Access, Database};
use rusqlite::params;

/// Spans of a trace: a workflow, four agents with two model calls and three tools each.
const TRACE: i64 = 25;
const SECOND: i64 = 1_000_000_000;
const WEEK: i64 = 7 * 86_400 * SECOND;

#[test]
#[ignore = "takes a minute and a gigabyte"]
fn questions_on_a_large_store() {
    let spans: u64 = std::env::var("IRONSPAN_SCALE_SPANS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let folder = std::env::temp_dir().join(format!("ironspan-scale-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let path = folder.join("traces.db");
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap();
    let begun = Instant::now();
    make(&path, spans, now);
    println!("{:44} {:>10.1} s", "store made", begun.elapsed().as_secs_f64());
    ask(&path, now, "before maintenance");
    let begun = Instant::now();
    let mut maintainer = Maintainer::open(&path, Limits::default()).unwrap();
    while maintainer.step().unwrap() == Step::More {}
    maintainer.release();
    println!("{:44} {:>10.1} s", "rolled up, grouped and indexed", begun.elapsed().as_secs_f64());
    ask(&path, now, "after maintenance");
    let size: u64 = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    println!("{:44} {:>10} MB", "size", size >> 20);
    std::fs::remove_dir_all(folder).unwrap();
}

/// The median of five, the shortest and the longest, and the size of the answer. One that is refused has no time.
fn time(what: &str, question: impl Fn() -> Result<String, ReadError>) {
    let mut times = Vec::new();
    let mut bytes = 0;
    for _ in 0..5 {
        let begun = Instant::now();
        match question() {
            Ok(answer) => bytes = answer.len(),
            Err(error) => return println!("{what:44} refused: {error}"),
        }
        times.push(begun.elapsed());
    }
    times.sort();
    let [low, middle, high] = [0, 2, 4].map(|at: usize| times[at].as_secs_f64() * 1e3);
    println!("{what:44} {middle:>10.2} ms {low:>10.2} - {high:<10.2} {bytes:>10} B");
}

/// The answer as the page gets it.
fn json<T: Json>(answer: Result<T, ReadError>) -> Result<String, ReadError> {
    answer.map(|value| value.to_json())
}

#[allow(clippy::too_many_lines, reason = "one line for each question")]
fn ask(path: &Path, now: i64, title: &str) {
    println!("-- {title}");
    let reader = Reader::open(path).unwrap();
    let over = |length: i64, filter: &str| ListQuery {
        window: Window { since: now - length, until: i64::MAX },
        filter: Filter::parse(filter).unwrap(),
        ..ListQuery::default()
    };
    let hour = 3_600 * SECOND;
    time("newest 50 traces", || json(reader.traces(&ListQuery::default(), Sort::Start, false)));
    for (name, query) in [
        ("24 h: errors:any", over(24 * hour, "errors:any")),
        ("7 d: agent:coder errors:any", over(WEEK, "agent:coder errors:any")),
        ("7 d: a model that is rare", over(WEEK, "model:rare-model")),
        ("7 d: text that is nowhere", over(WEEK, "nowhere-at-all")),
    ] {
        time(&format!("traces, {name}"), || json(reader.traces(&query, Sort::Start, false)));
    }
    let week = over(WEEK, "");
    time("traces by cost, 7 d", || json(reader.traces(&week, Sort::Cost, false)));
    let day = over(24 * hour, "");
    time("traces with facets and strip, 24 h", || json(reader.traces(&day, Sort::Start, true)));
    time("traces with facets and strip, 7 d", || json(reader.traces(&week, Sort::Start, true)));
    let id = reader.traces(&week, Sort::Start, false).unwrap().traces[0].id.clone();
    time("a trace of 25 spans", || json(reader.trace(&id)));
    time("a trace of 10,000 spans", || json(reader.trace("ffff")));
    let span = reader.trace(&id).unwrap().spans.spans[2].id.clone();
    time("a span with content", || json(reader.span(&id, &span, false)));
    for (name, query) in [("1 h", over(hour, "")), ("24 h", day.clone()), ("7 d", week.clone())] {
        time(&format!("figures by agent, {name}"), || json(reader.table(&query, By::Agent)));
        time(&format!("latency by agent over time, {name}"), || {
            json(reader.series(&query, Metric::Latency, By::Agent, None))
        });
    }
    // All there is has no window before it to be compared with. Whether durations or sketches were read, the answer says.
    let all = ListQuery::default();
    let how = if reader.table(&all, By::Agent).is_ok_and(|table| table.sketched) { "sketched" } else { "exact" };
    time(&format!("percentiles by agent, all, {how}"), || json(reader.table(&all, By::Agent)));
    time("figures by tool, 7 d", || json(reader.table(&week, By::Tool)));
    time("sessions, 7 d", || json(reader.sessions(&week)));
    time("errors, 7 d", || json(reader.errors(&week)));
    time("graph, 24 h", || json(reader.graph(&day)));
    time("graph, 7 d", || json(reader.graph(&week)));
    time("search: two words", || json(reader.search("lantern harbour", &ListQuery::default())));
    time("search: a phrase that is nowhere", || json(reader.search("\"nowhere at all\"", &ListQuery::default())));
    time("facets of names", || reader.facets("name", "s").map(|facets| format!("{facets:?}")));
    time("status", || json(reader.status()));
}

#[allow(clippy::too_many_lines, reason = "a store has many columns")]
fn make(path: &Path, spans: u64, now: i64) {
    let database = Database::open(path, Access::Write).unwrap();
    let connection = &database.connection;
    let mut random = fastrand::Rng::with_seed(1);
    let agents =
        ["planner", "coder", "tester", "writer", "critic", "researcher", "reviewer", "router", "editor", "clerk"];
    let words =
        ["lantern", "harbour", "copper", "meadow", "signal", "orchard", "velvet", "granite", "ribbon", "compass"];
    let traces = i64::try_from(spans).unwrap() / TRACE;
    connection.execute_batch("BEGIN").unwrap();
    let insert_span = "INSERT INTO span(trace, span_id, parent_id, name, kind, agent, model, start_ns, duration_ns, status, \
        own_error, error_type, error, input_tokens, output_tokens, cost) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16)";
    let mut number = 0_i64;
    let mut story = |random: &mut fastrand::Rng, trace: i64, id: &str, start: i64, size: i64| {
        let mut errors = 0;
        for at in 0..size {
            number += 1;
            let group = (at - 1).max(0) / 6;
            let agent = agents[usize::try_from((trace + group) % 10).unwrap()];
            let (kind, name, parent) = match (at, (at - 1).max(0) % 6) {
                (0, _) => (1_i64, "workflow", 0),
                (_, 0) => (2, agent, number - at),
                (_, 1 | 2) => (3, "gpt-4o", number - (at - 1) % 6),
                _ => (7, ["search", "shell", "read_file"][usize::try_from(at % 3).unwrap()], number - (at - 1) % 6),
            };
            let failed = kind == 7 && random.u32(..40) == 0;
            errors += i64::from(failed);
            let model = match (kind, random.u32(..200_000)) {
                (3, 0) => "rare-model",
                (3, _) => "gpt-4o",
                _ => "",
            };
            let tokens = (kind == 3).then(|| random.i64(10..4_000));
            let message = failed.then(|| format!("timed out after {} s", random.u32(1..99)));
            connection
                .prepare_cached(insert_span)
                .unwrap()
                .execute(params![
                    trace,
                    format!("{number:016x}"),
                    (at > 0).then(|| format!("{parent:016x}")),
                    name,
                    kind,
                    if at == 0 { "" } else { agent },
                    model,
                    start + at * SECOND,
                    random.i64(1_000_000..20 * SECOND),
                    failed,
                    failed,
                    failed.then_some("TimeoutError"),
                    message,
                    tokens,
                    tokens.map(|tokens| tokens / 5),
                    tokens.map(|tokens| f64::from(u32::try_from(tokens).unwrap()) * 2e-6),
                ])
                .unwrap();
            let text: Vec<&str> = (0..60).map(|_| words[random.usize(..10)]).collect();
            let body = format!(
                "{{\"attributes\":{{\"ironspan.kind\":\"span\",\"input.value\":\"{}\",\"output.value\":\"call {number}\"}}}}",
                text.join(" ")
            );
            connection
                .prepare_cached("INSERT INTO body VALUES(?1, ?2)")
                .unwrap()
                .execute(params![number, body])
                .unwrap();
        }
        connection
            .prepare_cached(
                "INSERT INTO trace(id, trace_id, name, root, session, user, start_ns, end_ns, status, spans, errors, \
                 generations, tools, input_tokens, output_tokens, cost, input) \
                 VALUES(?1, ?2, 'workflow', ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 8, 12, 9000, 1800, ?11, 'a question')",
            )
            .unwrap()
            .execute(params![
                trace,
                id,
                format!("{:016x}", number + 1 - size),
                format!("session-{}", trace / 5),
                format!("user-{}", trace % 300),
                start,
                start + 40 * SECOND,
                i64::from(errors > 0 && random.u32(..3) == 0),
                size,
                errors,
                random.f64() / 10.0,
            ])
            .unwrap();
        for group in 0..4_i64 {
            let agent = agents[usize::try_from((trace + group) % 10).unwrap()];
            connection
                .prepare_cached("INSERT INTO trace_agent VALUES(?1, ?2, ?3, 6, 0, 1, ?4, 4000, 900, 0.02)")
                .unwrap()
                .execute(params![trace, agent, start, 10 * SECOND])
                .unwrap();
        }
        connection
            .prepare_cached("INSERT INTO trace_tag VALUES(?1, ?2, ?3)")
            .unwrap()
            .execute(params![if trace % 2 == 0 { "prod" } else { "test" }, start, trace])
            .unwrap();
    };
    for trace in 1..=traces {
        let back = (traces - trace) * (WEEK / (traces + 1));
        story(&mut random, trace, &format!("{trace:08x}{:024x}", 7), now - back - 60 * SECOND, TRACE);
        if trace % 1_000 == 0 {
            connection.execute_batch("COMMIT; BEGIN").unwrap();
        }
    }
    story(&mut random, traces + 1, &"f".repeat(32), now - 3 * 86_400 * SECOND, 10_000);
    connection.execute_batch("COMMIT").unwrap();
}
