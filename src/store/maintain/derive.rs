//! The derived tables: figures by five minutes and by days, groups of errors, the text index. Each goes on after the last span that
//! it has seen; ids grow in the order of commits, so nothing is passed over.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};

use super::{meta, set_meta};
use crate::kind::Kind;
use crate::store::read::content::{Body, Texts};
use crate::store::read::errors::{group_id, normalised};
use crate::store::read::metrics::{BUCKET, DAY, WATERMARK};
use crate::store::read::search::{INDEXED, collect};
use crate::store::read::sketch::Sketch;

/// Spans of one step: some ten milliseconds.
const FIGURES: i64 = 5_000;
const TEXTS: i64 = 250;
/// Characters indexed of what went in, and of what came out.
const TEXT: usize = 2_048;
/// Names told apart within a step: programs that put ids into names fill no table with them.
const NAMES: usize = 1_000;

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    bucket: i64,
    agent: String,
    kind: i64,
    model: String,
    name: String,
}

#[derive(Default)]
struct Sum {
    spans: i64,
    errors: i64,
    input: i64,
    output: i64,
    cost: f64,
    duration: i64,
    sketch: Sketch,
}

impl Sum {
    fn merge(&mut self, other: &Self) {
        self.spans += other.spans;
        self.errors += other.errors;
        self.input = self.input.saturating_add(other.input);
        self.output = self.output.saturating_add(other.output);
        self.cost += other.cost;
        self.duration = self.duration.saturating_add(other.duration);
        self.sketch.merge(&other.sketch);
    }
}

struct Group {
    agent: String,
    name: String,
    error_type: String,
    message: String,
    first: i64,
    last: i64,
    spans: i64,
    last_span: i64,
}

/// Rolls spans up and groups errors; says whether there may be more.
pub(super) fn figures(connection: &mut Connection) -> rusqlite::Result<bool> {
    let after = meta(connection, WATERMARK)?;
    let mut sums: HashMap<Key, Sum> = HashMap::new();
    let mut names: HashSet<String> = HashSet::new();
    let mut groups: HashMap<String, Group> = HashMap::new();
    let (mut last, mut count) = (after, 0);
    {
        // Read and added up before the write begins: the lock is held for the few rows of the result only.
        let mut statement = connection.prepare_cached(
            "SELECT id, start_ns, agent, kind, model, name, status, duration_ns, input_tokens, output_tokens, cost, \
             own_error, coalesce(error_type, ''), coalesce(error, '') FROM span WHERE id > ?1 ORDER BY id LIMIT ?2",
        )?;
        let mut rows = statement.query(params![after, FIGURES])?;
        while let Some(row) = rows.next()? {
            let (id, start, agent): (i64, i64, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let (failed, name): (bool, String) = (row.get::<_, i64>(6)? == 1, row.get(5)?);
            last = id;
            count += 1;
            if failed && row.get(11)? {
                let (error_type, message): (String, String) = (row.get(12)?, row.get(13)?);
                let hash = group_id(&agent, &name, &error_type, &normalised(&message));
                let (agent, name) = (agent.clone(), name.clone());
                let group = groups.entry(hash).or_insert(Group {
                    agent,
                    name,
                    error_type,
                    message,
                    first: start,
                    last: start,
                    spans: 0,
                    last_span: id,
                });
                group.first = group.first.min(start);
                group.last = group.last.max(start);
                group.spans += 1;
                group.last_span = id;
            }
            let known = names.len() < NAMES || names.contains(&name);
            if known && !names.contains(&name) {
                names.insert(name.clone());
            }
            let name = if known { name } else { String::new() };
            let key = Key { bucket: start.div_euclid(BUCKET), agent, kind: row.get(3)?, model: row.get(4)?, name };
            let sum = sums.entry(key).or_default();
            let duration: i64 = row.get(7)?;
            sum.spans += 1;
            sum.errors += i64::from(failed);
            sum.input = sum.input.saturating_add(row.get::<_, Option<i64>>(8)?.unwrap_or(0));
            sum.output = sum.output.saturating_add(row.get::<_, Option<i64>>(9)?.unwrap_or(0));
            sum.cost += row.get::<_, Option<f64>>(10)?.unwrap_or(0.0);
            sum.duration = sum.duration.saturating_add(duration);
            sum.sketch.add(duration);
        }
    }
    if count == 0 {
        return Ok(false);
    }
    let transaction = Transaction::new(connection, TransactionBehavior::Immediate)?;
    if meta(&transaction, WATERMARK)? != after {
        // The lease went to another process in between, and it was here first.
        return Ok(true);
    }
    let mut days: HashMap<Key, Sum> = HashMap::new();
    for (key, sum) in &sums {
        let day = Key { bucket: key.bucket.saturating_mul(BUCKET).div_euclid(DAY), ..key.clone() };
        days.entry(day).or_default().merge(sum);
    }
    for (table, sums) in [("rollup", sums), ("rollup_day", days)] {
        for (key, sum) in sums {
            store_sum(&transaction, table, &key, sum)?;
        }
    }
    for (hash, group) in &groups {
        store_group(&transaction, hash, group)?;
    }
    set_meta(&transaction, WATERMARK, last)?;
    transaction.commit()?;
    Ok(count == FIGURES)
}

fn store_sum(transaction: &Transaction<'_>, table: &str, key: &Key, mut sum: Sum) -> rusqlite::Result<()> {
    let known: Option<Vec<u8>> = transaction
        .prepare_cached(&format!(
            "SELECT sketch FROM {table} WHERE bucket = ?1 AND agent = ?2 AND kind = ?3 AND model = ?4 AND name = ?5",
        ))?
        .query_row(params![key.bucket, key.agent, key.kind, key.model, key.name], |row| row.get(0))
        .optional()?;
    if let Some(known) = known {
        sum.sketch.merge_bytes(&mut known.as_slice());
    }
    transaction
        .prepare_cached(&format!(
            "INSERT INTO {table} VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) ON CONFLICT DO UPDATE SET \
             spans = spans + ?6, errors = errors + ?7, input_tokens = input_tokens + ?8, \
             output_tokens = output_tokens + ?9, cost = cost + ?10, duration_ns = duration_ns + ?11, sketch = ?12",
        ))?
        .execute(params![
            key.bucket,
            key.agent,
            key.kind,
            key.model,
            key.name,
            sum.spans,
            sum.errors,
            sum.input,
            sum.output,
            sum.cost,
            sum.duration,
            sum.sketch.to_bytes()
        ])?;
    Ok(())
}

fn store_group(transaction: &Transaction<'_>, hash: &str, group: &Group) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO error_group VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO UPDATE SET \
             message = excluded.message, first_ns = min(first_ns, ?6), last_ns = max(last_ns, ?7), \
             spans = spans + ?8, last_span = ?9",
        )?
        .execute(params![
            hash,
            group.agent,
            group.name,
            group.error_type,
            group.message,
            group.first,
            group.last,
            group.spans,
            group.last_span
        ])?;
    Ok(())
}

