//! Who looks after a store: one row of `meta` that says until when, and who.

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};

use crate::store::read::status::LEASE;

/// How long the lease holds, nanoseconds; three renewals may fail.
const HOLDS: i64 = 15_000_000_000;
/// How often it is renewed, nanoseconds.
pub(super) const RENEW: i64 = 5_000_000_000;

/// Takes or renews the lease; says no while somebody else has it.
pub(super) fn take(connection: &mut Connection, holder: &str, now: i64) -> rusqlite::Result<bool> {
    let transaction = Transaction::new(connection, TransactionBehavior::Immediate)?;
    let held: Option<String> =
        transaction.query_row("SELECT value FROM meta WHERE key = ?1", [LEASE], |row| row.get(0)).optional()?;
    if let Some((until, other)) = held.as_deref().and_then(|held| held.split_once(' ')) {
        let until: i64 = until.parse().unwrap_or(0);
        // A lease that holds for longer than any lease is of a clock that was wrong.
        let holds = until > now && until <= now.saturating_add(2 * HOLDS);
        if other != holder && holds {
            return Ok(false);
        }
    }
    transaction.execute(
        "INSERT INTO meta VALUES(?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value",
        params![LEASE, format!("{} {holder}", now.saturating_add(HOLDS))],
    )?;
    transaction.commit()?;
    Ok(true)
}

/// Gives it back, if it is `holder`'s.
pub(super) fn give_back(connection: &Connection, holder: &str) -> rusqlite::Result<()> {
    let ours = format!("% {holder}");
    connection.execute("DELETE FROM meta WHERE key = ?1 AND value LIKE ?2", params![LEASE, ours])?;
    Ok(())
}
