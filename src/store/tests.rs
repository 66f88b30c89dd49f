//! The writer: what a batch leaves in the tables.

use std::sync::Arc;

use rusqlite::types::Value;

use super::*;
use crate::config::testing::Folder;
use crate::finished::OwnedValue;
use crate::kind::{Kind, Outcome};
use crate::sinks::Destination;
use crate::sinks::testing::{Made, delivery, ledger, span};

struct Stage {
    writer: Writer,
    _folder: Folder,
}

impl Stage {
    fn new() -> Self {
        let folder = Folder::new();
        let database = Database::open(&folder.0.join("traces.db"), Access::Write).unwrap();
        Self { writer: Writer::new(database), _folder: folder }
    }

    fn write(&mut self, spans: &[Made]) {
        let delivery = delivery(spans, &Arc::new(Destination::new("store", 0)), ledger());
        self.writer.finished(delivery.spans(), delivery.batch().resource(), |_, _| false).unwrap();
        delivery.delivered();
    }

    /// All rows of a query, as text.
    fn rows(&self, query: &str) -> Vec<String> {
        let mut statement = self.writer.database().connection.prepare(query).unwrap();
        let columns = statement.column_count();
        let text = |value: Value| match value {
            Value::Null => String::from("-"),
            Value::Integer(number) => number.to_string(),
            Value::Real(number) => number.to_string(),
            Value::Text(text) => text,
            Value::Blob(bytes) => format!("{bytes:?}"),
        };
        let rows = statement.query_map([], |row| {
            let cells: Vec<String> = (0..columns).map(|at| text(row.get(at).unwrap())).collect();
            Ok(cells.join(" "))
        });
        rows.unwrap().map(Result::unwrap).collect()
    }
}

fn call(id: u64, parent: u64, input: i64, output: i64, cost: Option<f64>) -> Made {
    let made = span(id, parent, "chat gpt-4o", 1, 2)
        .kind(Kind::Generation)
        .agent("coder")
        .text("gen_ai.request.model", "gpt-4o")
        .with("gen_ai.usage.input_tokens", OwnedValue::Int(input))
        .with("gen_ai.usage.output_tokens", OwnedValue::Int(output));
    match cost {
        Some(cost) => made.with("gen_ai.usage.cost", OwnedValue::Float(cost)),
        None => made,
    }
}

#[test]
fn summaries_are_exact_whatever_the_batches() {
    let whole = [
        call(4, 3, 10, 5, Some(0.25)),
        call(5, 3, 20, 5, None),
        span(3, 1, "coder", 0, 30)
            .kind(Kind::Agent)
            .agent("coder")
            .with("gen_ai.usage.input_tokens", OwnedValue::Int(30)),
        span(6, 1, "search", 3, 4).kind(Kind::Tool).failed("timed out"),
        span(1, 0, "run", 0, 40).text("input.value", "a question").text("session.id", "s").text("user.id", "u"),
    ];
    let figures = "SELECT name, root, session, user, end_ns - start_ns, status, spans, errors, generations, tools,
        input_tokens, output_tokens, cost, unpriced, reported_input, input, error FROM trace";
    let agents = "SELECT agent, spans, errors, turns, duration_ns, input_tokens, output_tokens, cost FROM trace_agent";
    let expected = ["run 0000000000000001 s u 40000000 0 5 1 2 1 30 10 0.25 1 30 a question timed out"];
    for size in 1..=whole.len() {
        let mut stage = Stage::new();
        for batch in whole.chunks(size) {
            stage.write(batch);
            // A batch that is sent twice changes nothing.
            stage.write(batch);
        }
        assert_eq!(stage.rows(figures), expected, "batches of {size}");
        assert_eq!(stage.rows(agents), ["coder 3 0 1 30000000 30 10 0.25"], "batches of {size}");
    }
}

#[test]
fn an_error_counts_where_it_began_in_whatever_order_spans_come() {
    let child = span(2, 1, "search", 1, 2).failed("timed out").agent("a");
    let parent = span(1, 0, "run", 0, 3).failed("search failed: timed out").agent("a");
    for order in [[&child, &parent], [&parent, &child]] {
        for together in [true, false] {
            let mut stage = Stage::new();
            if together {
                stage.write(&[order[0].clone(), order[1].clone()]);
            } else {
                for made in order {
                    stage.write(std::slice::from_ref(made));
                }
            }
            assert_eq!(stage.rows("SELECT span_id FROM span WHERE own_error = 1"), ["0000000000000002"]);
            assert_eq!(stage.rows("SELECT errors FROM trace UNION ALL SELECT errors FROM trace_agent"), ["1", "1"]);
        }
    }
}

#[test]
fn a_span_of_another_process_stands_for_the_root_until_that_comes() {
    let mut stage = Stage::new();
    stage.write(&[span(7, 6, "worker", 5, 9).remote_parent()]);
    let query = "SELECT name, root, status FROM trace";
    assert_eq!(stage.rows(query), ["worker - 0"]);
    stage.write(&[span(1, 0, "run", 0, 20).outcome(Outcome::Cancelled)]);
    stage.write(&[span(8, 6, "worker", 6, 9).remote_parent()]);
    assert_eq!(stage.rows(query), ["run 0000000000000001 2"]);
}

#[test]
fn long_texts_are_kept_once_and_tags_too() {
    let mut stage = Stage::new();
    let long = "long ".repeat(100);
    let tags = || OwnedValue::List(vec![OwnedValue::Str(String::from("prod")), OwnedValue::Str(String::from("eu"))]);
    for id in 1..=3 {
        stage.write(&[span(id, 0, "x", 0, 1).text("input.value", &long).with("ironspan.tags", tags())]);
    }
    assert_eq!(stage.rows("SELECT data FROM blob"), [long]);
    assert_eq!(stage.rows("SELECT DISTINCT data FROM body").len(), 1);
    assert_eq!(stage.rows("SELECT tag FROM trace_tag"), ["eu", "prod"]);
    assert_eq!(stage.rows("SELECT service, count(*) FROM resource"), ["demo 1"]);
    assert_eq!(stage.rows("SELECT kind, status, name, service FROM spans").len(), 3);
}

#[test]
fn what_has_begun_is_there_until_it_ends() {
    let mut stage = Stage::new();
    let running = [
        span(1, 0, "run", 0, 0).kind(Kind::Workflow).text("input.value", "a question"),
        span(2, 1, "coder", 1, 1).kind(Kind::Agent).agent("coder"),
    ];
    let begun = delivery(&running, &Arc::new(Destination::new("store", 0)), ledger());
    let resource = Arc::clone(begun.batch().resource());
    stage.writer.begun(begun.spans().map(|span| (span, &*resource))).unwrap();
    begun.delivered();
    let open = "SELECT span_id, name, agent, input FROM open_span";
    assert_eq!(stage.rows(open), ["0000000000000001 run  a question", "0000000000000002 coder coder -"]);
    assert_eq!(stage.rows("SELECT name, status, spans, input FROM trace"), ["run 5 0 a question"]);
    assert_eq!(stage.rows("SELECT pid FROM process"), [std::process::id().to_string()]);
    let ended = delivery(&running, &Arc::new(Destination::new("store", 0)), ledger());
    stage.writer.finished(ended.spans(), ended.batch().resource(), |_, _| true).unwrap();
    ended.delivered();
    assert_eq!(stage.rows(open), [""; 0]);
    assert_eq!(stage.rows("SELECT name, status, spans FROM trace"), ["run 0 2"]);
}
