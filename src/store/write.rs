//! Writing: one batch of finished spans, or of spans that have begun, in one transaction.
//!
//! Summaries of a trace and of its agents are brought up to date in the same transaction, from the rows that were really
//! inserted: a span that comes twice counts once.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Transaction, TransactionBehavior, params};
use sha2::{Digest as _, Sha256};

use super::body::{self, Blobs};
use super::facts::{self, Facts};
use super::process::Process;
use super::row::{Place, Row};
use super::sums::Sum;
use super::{Database, StoreError};
use crate::finished::{OwnedValue, Resource, SpanView};
use crate::ids::{SpanId, TraceId};
use crate::json;

/// Texts whose numbers are remembered.
const REMEMBERED: usize = 16_384;
const HOUR: u64 = 3600 * 1_000_000_000;

/// A store that is written to.
#[derive(Debug)]
pub struct Writer {
    database: Database,
    blobs: Remembered,
    /// The row of each resource, by its address in memory: an engine has one.
    resources: HashMap<Vec<u8>, i64>,
    process: Option<i64>,
    body: String,
}

/// Numbers of texts that were kept lately, with the hour in which that was noted.
#[derive(Debug, Default)]
struct Remembered(HashMap<[u8; 16], (i64, i64)>);

/// A time as SQLite holds it.
pub(super) fn nanoseconds(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}

/// Nanoseconds since the Unix epoch, now.
#[must_use]
pub fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| nanoseconds(u64::try_from(since.as_nanos()).unwrap_or(0)))
}

fn digest(bytes: &[u8]) -> [u8; 16] {
    let mut short = [0; 16];
    let whole = Sha256::digest(bytes);
    short.iter_mut().zip(whole.iter()).for_each(|(short, byte)| *short = *byte);
    short
}

