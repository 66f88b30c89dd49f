//! Derived tables against the spans they are derived from, and what is kept.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failing test may panic")]

use super::*;
use crate::config::testing::Folder;
use crate::kind::Kind;
use crate::store::read::metrics::By;
use crate::store::read::testing::{BEGIN, SECOND, seed, story, trace_id};
use crate::store::read::{ListQuery, Reader, Window};

const DAY: i64 = 86_400 * SECOND;

fn maintainer() -> Maintainer {
    Maintainer::new(Database::in_memory().unwrap(), Limits::default())
}

fn work(maintainer: &mut Maintainer, now: i64) {
    maintainer.retained = i64::MIN;
    while maintainer.step_at(now).unwrap() == Step::More {}
}

fn count(maintainer: &Maintainer, table: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    maintainer.database.connection.query_row(&sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn one_process_looks_after_a_store_until_it_lets_go() {
    let folder = Folder::new();
    let path = folder.0.join("traces.db");
    drop(Database::open(&path, Access::Write).unwrap());
    let mut first = Maintainer::open(&path, Limits::default()).unwrap();
    let mut second = Maintainer::open(&path, Limits::default()).unwrap();
    assert_eq!(first.step_at(BEGIN).unwrap(), Step::Idle);
    assert_eq!(second.step_at(BEGIN + SECOND).unwrap(), Step::NotOurs);
    assert_eq!(first.step_at(BEGIN + 10 * SECOND).unwrap(), Step::Idle);
    assert_eq!(second.step_at(BEGIN + 16 * SECOND).unwrap(), Step::NotOurs);
    assert_eq!(second.step_at(BEGIN + 26 * SECOND).unwrap(), Step::Idle);
    second.release();
    assert_eq!(first.step_at(BEGIN + 32 * SECOND).unwrap(), Step::Idle);
    assert!(Maintainer::open(&folder.0.join("none.db"), Limits::default()).is_err());
}

#[test]
fn rollups_are_sums_of_spans_and_can_be_rebuilt() {
    let mut maintainer = maintainer();
    story(&maintainer.database.connection);
    work(&mut maintainer, BEGIN);
    for number in 100..400 {
        seed(number, number, 0, Kind::Tool, "t").insert(&maintainer.database.connection);
    }
    work(&mut maintainer, BEGIN);
    let sums = |maintainer: &Maintainer, table: &str| -> Vec<(i64, i64, i64, i64, i64)> {
        let spans = if table == "span" { "count(*), sum(status = 1)" } else { "sum(spans), sum(errors)" };
        let sql =
            format!("SELECT kind, {spans}, sum(coalesce(input_tokens, 0)), sum(duration_ns) FROM {table} GROUP BY 1");
        let connection = &maintainer.database.connection;
        let mut statement = connection.prepare(&sql).unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)));
        rows.unwrap().collect::<Result<_, _>>().unwrap()
    };
    for table in ["rollup", "rollup_day"] {
        assert_eq!(sums(&maintainer, table), sums(&maintainer, "span"));
    }
    assert_eq!(count(&maintainer, "error_group"), 1);
    maintainer.rebuild().unwrap();
    for table in ["rollup", "rollup_day"] {
        assert_eq!(sums(&maintainer, table), sums(&maintainer, "span"));
    }
    let reader = Reader::new(maintainer.database).unwrap();
    let found = reader.search("duckdb compare", &ListQuery::default()).unwrap();
    assert_eq!(found.hits.len(), 2);
    assert_eq!(reader.search("\"row based\"", &ListQuery::default()).unwrap().hits.len(), 2);
    assert_eq!(reader.search("nowhere", &ListQuery::default()).unwrap().hits.len(), 0);
}

