//! `ironspan purge`: deletes whole traces with everything that belongs to them.
//!
//! Twenty traces in a transaction, so that programs that write never wait for long. Long texts are kept once for all
//! spans: those that nobody refers to any more go as well, except for the ones of this hour and the last, which a program
//! that writes may be about to refer to.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use super::args::{Common, Purge};
use super::list::nothing;
use super::output::{Failure, Out, age, bytes};
use super::store;
use crate::store::Database;
use crate::store::maintain::{Limits, Maintainer};
use crate::store::read::page::MOST;
use crate::store::read::search::references;
use crate::store::read::traces::{Sort, TraceRow};
use crate::store::read::{Filter, ListQuery, Reader, Window, system_now};
use crate::terminal::format;
use rusqlite::{Connection, params};

/// Traces of one transaction.
const PORTION: usize = 20;
/// Pages that are given back at a time.
const PAGES: i64 = 500;
const HOUR: i64 = 3_600_000_000_000;

pub(crate) fn run(common: &Common, purge: &Purge, out: &mut Out<'_>) -> Result<(), Failure> {
    let filter = purge.filter.join(" ").trim().to_owned();
    if filter.is_empty() && purge.older_than.is_none() && !purge.all {
        return Err(Failure::Usage(
            String::from("which traces?"),
            Some(String::from("write --older-than 30d, a filter, or --all; --dry-run says what would go")),
        ));
    }
    let reader = store::reader(common, out)?;
    let traces = chosen(&reader, &filter, purge.older_than.as_deref())?;
    if traces.is_empty() {
        return Err(Failure::Nothing(nothing(&filter)));
    }
    let spans: i64 = traces.iter().map(|trace| trace.spans).sum();
    let place = reader.database().path().to_owned();
    let text = described(&reader, &traces, spans);
    drop(reader);
    if purge.dry_run {
        return report(out, &text, traces.len(), spans, true);
    }
    if !purge.yes && !out.confirms(&format!("delete {text} from {}?", place.display()))? {
        out.note("nothing was deleted; --yes does not ask")?;
        return Err(Failure::Negative);
    }
    let mut database = store::writable(common, out)?;
    let before = size(&database);
    for (at, portion) in traces.chunks(PORTION).enumerate() {
        delete(&mut database, portion).map_err(|error| database.explain(error))?;
        out.step((at * PORTION + portion.len()) as u64, Some(traces.len() as u64), "traces deleted")?;
    }
    out.progress("looking for texts that nobody refers to")?;
    sweep(&mut database, out)?;
    out.progress("deriving figures anew")?;
    derive_anew(&place, out)?;
    shrink(&database).map_err(|error| database.explain(error))?;
    let freed = before.saturating_sub(size(&database));
    report(out, &text, traces.len(), spans, false)?;
    if freed > 0 && !out.json {
        out.say(&format!("the store is {} smaller", bytes(freed)))?;
    }
    Ok(())
}

fn report(out: &mut Out<'_>, text: &str, traces: usize, spans: i64, dry: bool) -> Result<(), Failure> {
    if out.json {
        return out.value(&serde_json::json!({"traces": traces, "spans": spans, "deleted": !dry}));
    }
    out.say(&format!("{} {text}", if dry { "would delete" } else { "deleted" }))
}

/// Every trace that is meant, oldest last. Pinned ones stay.
fn chosen(reader: &Reader, filter: &str, older_than: Option<&str>) -> Result<Vec<TraceRow>, Failure> {
    let mut query = ListQuery {
        filter: Filter::parse(filter)?,
        window: Window::parse(None, older_than, reader.now()).map_err(|_| {
            let text = older_than.unwrap_or_default();
            Failure::Usage(format!("--older-than {text}: write 12h, 30d or 8w"), None)
        })?,
        limit: MOST,
        cursor: None,
    };
    let mut traces = Vec::new();
    loop {
        let page = reader.traces(&query, Sort::Start, false)?;
        traces.extend(page.traces);
        match page.next {
            Some(next) => query.cursor = Some(next),
            None => return Ok(traces),
        }
    }
}

fn described(reader: &Reader, traces: &[TraceRow], spans: i64) -> String {
    let of = |trace: Option<&TraceRow>| {
        trace.map(|trace| age(reader.now().saturating_sub(trace.start_ns))).unwrap_or_default()
    };
    format!(
        "{} with {}, {} to {} old",
        format::plural(traces.len() as u64, "trace"),
        format::plural(u64::try_from(spans).unwrap_or(0), "span"),
        of(traces.first()),
        of(traces.last())
    )
}

