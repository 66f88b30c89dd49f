//! The schema, and how a file of an earlier version becomes one of this version.

use rusqlite::{Connection, Transaction, TransactionBehavior};

/// The schema's number, in SQLite's `user_version`.
pub const VERSION: i64 = 1;

/// "Iron", in SQLite's `application_id`: tells our files from other people's.
pub const APPLICATION: i32 = 0x4972_6f6e;

/// The tables of [`VERSION`].
pub const TABLES: &str = include_str!("schema.sql");

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
    if look(connection)? != Found::Empty {
        return Ok(());
    }
    let transaction = Transaction::new(connection, TransactionBehavior::Immediate)?;
    // Another process may have been first.
    if look(&transaction)? == Found::Empty {
        transaction.execute_batch(TABLES)?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
    }
    transaction.commit()
}