/// Indexes texts; says whether there may be more.
pub(super) fn texts(connection: &mut Connection) -> rusqlite::Result<bool> {
    let after = meta(connection, INDEXED)?;
    let mut documents: Vec<(i64, String)> = Vec::new();
    let last = {
        let mut statement = connection.prepare_cached(
            "SELECT s.id, s.name, s.error, b.data FROM span s LEFT JOIN body b ON b.id = s.id \
             WHERE s.id > ?1 AND (s.parent_id IS NULL OR s.kind IN (?2, ?3, ?4)) ORDER BY s.id LIMIT ?5",
        )?;
        let kinds = [Kind::Agent, Kind::Generation, Kind::Tool].map(|kind| kind as i64);
        let mut rows = statement.query(params![after, kinds[0], kinds[1], kinds[2], TEXTS])?;
        while let Some(row) = rows.next()? {
            let mut text: String = row.get(1)?;
            if let Some(error) = row.get::<_, Option<String>>(2)? {
                text.push('\n');
                text.push_str(&error);
            }
            if let Some(data) = row.get::<_, Option<String>>(3)? {
                add_content(connection, &data, &mut text);
            }
            documents.push((row.get(0)?, text));
        }
        let full = i64::try_from(documents.len()).is_ok_and(|count| count == TEXTS);
        let newest: i64 = connection.query_row("SELECT coalesce(max(id), 0) FROM span", [], |row| row.get(0))?;
        // Spans that are not indexed are passed as well.
        documents.last().filter(|_| full).map_or(newest, |(id, _)| *id)
    };
    if last <= after {
        return Ok(false);
    }
    let transaction = Transaction::new(connection, TransactionBehavior::Immediate)?;
    if meta(&transaction, INDEXED)? != after {
        return Ok(true);
    }
    for (id, text) in &documents {
        transaction.prepare_cached("INSERT INTO text_index(rowid, text) VALUES(?1, ?2)")?.execute(params![id, text])?;
    }
    set_meta(&transaction, INDEXED, last)?;
    transaction.commit()?;
    Ok(true)
}

/// The beginning of what came out, and of what went in: of a conversation its newest messages, because the older ones
/// are in the calls before.
fn add_content(connection: &Connection, data: &str, text: &mut String) {
    let Ok(body) = Body::expanded(data, &mut Texts::new(connection)) else { return };
    let groups: [(&[&str], bool); 2] = [
        (&["input.value", "gen_ai.tool.call.arguments", "gen_ai.input.messages", "gen_ai.retrieval.query.text"], true),
        (&["output.value", "gen_ai.tool.call.result", "gen_ai.output.messages"], false),
    ];
    for (keys, newest_first) in groups {
        let mut pieces = Vec::new();
        for key in keys {
            if let Some(value) = body.attribute(key) {
                collect(value, &mut pieces);
            }
        }
        if newest_first {
            pieces.reverse();
        }
        let mut room = TEXT;
        for piece in pieces {
            let part: String = piece.chars().take(room).collect();
            room -= part.chars().count();
            text.push('\n');
            text.push_str(&part);
            if room == 0 {
                break;
            }
        }
    }
}

/// Deletes everything derived.
pub(super) fn forget(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = Transaction::new(connection, TransactionBehavior::Immediate)?;
    transaction.execute_batch(
        "DELETE FROM rollup; DELETE FROM rollup_day; DELETE FROM error_group; \
         INSERT INTO text_index(text_index) VALUES('delete-all');",
    )?;
    set_meta(&transaction, WATERMARK, 0)?;
    set_meta(&transaction, INDEXED, 0)?;
    transaction.commit()
}