#[test]
fn figures_of_many_days_are_those_of_whole_days_and_of_what_is_left_at_both_ends() {
    let mut maintainer = maintainer();
    // A span every two seconds for nearly five days.
    let connection = &maintainer.database.connection;
    connection
        .execute_batch(&format!(
            "INSERT INTO trace(trace_id, start_ns, end_ns) VALUES('{}', {BEGIN}, {BEGIN}); \
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 210000) \
             INSERT INTO span(trace, span_id, name, kind, agent, start_ns, duration_ns, status, input_tokens) \
             SELECT 1, printf('%016x', i), 'turn', 2, 'a' || (i % 3), {BEGIN} + i * 2 * {SECOND}, 1000 * i, i % 11 = 0, \
             NULL FROM n;",
            trace_id(1)
        ))
        .unwrap();
    while derive::figures(&mut maintainer.database.connection).unwrap() {}
    let reader = Reader::new(maintainer.database).unwrap();
    let aligned = |at: i64| at.div_euclid(300 * SECOND) * 300 * SECOND;
    let end = BEGIN + 420_000 * SECOND;
    for (since, until) in [
        (i64::MIN, i64::MAX),
        (aligned(BEGIN + 5_000 * SECOND), i64::MAX),
        (i64::MIN, aligned(end - 5_000 * SECOND)),
        (aligned(BEGIN + 3_000 * SECOND), aligned(end - 3_000 * SECOND)),
    ] {
        let window = Window { since, until };
        let table = reader.table(&ListQuery { window, ..ListQuery::default() }, By::Agent).unwrap();
        assert!(table.sketched);
        let (spans, errors): (i64, i64) = reader
            .database()
            .connection
            .query_row(
                "SELECT count(*), sum(status = 1) FROM span WHERE start_ns >= ?1 AND start_ns < ?2",
                [since, until],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .unwrap();
        assert_eq!(table.rows.iter().map(|row| row.now.count).sum::<i64>(), spans);
        assert_eq!(table.rows.iter().map(|row| row.now.errors).sum::<i64>(), errors);
    }
}

#[test]
fn sketched_figures_are_near_the_exact_ones() {
    let mut maintainer = maintainer();
    let connection = &maintainer.database.connection;
    // More spans than are read one by one, made by SQL because that takes a second.
    connection
        .execute_batch(&format!(
            "INSERT INTO trace(trace_id, start_ns, end_ns) VALUES('{}', {BEGIN}, {BEGIN}); \
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 210000) \
             INSERT INTO span(trace, span_id, name, kind, agent, start_ns, duration_ns, status, input_tokens) \
             SELECT 1, printf('%016x', i), 'a' || (i % 3), CASE i % 4 WHEN 1 THEN 3 WHEN 2 THEN 7 ELSE 2 END, 'a' || (i % 3), {BEGIN} + i * 10000000, \
             1000 + (i * 7919 % 100003) * (i % 97 + 1) * 1000, i % 11 = 0, i % 5 FROM n;",
            trace_id(1)
        ))
        .unwrap();
    while derive::figures(&mut maintainer.database.connection).unwrap() {}
    // Spans past the watermark are counted as well.
    seed(2, 1, 0, Kind::Agent, "a0").at(BEGIN + SECOND, 5 * SECOND).insert(&maintainer.database.connection);
    let reader = Reader::new(maintainer.database).unwrap();
    let window = Window { since: BEGIN.div_euclid(300 * SECOND) * 300 * SECOND, until: BEGIN + 3_000 * SECOND };
    let query = ListQuery { window, ..ListQuery::default() };
    let sketched = reader.table(&query, By::Agent).unwrap();
    let rolled = reader.graph(&query).unwrap();
    reader.database().connection.execute("DELETE FROM meta", []).unwrap();
    let exact = reader.table(&query, By::Agent).unwrap();
    assert_eq!(reader.graph(&query).unwrap(), rolled);
    assert!(sketched.sketched && !exact.sketched);
    assert_eq!(sketched.rows.len(), 3);
    for (near, exact) in sketched.rows.iter().zip(&exact.rows) {
        assert_eq!((&near.key, near.now.count, near.now.errors), (&exact.key, exact.now.count, exact.now.errors));
        assert_eq!(near.now.tokens, exact.now.tokens);
        for (near, exact) in
            [(near.now.p50, exact.now.p50), (near.now.p95, exact.now.p95), (near.now.p99, exact.now.p99)]
        {
            #[allow(clippy::cast_precision_loss, reason = "within 1 %")]
            let ratio = near.unwrap() as f64 / exact.unwrap() as f64;
            assert!((ratio - 1.0).abs() < 0.0101, "{ratio}");
        }
    }
}

#[test]
fn old_traces_go_and_marked_ones_stay() {
    let mut maintainer = maintainer();
    let connection = &maintainer.database.connection;
    for number in 1..=60 {
        seed(number, number, 0, Kind::Tool, "plain").insert(connection);
    }
    seed(101, 101, 0, Kind::Tool, "pinned").insert(connection);
    seed(102, 102, 0, Kind::Tool, "scored").insert(connection);
    seed(103, 103, 0, Kind::Tool, "failed").failed("E", "m", true).insert(connection);
    seed(104, 104, 0, Kind::Tool, "young").at(BEGIN + 20 * DAY, 1).insert(connection);
    connection
        .execute_batch(&format!(
            "UPDATE trace SET pinned = 1 WHERE name = 'pinned'; \
             INSERT INTO score(trace_id, name, value, source, created_ns) VALUES('{}', 'n', 1.0, 'user', 1); \
             INSERT INTO trace_tag SELECT 'x', start_ns, id FROM trace;",
            trace_id(102)
        ))
        .unwrap();
    work(&mut maintainer, BEGIN + 31 * DAY);
    let names = |maintainer: &Maintainer| -> Vec<String> {
        let mut statement = maintainer.database.connection.prepare("SELECT name FROM trace ORDER BY name").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    assert_eq!(names(&maintainer), ["failed", "pinned", "scored", "young"]);
    for table in ["span", "body", "trace_tag"] {
        assert_eq!(count(&maintainer, table), 4, "{table}");
    }
    work(&mut maintainer, BEGIN + 61 * DAY);
    assert_eq!(names(&maintainer), ["pinned", "scored"]);
}

#[test]
fn a_file_that_is_too_large_loses_its_oldest() {
    let folder = Folder::new();
    let path = folder.0.join("traces.db");
    let database = Database::open(&path, Access::Write).unwrap();
    let long = serde_json::json!({"attributes": {"a": "x".repeat(100_000)}});
    for number in 1..=200 {
        seed(number, number, 0, Kind::Tool, "t").body(&long).insert(&database.connection);
    }
    let bytes = 8 << 20;
    let mut maintainer = Maintainer::new(database, Limits { bytes, ..Limits::default() });
    work(&mut maintainer, BEGIN + DAY);
    let kept = count(&maintainer, "trace");
    assert!((40..90).contains(&kept), "{kept}");
    let oldest: String = maintainer
        .database
        .connection
        .query_row("SELECT trace_id FROM trace ORDER BY start_ns LIMIT 1", [], |row| row.get(0))
        .unwrap();
    assert_eq!(oldest, trace_id(201 - u64::try_from(kept).unwrap()));
    let pages: i64 = maintainer.database.connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    assert!(u64::try_from(pages * 8192).unwrap() < 2 * bytes + (1_024 * 8192), "{pages}");
}

#[test]
fn long_texts_go_with_the_last_trace_that_has_them() {
    let mut maintainer = maintainer();
    let connection = &maintainer.database.connection;
    let hour = |time: i64| time / (3_600 * SECOND);
    let refers = |id: i64| serde_json::json!({"attributes": {"a": {"$text": [id]}}});
    for (id, seen) in [(1, BEGIN), (2, BEGIN), (3, BEGIN + 40 * DAY)] {
        connection.execute("INSERT INTO blob VALUES(?1, ?2, ?3, 'text')", (id, [id], hour(seen))).unwrap();
    }
    seed(1, 1, 0, Kind::Tool, "plain").body(&refers(1)).insert(connection);
    seed(2, 2, 0, Kind::Tool, "pinned").body(&refers(2)).insert(connection);
    seed(3, 3, 0, Kind::Tool, "young").at(BEGIN + 40 * DAY, 1).body(&refers(3)).insert(connection);
    connection.execute("UPDATE trace SET pinned = 1 WHERE name = 'pinned'", []).unwrap();
    for day in [45, 46, 48, 60] {
        work(&mut maintainer, BEGIN + day * DAY);
        let mut statement = maintainer.database.connection.prepare("SELECT id FROM blob ORDER BY id").unwrap();
        let kept: Vec<i64> = statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
        assert_eq!(kept, [2, 3], "day {day}");
    }
}
