//! What is deleted: whole traces, oldest first; then the long texts that nothing refers to any more; then the space in
//! the file.

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::{Limits, meta, set_meta};
use crate::store::read::metrics::{BUCKET, DAY};
use crate::store::read::search::references;

/// Traces of one transaction: more of them make writers wait for longer than they should (107,675 spans of a million,
/// 50 a time: 0.42 s for the worst).
const TRACES: i64 = 20;
/// Long texts of one transaction.
const BLOBS: i64 = 2_000;
/// Pages given back at once, and free pages that are left alone.
const PAGES: i64 = 256;
const SPARE: i64 = 1_024;
const HOUR: i64 = 3_600_000_000_000;
/// Texts of traces that outlive their time are held for so many hours, then looked at again.
const HOLD: i64 = 24;
const TOUCHED: &str = "blob_touched_hour";
const CLEANED: &str = "blob_cleaned_hour";

/// SQL: traces that are never deleted by themselves. A trace that runs may get older than any limit.
const STAYS: &str = "(t.pinned <> 0 OR EXISTS(SELECT 1 FROM score c WHERE c.trace_id = t.trace_id) \
    OR EXISTS(SELECT 1 FROM open_span o WHERE o.trace_id = t.trace_id AND o.start_ns >= ?2))";

/// Deletes some traces that are too old, or the oldest while the file is too large; says whether there may be more.
pub(super) fn traces(connection: &mut Connection, limits: &Limits, now: i64) -> rusqlite::Result<bool> {
    let age = i64::try_from(limits.age.as_nanos()).unwrap_or(i64::MAX);
    let old = now.saturating_sub(age);
    let older = old.saturating_sub(age);
    let candidates = |sql: &str, values: &[&dyn rusqlite::ToSql]| -> rusqlite::Result<Vec<(i64, String)>> {
        let mut statement = connection.prepare_cached(sql)?;
        statement.query_map(values, |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    };
    let by_age = format!(
        "SELECT t.id, t.trace_id FROM trace t WHERE t.start_ns < ?1 AND (t.status <> 1 OR t.start_ns < ?2) \
         AND NOT {STAYS} ORDER BY t.start_ns LIMIT ?3"
    );
    let mut doomed = candidates(&by_age, &[&old, &older, &TRACES])?;
    if doomed.is_empty() && used_bytes(connection)? > limits.bytes {
        // Twice the time for failed ones here too: they count as half as old as they are.
        let by_size = format!(
            "SELECT t.id, t.trace_id FROM trace t WHERE ?1 = ?1 AND NOT {STAYS} \
             ORDER BY CASE WHEN t.status = 1 THEN t.start_ns / 2 + ?1 / 2 ELSE t.start_ns END LIMIT ?3"
        );
        doomed = candidates(&by_size, &[&now, &older, &TRACES])?;
    }
    let transaction = Transaction::new(connection, TransactionBehavior::Immediate)?;
    for (trace, id) in &doomed {
        for sql in [
            "DELETE FROM body WHERE id IN (SELECT s.id FROM span s WHERE s.trace = ?1)",
            "DELETE FROM text_index WHERE rowid IN (SELECT s.id FROM span s WHERE s.trace = ?1)",
            "DELETE FROM span WHERE trace = ?1",
            "DELETE FROM trace_agent WHERE trace = ?1",
            "DELETE FROM trace_tag WHERE trace = ?1",
            "DELETE FROM trace WHERE id = ?1",
        ] {
            transaction.prepare_cached(sql)?.execute(params![trace])?;
        }
        transaction.prepare_cached("DELETE FROM open_span WHERE trace_id = ?1")?.execute(params![id])?;
    }
    if doomed.is_empty() {
        // Lost spans of traces that never had a row, figures of times without traces, processes without spans.
        transaction
            .prepare_cached("DELETE FROM open_span WHERE start_ns < ?1 AND start_ns < ?2")?
            .execute([old, older])?;
        for (table, length) in [("rollup", BUCKET), ("rollup_day", DAY)] {
            let sql = format!("DELETE FROM {table} WHERE bucket < (SELECT min(start_ns) / ?1 FROM trace)");
            transaction.execute(&sql, params![length])?;
        }
        transaction.execute("DELETE FROM error_group WHERE last_ns < (SELECT min(start_ns) FROM trace)", [])?;
        transaction
            .execute("DELETE FROM process WHERE seen_ns < ?1 AND id NOT IN (SELECT process FROM open_span)", [old])?;
    }
    transaction.commit()?;
    Ok(!doomed.is_empty())
}

/// Deletes long texts that were last referred to before the oldest ordinary trace. Those of traces that outlive their
/// time are held first.
pub(super) fn blobs(connection: &mut Connection, limits: &Limits, now: i64) -> rusqlite::Result<()> {
    let age = i64::try_from(limits.age.as_nanos()).unwrap_or(i64::MAX);
    let ordinary =
        format!("SELECT min(t.start_ns) FROM trace t WHERE NOT {STAYS} AND (t.status <> 1 OR t.start_ns >= ?1)");
    let old = now.saturating_sub(age);
    let oldest: Option<i64> =
        connection.query_row(&ordinary, params![old, old.saturating_sub(age)], |row| row.get(0))?;
    // Never what writers may still remember as being there: they do so within an hour.
    let hour = oldest.unwrap_or(now).min(now.saturating_sub(2 * HOUR)).div_euclid(HOUR);
    // Without an index on the hour this reads every row, so once an hour has to do.
    if meta(connection, CLEANED)? >= hour {
        return Ok(());
    }
    if meta(connection, TOUCHED)? <= hour {
        hold(connection, hour)?;
    }
    loop {
        let deleted = connection
            .prepare_cached("DELETE FROM blob WHERE id IN (SELECT b.id FROM blob b WHERE b.seen < ?1 LIMIT ?2)")?
            .execute([hour, BLOBS])?;
        if i64::try_from(deleted).is_ok_and(|deleted| deleted < BLOBS) {
            return set_meta(connection, CLEANED, hour);
        }
    }
}

/// Marks the texts of traces from before `hour` as seen a day after it.
fn hold(connection: &mut Connection, hour: i64) -> rusqlite::Result<()> {
    let until = hour.saturating_add(HOLD);
    let traces: Vec<i64> = {
        let mut statement = connection.prepare("SELECT id FROM trace WHERE start_ns < ?1")?;
        statement
            .query_map([hour.saturating_add(1).saturating_mul(HOUR)], |row| row.get(0))?
            .collect::<Result<_, _>>()?
    };
    for some in traces.chunks(usize::try_from(TRACES).unwrap_or(20)) {
        let transaction = Transaction::new(connection, TransactionBehavior::Immediate)?;
        for trace in some {
            let mut bodies = transaction
                .prepare_cached("SELECT b.data FROM span s CROSS JOIN body b ON b.id = s.id WHERE s.trace = ?1")?;
            let mut rows = bodies.query([trace])?;
            while let Some(row) = rows.next()? {
                for id in references(row.get_ref(0)?.as_str().unwrap_or_default()) {
                    transaction
                        .prepare_cached("UPDATE blob SET seen = ?2 WHERE id = ?1 AND seen < ?2")?
                        .execute([id, until])?;
                }
            }
        }
        transaction.commit()?;
    }
    set_meta(connection, TOUCHED, until)
}

/// Bytes of the file that hold something.
fn used_bytes(connection: &Connection) -> rusqlite::Result<u64> {
    connection.query_row(
        "SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size",
        [],
        |row| row.get(0).map(|bytes: i64| u64::try_from(bytes).unwrap_or(0)),
    )
}

/// Gives some free pages back to the file system; says whether there are more.
pub(super) fn give_back(connection: &Connection) -> rusqlite::Result<bool> {
    let free: i64 = connection.pragma_query_value(None, "freelist_count", |row| row.get(0))?;
    let vacuum: i64 = connection.pragma_query_value(None, "auto_vacuum", |row| row.get(0))?;
    if free <= SPARE || vacuum != 2 {
        return Ok(false);
    }
    let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({PAGES})"))?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(true)
}