fn delete(database: &mut Database, traces: &[TraceRow]) -> rusqlite::Result<()> {
    let transaction = database.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    for trace in traces {
        let number: Option<i64> = {
            let mut found = transaction.prepare_cached("SELECT id FROM trace WHERE trace_id = ?1 AND pinned = 0")?;
            let mut rows = found.query(params![trace.id])?;
            rows.next()?.map(|row| row.get(0)).transpose()?
        };
        let Some(number) = number else { continue };
        for statement in [
            "DELETE FROM text_index WHERE rowid IN (SELECT id FROM span WHERE trace = ?1)",
            "DELETE FROM body WHERE id IN (SELECT id FROM span WHERE trace = ?1)",
            "DELETE FROM span WHERE trace = ?1",
            "DELETE FROM trace_agent WHERE trace = ?1",
            "DELETE FROM trace_tag WHERE trace = ?1",
            "DELETE FROM trace WHERE id = ?1",
        ] {
            transaction.prepare_cached(statement)?.execute(params![number])?;
        }
        for statement in ["DELETE FROM open_span WHERE trace_id = ?1", "DELETE FROM score WHERE trace_id = ?1"] {
            transaction.prepare_cached(statement)?.execute(params![trace.id])?;
        }
    }
    transaction.commit()
}

/// Deletes long texts that no content refers to.
fn sweep(database: &mut Database, out: &mut Out<'_>) -> Result<(), Failure> {
    let oldest_kept = system_now() / HOUR - 1;
    let connection = &database.connection;
    let look = || -> rusqlite::Result<(HashSet<i64>, i64)> {
        let mut unused: HashSet<i64> = connection
            .prepare("SELECT id FROM blob WHERE seen < ?1")?
            .query_map(params![oldest_kept], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        if !unused.is_empty() {
            keep_used(connection, "SELECT data FROM body", &mut unused)?;
            keep_used(connection, "SELECT data FROM open_span", &mut unused)?;
        }
        let recent =
            connection
                .query_row("SELECT count(*) FROM blob WHERE seen >= ?1", params![oldest_kept], |row| row.get(0))?;
        Ok((unused, recent))
    };
    let (unused, recent) = look().map_err(|error| database.explain(error))?;
    let unused: Vec<i64> = unused.into_iter().collect();
    for (at, portion) in unused.chunks(1_000).enumerate() {
        let delete = |connection: &mut Connection| -> rusqlite::Result<()> {
            let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            for id in portion {
                // Somebody may have come to refer to it since.
                transaction
                    .prepare_cached("DELETE FROM blob WHERE id = ?1 AND seen < ?2")?
                    .execute(params![id, oldest_kept])?;
            }
            transaction.commit()
        };
        delete(&mut database.connection).map_err(|error| database.explain(error))?;
        out.step((at * 1_000 + portion.len()) as u64, Some(unused.len() as u64), "texts deleted")?;
    }
    if recent > 0 {
        out.note("texts of the last two hours stay until a later purge: programs that run may still refer to them")?;
    }
    Ok(())
}

/// Takes from `unused` what the contents refer to.
fn keep_used(connection: &Connection, contents: &str, unused: &mut HashSet<i64>) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(contents)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        for id in references(row.get_ref(0)?.as_str().unwrap_or_default()) {
            unused.remove(&id);
        }
    }
    Ok(())
}

/// Derives figures, error groups and the text index anew: they hold words of what was deleted.
fn derive_anew(place: &Path, out: &mut Out<'_>) -> Result<(), Failure> {
    // This is no time for the store's own limits to delete more.
    let limits = Limits { bytes: u64::MAX, age: Duration::MAX };
    match Maintainer::open(place, limits)?.rebuild() {
        Ok(()) => Ok(()),
        Err(error) => out.note(&format!("error groups and figures still know what was deleted: {error}")),
    }
}

/// Gives free pages back to the file system, in small steps.
fn shrink(database: &Database) -> rusqlite::Result<()> {
    let connection = &database.connection;
    let free = || connection.pragma_query_value(None, "freelist_count", |row| row.get::<_, i64>(0));
    let mut left = free()?;
    while left > 0 {
        let mut step = connection.prepare(&format!("PRAGMA incremental_vacuum({PAGES})"))?;
        let mut rows = step.query([])?;
        while rows.next()?.is_some() {}
        let now = free()?;
        if now >= left {
            break;
        }
        left = now;
    }
    // Others who read keep the log from being cut; then it is cut later.
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

/// The size of the file.
fn size(database: &Database) -> u64 {
    std::fs::metadata(database.path()).map_or(0, |file| file.len())
}