impl Writer {
    /// A writer on an open store.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database, blobs: Remembered::default(), resources: HashMap::new(), process: None, body: String::new() }
    }

    /// The store.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Closes the store.
    #[must_use]
    pub fn into_database(self) -> Database {
        self.database
    }

    /// Runs `work` in a transaction that has the write lock from its beginning: one that asked for it later would fail
    /// at once where another process had written meanwhile, whatever wait is allowed.
    fn commit<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>, &mut State<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let mut state = State {
            blobs: &mut self.blobs,
            resources: &mut self.resources,
            process: &mut self.process,
            body: &mut self.body,
        };
        let run = |connection: &mut rusqlite::Connection, state: &mut State<'_>| {
            let transaction = Transaction::new(connection, TransactionBehavior::Immediate)?;
            let made = work(&transaction, state)?;
            transaction.commit()?;
            Ok(made)
        };
        let result = run(&mut self.database.connection, &mut state);
        result.map_err(|error| {
            // Numbers that were given out in it are nobody's.
            self.blobs.0.clear();
            self.resources.clear();
            self.process = None;
            self.database.explain(error)
        })
    }

    /// Writes finished spans. `announced` tells those that [`Writer::begun`] has written.
    ///
    /// # Errors
    ///
    /// Nothing of them is written.
    pub fn finished<'a>(
        &mut self,
        spans: impl Iterator<Item = SpanView<'a>>,
        resource: &Resource,
        announced: impl Fn(TraceId, SpanId) -> bool,
    ) -> Result<(), StoreError> {
        self.commit(|transaction, state| {
            let resource = state.resource(transaction, resource)?;
            let hour = now() / nanoseconds(HOUR);
            let mut sums: HashMap<i64, Sum> = HashMap::new();
            let mut traces: HashMap<TraceId, i64> = HashMap::new();
            for span in spans {
                let head = span.head();
                let trace = match traces.entry(head.trace_id) {
                    Entry::Occupied(known) => *known.get(),
                    Entry::Vacant(free) => *free.insert(trace_row(transaction, &span, resource)?),
                };
                if announced(head.trace_id, head.span_id) {
                    let mut delete =
                        transaction.prepare_cached("DELETE FROM open_span WHERE trace_id = ?1 AND span_id = ?2")?;
                    delete.execute(params![head.trace_id.to_string(), head.span_id.to_string()])?;
                }
                let facts = Facts::read(&span);
                let place = Place { transaction, trace, resource };
                let Some(row) = Row::insert(&place, &span, &facts)? else { continue };
                state.body.clear();
                let mut blobs = Texts { transaction, remembered: state.blobs, hour };
                body::write(&span, &mut blobs, state.body)?;
                transaction
                    .prepare_cached("INSERT INTO body(id, data) VALUES(?1, ?2)")?
                    .execute(params![row.id, &*state.body])?;
                let sum = sums.entry(trace).or_default();
                sum.add(&span, &facts, &row);
                if row.failed() {
                    sum.take_back(Row::relieve_parent(&place, &span)?);
                }
            }
            for (trace, sum) in sums {
                sum.write(transaction, trace)?;
            }
            Ok(())
        })
    }

    /// Writes spans that have begun, so that a trace is seen while it runs and what was open is known after a crash.
    ///
    /// # Errors
    ///
    /// Nothing of them is written.
    pub fn begun<'a>(&mut self, batches: impl Iterator<Item = (SpanView<'a>, &'a Resource)>) -> Result<(), StoreError> {
        self.commit(|transaction, state| {
            let process = state.process(transaction)?;
            let hour = now() / nanoseconds(HOUR);
            for (span, resource) in batches {
                let head = span.head();
                let resource = state.resource(transaction, resource)?;
                let trace = trace_row(transaction, &span, resource)?;
                let facts = Facts::read(&span);
                let (session, user) = (facts.session(), facts.user.map(str::to_owned));
                if head.parent_id.is_none() {
                    transaction
                        .prepare_cached(
                            "UPDATE trace SET name = ?2, session = coalesce(session, ?3), user = coalesce(user, ?4),
                             input = coalesce(input, ?5), start_ns = min(start_ns, ?6) WHERE id = ?1 AND root IS NULL",
                        )?
                        .execute(params![
                            trace,
                            facts::name(head.kind, span.name()),
                            session,
                            user,
                            facts.input(),
                            nanoseconds(head.start_unix_nano)
                        ])?;
                }
                state.body.clear();
                let mut blobs = Texts { transaction, remembered: state.blobs, hour };
                body::write(&span, &mut blobs, state.body)?;
                transaction
                    .prepare_cached(
                        "INSERT OR REPLACE INTO open_span(trace_id, span_id, parent_id, name, kind, agent, model, start_ns,
                         process, session, user, input, data) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13)",
                    )?
                    .execute(params![
                        head.trace_id.to_string(),
                        head.span_id.to_string(),
                        head.parent_id.map(|id| id.to_string()),
                        facts::name(head.kind, span.name()),
                        head.kind as u8,
                        facts.agent(&span),
                        facts.model(),
                        nanoseconds(head.start_unix_nano),
                        process,
                        session,
                        user,
                        facts.input(),
                        &*state.body,
                    ])?;
            }
            Ok(())
        })
    }

    /// Notes that this process lives: readers on other machines cannot ask the system.
    ///
    /// # Errors
    ///
    /// It could not be noted.
    pub fn beat(&mut self) -> Result<(), StoreError> {
        self.commit(|transaction, state| {
            let process = state.process(transaction)?;
            transaction
                .prepare_cached("UPDATE process SET seen_ns = ?2 WHERE id = ?1")?
                .execute(params![process, now()])?;
            Ok(())
        })
    }
}

/// What a writer remembers, lent to a transaction.
struct State<'w> {
    blobs: &'w mut Remembered,
    resources: &'w mut HashMap<Vec<u8>, i64>,
    process: &'w mut Option<i64>,
    body: &'w mut String,
}

