//! The schema, and how a file of an earlier version becomes one of this version.

use rusqlite::{Connection, Transaction, TransactionBehavior};

/// The schema's number, in SQLite's `user_version`.
pub const VERSION: i64 = 2;

/// "Iron", in SQLite's `application_id`: tells our files from other people's.
pub const APPLICATION: i32 = 0x4972_6f6e;

/// The tables of [`VERSION`].
pub const TABLES: &str = include_str!("schema.sql");

/// What makes a file of version 1, 2, ... one of the next.
const STEPS: [&str; 1] = [include_str!("schema-2.sql")];

/// What a file is, by its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing in it yet.
    Empty,
    /// One of ours, of this schema's number.
    Ours(i64),
    /// Somebody else's database.
    Foreign,
}

/// Looks at the header.
///
/// # Errors
///
/// What SQLite says of a file that is no database, or cannot be read.
pub fn look(connection: &Connection) -> rusqlite::Result<Found> {
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    if pragma("application_id")? == i64::from(APPLICATION) {
        return Ok(Found::Ours(pragma("user_version")?));
    }
    let objects: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(if objects == 0 { Found::Empty } else { Found::Foreign })
}

/// Makes the tables in an empty file, or brings an older one up to date; in one transaction, whoever else does the same.
///
/// # Errors
///
/// What SQLite says; nothing is changed then.
pub fn prepare(connection: &mut Connection) -> rusqlite::Result<()> {
    let is_ready = |found| matches!(found, Found::Foreign | Found::Ours(VERSION..));
    if is_ready(look(connection)?) {
        return Ok(());
    }
    let transaction = Transaction::new(connection, TransactionBehavior::Immediate)?;
    // Another process may have been first.
    match look(&transaction)? {
        Found::Empty => {
            transaction.execute_batch(TABLES)?;
            transaction.pragma_update(None, "application_id", APPLICATION)?;
        }
        Found::Ours(version) => {
            let known = usize::try_from(version).unwrap_or(1).max(1) - 1;
            STEPS.iter().skip(known).try_for_each(|step| transaction.execute_batch(step))?;
        }
        Found::Foreign => return Ok(()),
    }
    if !is_ready(look(&transaction)?) {
        transaction.pragma_update(None, "user_version", VERSION)?;
    }
    transaction.commit()
}
