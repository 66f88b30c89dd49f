//! What keeps a store quick and small: figures rolled up, errors grouped, texts indexed, old traces deleted.
//!
//! Whoever holds the lease (a row of `meta` with an expiry) does it, in small steps, so that programs which write never
//! wait long. Everything derived is a cache: it may be deleted at any time, and [`Maintainer::rebuild`] does.
//!
//! ```text
//! tick --lease--> derive (span ids after a watermark) --> retain (once a minute) --> give space back
//! ```

mod derive;
mod lease;
mod retain;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::read::system_now;
use super::{Access, Database, StoreError};

/// Between two looks when there is nothing to do.
const PAUSE: Duration = Duration::from_secs(1);
/// Between two steps when there is: programs that write come first.
const BREATH: Duration = Duration::from_millis(5);
/// Between two looks at age and size, nanoseconds.
const RETAIN: i64 = 60_000_000_000;
/// A log above this size is cut back, bytes.
const LOG: u64 = 64 << 20;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Traces are kept so long; failed ones twice as long, pinned and scored ones for ever.
    pub age: Duration,
    /// The largest size of the file, bytes.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { age: Duration::from_secs(30 * 86_400), bytes: 2 << 30 }
    }
}

/// What a step has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Somebody else holds the lease.
    NotOurs,
    /// There is more to do.
    More,
    /// Everything is up to date.
    Idle,
}

/// Looks after one store.
#[derive(Debug)]
pub struct Maintainer {
    database: Database,
    holder: String,
    limits: Limits,
    renewed: i64,
    retained: i64,
}

impl Maintainer {
    /// Opens the store at `path`, which has to be there.
    ///
    /// # Errors
    ///
    /// As [`Database::open`].
    pub fn open(path: &Path, limits: Limits) -> Result<Self, StoreError> {
        if !path.exists() {
            return Err(StoreError::Missing(path.to_owned()));
        }
        Ok(Self::new(Database::open(path, Access::Write)?, limits))
    }

    /// Looks after `database`, which may also be one in memory.
    #[must_use]
    pub fn new(database: Database, limits: Limits) -> Self {
        let holder = format!("{}-{:016x}", std::process::id(), fastrand::u64(..));
        Self { database, holder, limits, renewed: i64::MIN, retained: i64::MIN }
    }

    /// One small step.
    ///
    /// # Errors
    ///
    /// The store; nothing is half done then.
    pub fn step(&mut self) -> Result<Step, StoreError> {
        self.step_at(system_now())
    }

    fn step_at(&mut self, now: i64) -> Result<Step, StoreError> {
        let step = self.try_step(now);
        step.map_err(|error| self.database.explain(error))
    }

    fn try_step(&mut self, now: i64) -> rusqlite::Result<Step> {
        if now.saturating_sub(self.renewed) >= lease::RENEW || now < self.renewed {
            if !lease::take(&mut self.database.connection, &self.holder, now)? {
                self.renewed = i64::MIN;
                return Ok(Step::NotOurs);
            }
            self.renewed = now;
        }
        let mut log = self.database.path().as_os_str().to_owned();
        log.push("-wal");
        let connection = &mut self.database.connection;
        if derive::figures(connection)? || derive::texts(connection)? {
            return Ok(Step::More);
        }
        if now.saturating_sub(self.retained) >= RETAIN || now < self.retained {
            if retain::traces(connection, &self.limits, now)? {
                return Ok(Step::More);
            }
            retain::blobs(connection, &self.limits, now)?;
            self.retained = now;
        }
        if retain::give_back(connection)? {
            return Ok(Step::More);
        }
        if std::fs::metadata(log).is_ok_and(|log| log.len() > LOG) {
            // Busy readers keep part of the log; the next look tries again.
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        }
        Ok(Step::Idle)
    }

    /// Forgets everything derived and derives it anew.
    ///
    /// # Errors
    ///
    /// Somebody else looks after the store, or the store itself.
    pub fn rebuild(&mut self) -> Result<(), StoreError> {
        let now = system_now();
        let taken = lease::take(&mut self.database.connection, &self.holder, now);
        if !taken.map_err(|error| self.database.explain(error))? {
            return Err(StoreError::Failed {
                path: self.database.path().to_owned(),
                detail: String::from("another process looks after it: close `ironspan view` first"),
            });
        }
        derive::forget(&mut self.database.connection).map_err(|error| self.database.explain(error))?;
        // Nothing is deleted on the way.
        self.retained = now;
        while self.step()? == Step::More {}
        Ok(())
    }

    /// Gives the lease back.
    pub fn release(&mut self) {
        // It expires by itself.
        let _ = lease::give_back(&self.database.connection, &self.holder);
        self.renewed = i64::MIN;
    }

    /// Does so on a thread of its own until it is dropped.
    ///
    /// # Errors
    ///
    /// The system has no thread to give.
    pub fn start(mut self) -> std::io::Result<Maintenance> {
        let (stop, stopped) = bounded::<()>(0);
        let thread = crate::thread::spawn("ironspan-maintain", move || {
            loop {
                // What fails once (a full disk) may not fail the next time.
                let pause = match self.step() {
                    Ok(Step::More) => BREATH,
                    Ok(Step::Idle | Step::NotOurs) | Err(_) => PAUSE,
                };
                if stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                    break;
                }
            }
            self.release();
        })?;
        Ok(Maintenance { stop: Some(stop), thread: Some(thread) })
    }
}

/// A thread that looks after a store; ends when dropped.
#[derive(Debug)]
pub struct Maintenance {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Maintenance {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A step takes some milliseconds.
            let _ = thread.join();
        }
    }
}

fn meta(connection: &Connection, key: &str) -> rusqlite::Result<i64> {
    let value: Option<String> =
        connection.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0)).optional()?;
    Ok(value.and_then(|value| value.parse().ok()).unwrap_or(0))
}

fn set_meta(connection: &Connection, key: &str, value: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO meta VALUES(?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value")?
        .execute(params![key, value.to_string()])?;
    Ok(())
}