impl State<'_> {
    fn resource(&mut self, transaction: &Transaction<'_>, resource: &Resource) -> rusqlite::Result<i64> {
        let mut text = String::from("{");
        for (at, (key, value)) in resource.attributes.iter().enumerate() {
            if at > 0 {
                text.push(',');
            }
            json::write_str(key, &mut text);
            text.push(':');
            write_owned(value, &mut text);
        }
        text.push('}');
        let hash = digest(text.as_bytes()).to_vec();
        if let Some(&id) = self.resources.get(&hash) {
            return Ok(id);
        }
        let named = |name: &str| {
            resource.attributes.iter().find_map(|(key, value)| match value {
                OwnedValue::Str(text) if key == name => Some(text.as_str()),
                _ => None,
            })
        };
        let id = transaction.query_row(
            "INSERT INTO resource(hash, service, environment, version, json) VALUES(?1, ?2, ?3, ?4, ?5)
             ON CONFLICT(hash) DO UPDATE SET hash = excluded.hash RETURNING id",
            params![hash, named("service.name"), named("deployment.environment.name"), named("service.version"), text],
            |row| row.get(0),
        )?;
        self.resources.insert(hash, id);
        Ok(id)
    }

    fn process(&mut self, transaction: &Transaction<'_>) -> rusqlite::Result<i64> {
        if let Some(id) = *self.process {
            return Ok(id);
        }
        let process = Process::this();
        let id = transaction.query_row(
            "INSERT INTO process(host, pid, birth, seen_ns) VALUES(?1, ?2, ?3, ?4)
             ON CONFLICT(host, pid, birth) DO UPDATE SET seen_ns = excluded.seen_ns RETURNING id",
            params![process.host, process.pid, process.birth, now()],
            |row| row.get(0),
        )?;
        *self.process = Some(id);
        Ok(id)
    }
}

fn write_owned(value: &OwnedValue, out: &mut String) {
    match value {
        OwnedValue::Str(text) => json::write_str(text, out),
        OwnedValue::Int(number) => out.push_str(itoa::Buffer::new().format(*number)),
        OwnedValue::Float(number) => json::write_float(*number, out),
        OwnedValue::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        OwnedValue::List(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_owned(item, out);
            }
            out.push(']');
        }
    }
}

/// The row of the span's trace, made if there is none.
fn trace_row(transaction: &Transaction<'_>, span: &SpanView<'_>, resource: i64) -> rusqlite::Result<i64> {
    let head = span.head();
    transaction
        .prepare_cached(
            "INSERT INTO trace(trace_id, resource, start_ns, end_ns) VALUES(?1, ?2, ?3, ?3)
             ON CONFLICT(trace_id) DO UPDATE SET trace_id = excluded.trace_id RETURNING id",
        )?
        .query_row(params![head.trace_id.to_string(), resource, nanoseconds(head.start_unix_nano)], |row| row.get(0))
}

/// Long texts, kept in a transaction.
struct Texts<'t, 'c> {
    transaction: &'t Transaction<'c>,
    remembered: &'t mut Remembered,
    hour: i64,
}

impl Blobs for Texts<'_, '_> {
    type Error = rusqlite::Error;

    fn number(&mut self, text: &str) -> rusqlite::Result<i64> {
        let hash = digest(text.as_bytes());
        // Within the hour it cannot have been cleaned away.
        if let Some(&(id, hour)) = self.remembered.0.get(&hash)
            && hour == self.hour
        {
            return Ok(id);
        }
        let id = self
            .transaction
            .prepare_cached(
                "INSERT INTO blob(hash, seen, data) VALUES(?1, ?2, ?3)
                 ON CONFLICT(hash) DO UPDATE SET seen = max(seen, excluded.seen) RETURNING id",
            )?
            .query_row(params![hash, self.hour, text], |row| row.get(0))?;
        if self.remembered.0.len() >= REMEMBERED {
            self.remembered.0.clear();
        }
        self.remembered.0.insert(hash, (id, self.hour));
        Ok(id)
    }
}
