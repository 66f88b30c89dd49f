//! Opening a store: for the one thread of a process that writes, or for reading.

use std::fs::{self, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::StoreError;
use super::schema::{self, Found};

/// The path of the store that lives in the memory of this process, for all connections of it.
pub const MEMORY: &str = "file:/ironspan-store?vfs=memdb";
/// How long a statement waits for another process that writes. Only threads of ours ever wait.
pub const BUSY: Duration = Duration::from_secs(30);
/// What a log that has grown is cut back to, bytes.
const LOG_BYTES: i64 = 64 << 20;
/// SQLite's cache of a writer, and of a reader, KiB.
const WRITE_CACHE: i64 = 16 << 10;
const READ_CACHE: i64 = 8 << 10;
/// Statements that are kept compiled.
const STATEMENTS: usize = 64;
/// How long a process waits for another one that makes or moves the file: either takes milliseconds.
const ALONE: Duration = Duration::from_secs(2);

/// What a store is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The file is made where there is none.
    Write,
    /// The file has to be there; nothing of it changes.
    Read,
}

/// An open store: one connection, for one thread at a time.
#[derive(Debug)]
pub struct Database {
    /// SQLite's connection.
    pub connection: Connection,
    path: PathBuf,
    place: Place,
}

/// What tells a file from another one that takes its place: device and inode. `None` where there is no file. Where the
/// system numbers no files it only tells whether there is one.
pub type Place = Option<(u64, u64)>;

impl Database {
    /// Opens the store at `path`.
    ///
    /// # Errors
    ///
    /// There is none (when reading), it is not ours, of a later version, damaged, or the system refuses.
    pub fn open(path: &Path, access: Access) -> Result<Self, StoreError> {
        if path == Path::new(MEMORY) {
            // It is there as long as somebody has it open.
            return Self::connect(path, access);
        } else if access == Access::Write {
            make_file(path)?;
        } else if !path.exists() {
            return Err(StoreError::Missing(path.to_owned()));
        }
        // SQLite opens the file and then its log, each by its name: both have to be of one store.
        locked(path, fs::File::try_lock_shared, || Self::connect(path, access))
    }

    fn connect(path: &Path, access: Access) -> Result<Self, StoreError> {
        let in_memory = path == Path::new(MEMORY);
        let explain = |error| explain(path, &error);
        // Before it is opened: a file that is replaced in between is then noticed at the next look.
        let place = number(path);
        // A reader opens for writing too where it may: SQLite's log needs that, and `query_only` keeps it from changing
        // anything. NOFOLLOW: a link planted in a shared folder must not lead elsewhere.
        let base = OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let mut flags = base | OpenFlags::SQLITE_OPEN_READ_WRITE;
        if in_memory {
            flags |= OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_CREATE;
        }
        // SQLite refuses links anywhere in the path; only one in the place of the file itself is refused here.
        let real = if in_memory { path.to_owned() } else { real_path(path) };
        let mut connection = match Connection::open_with_flags(&real, flags) {
            Err(_) if access == Access::Read => {
                Connection::open_with_flags(&real, base | OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(explain)?
            }
            opened => opened.map_err(explain)?,
        };
        connection.busy_timeout(BUSY).map_err(explain)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        if access == Access::Write {
            set_up_writing(&mut connection).map_err(explain)?;
        } else {
            if matches!(schema::look(&connection).map_err(explain)?, Found::Ours(..schema::VERSION)) {
                schema::prepare(&mut connection).map_err(explain)?;
            }
            connection.pragma_update(None, "query_only", true).map_err(explain)?;
            connection.pragma_update(None, "cache_size", -READ_CACHE).map_err(explain)?;
        }
        match schema::look(&connection).map_err(explain)? {
            Found::Ours(found) if found > schema::VERSION => Err(StoreError::Newer { path: path.to_owned(), found }),
            Found::Ours(_) => Ok(Self { connection, path: path.to_owned(), place }),
            Found::Empty if access == Access::Read => Err(StoreError::Missing(path.to_owned())),
            Found::Empty | Found::Foreign => Err(StoreError::Foreign(path.to_owned())),
        }
    }

    /// A store in memory of its own, gone when it is closed.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub fn in_memory() -> Result<Self, StoreError> {
        Self::awaited(Path::new(":memory:"))
    }

    /// A store without anything in it that stands for the one that will be at `path`.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub fn awaited(path: &Path) -> Result<Self, StoreError> {
        let explain = |error| explain(path, &error);
        let mut connection = Connection::open_in_memory().map_err(explain)?;
        schema::prepare(&mut connection).map_err(explain)?;
        Ok(Self { connection, path: path.to_owned(), place: None })
    }

    /// The file that was opened; another one may have its name by now.
    #[must_use]
    pub fn place(&self) -> Place {
        self.place
    }

    /// Whether the file that was opened still has its name: neither deleted nor replaced, nor made where there was none.
    #[must_use]
    pub fn is_current(&self) -> bool {
        number(&self.path) == self.place
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Closes without bringing the log into the file first: whoever opens it next finds everything in the log.
    pub fn close_quickly(self) {
        // Where it cannot be set, closing takes longer, and nothing else.
        let _ = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
    }

    /// An error of SQLite's as one of the store's.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "errors come by value to whoever maps them")]
    pub fn explain(&self, error: rusqlite::Error) -> StoreError {
        explain(&self.path, &error)
    }
}

/// Which file it was: its device and number there, and those of its log. What is at the path later may be another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    file: Place,
    log: Place,
}

impl Identity {
    /// Of what is at the path now.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        Self { file: number(path), log: number(&beside(path, "-wal")) }
    }

    /// Whether the file is at the path still and another log is beside it, which other processes write to.
    #[must_use]
    pub fn has_another_log(&self, path: &Path) -> bool {
        let now = Self::of(path);
        now.file == self.file && now.log.is_some() && now.log != self.log
    }

    /// Whether the file or its log has gone from the path, or others are in their place.
    #[must_use]
    pub fn has_gone_from(&self, path: &Path) -> bool {
        let now = Self::of(path);
        now.file != self.file || self.log.is_some() && now.log != self.log
    }
}

fn number(path: &Path) -> Place {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
    }
    #[cfg(not(unix))]
    fs::metadata(path).ok().map(|_| (0, 0))
}

/// The name of a file that SQLite keeps beside the store, or that we do.
fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

/// Runs `work` while no other process makes, moves or opens the file: what is found there has to be so still when it is
/// acted on.
fn alone<T>(path: &Path, work: impl FnOnce() -> T) -> T {
    locked(path, fs::File::try_lock, work)
}

/// Runs `work` with a lock on the folder. One that cannot be had, as on Windows, is no reason to do without a store.
fn locked<T>(path: &Path, lock: fn(&fs::File) -> Result<(), TryLockError>, work: impl FnOnce() -> T) -> T {
    let folder =
        fs::File::open(path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")));
    let began = Instant::now();
    while let Ok(folder) = &folder
        && matches!(lock(folder), Err(TryLockError::WouldBlock))
        && began.elapsed() < ALONE
    {
        std::thread::sleep(Duration::from_millis(2));
    }
    work()
}

/// Moves a damaged store and its log to names of their own beside it, as they are; `None` when another process has done
/// so already, and what is at the path is not `damaged` any more.
///
/// # Errors
///
/// The system refuses.
pub fn set_aside(path: &Path, damaged: Identity) -> Result<Option<PathBuf>, StoreError> {
    let refuse = |error: std::io::Error| StoreError::ReadOnly { path: path.to_owned(), detail: error.to_string() };
    alone(path, || {
        if number(path) != damaged.file {
            return Ok(None);
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut aside = beside(path, &format!(".damaged-{since}"));
        for more in 1.. {
            if !aside.exists() {
                break;
            }
            aside = beside(path, &format!(".damaged-{since}-{more}"));
        }
        for end in ["-wal", "-shm"] {
            if beside(path, end).exists() {
                fs::rename(beside(path, end), beside(&aside, end)).map_err(refuse)?;
            }
        }
        fs::rename(path, &aside).map_err(refuse)?;
        Ok(Some(aside))
    })
}

/// Removes the log of a store that has gone from the path, where that log lies there still: SQLite would take it for that
/// of whatever file comes to the path.
pub fn remove_log(path: &Path, gone: Identity) {
    alone(path, || {
        if number(path) != gone.file && gone.log.is_some() && number(&beside(path, "-wal")) == gone.log {
            remove_side_files(path);
        }
    });
}

fn remove_side_files(path: &Path) {
    for end in ["-wal", "-shm"] {
        // What is not there, or may not be removed, stays for SQLite to judge.
        let _ = fs::remove_file(beside(path, end));
    }
}

/// The settings of a connection that writes. Their order matters: the wait before whatever may have to wait, and the
/// page's size and the vacuum before the first page is written.
fn set_up_writing(connection: &mut Connection) -> rusqlite::Result<()> {
    if schema::look(connection)? == Found::Foreign {
        return Ok(());
    }
    connection.pragma_update(None, "page_size", 8192)?;
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
    connection.pragma_update(None, "cache_size", -WRITE_CACHE)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    schema::prepare(connection)
}

/// The folder's real path, with the file's name as it is.
fn real_path(path: &Path) -> PathBuf {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    match (parent.canonicalize(), path.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    }
}

/// Whether the file begins as a store of ours does: what is damaged behind that is ours to move aside. A file of the
/// usual name is taken for ours whatever it holds.
#[must_use]
pub fn is_ours(path: &Path) -> bool {
    if path.file_name().is_some_and(|name| name == super::location::FILE) {
        return true;
    }
    let mut header = [0; 72];
    let read = fs::File::open(path).and_then(|mut file| std::io::Read::read_exact(&mut file, &mut header));
    read.is_ok()
        && header.starts_with(b"SQLite format 3\0")
        && header.get(68..72).is_some_and(|id| id == schema::APPLICATION.to_be_bytes())
}

/// The file and its folder, for nobody but the user: prompts are in it.
fn make_file(path: &Path) -> Result<(), StoreError> {
    let refuse = |error: std::io::Error| StoreError::ReadOnly { path: path.to_owned(), detail: error.to_string() };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists()) {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder).map_err(refuse)?;
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NOFOLLOW | libc::O_NONBLOCK);
    }
    // POSIX: closing a file drops the locks that this process has on it, whoever took them. So only where it is missing.
    let make = || {
        if has_nothing(path) {
            remove_side_files(path);
            let _ = fs::remove_file(path);
            options.open(path)?;
        }
        Ok(())
    };
    if has_nothing(path) {
        alone(path, make).map_err(refuse)?;
    }
    if !path.is_file() {
        return Err(StoreError::ReadOnly { path: path.to_owned(), detail: String::from("it is not a file") });
    }
    Ok(())
}

/// Whether there is no file, or an empty one with a log: SQLite writes to a file before it makes the log. The log is then
/// that of a file that was deleted or emptied, and other processes may have it open still, with an index of it that a new
/// file must not share.
fn has_nothing(path: &Path) -> bool {
    match fs::symlink_metadata(path) {
        Ok(found) => {
            found.is_file() && found.len() == 0 && ["-wal", "-shm"].iter().any(|end| beside(path, end).exists())
        }
        Err(_) => !path.exists(),
    }
}

/// An error of SQLite's as a sentence about the file.
fn explain(path: &Path, error: &rusqlite::Error) -> StoreError {
    let path = path.to_owned();
    let detail = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) if !is_ours(&path) => StoreError::Foreign(path),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Damaged { path, detail },
        Some(ErrorCode::DiskFull) => StoreError::Full(path),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            StoreError::ReadOnly { path, detail }
        }
        _ => StoreError::Failed { path, detail },
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failing test may panic")]
mod tests {
    use super::*;
    use crate::config::testing::Folder;

    #[test]
    fn a_new_store_is_ours_and_nobody_elses() {
        let folder = Folder::new();
        let path = folder.0.join("deep/er/traces.db");
        assert!(matches!(Database::open(&path, Access::Read), Err(StoreError::Missing(_))));
        let database = Database::open(&path, Access::Write).unwrap();
        let mode: String = database.connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
        assert_eq!(mode, "wal");
        let reader = Database::open(&path, Access::Read).unwrap();
        assert!(reader.connection.execute("DELETE FROM trace", []).is_err());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        }
    }

    #[test]
    fn a_file_that_is_made_deleted_or_replaced_is_noticed() {
        let folder = Folder::new();
        let path = folder.0.join("traces.db");
        let awaited = Database::awaited(&path).unwrap();
        assert!(awaited.is_current());
        Database::open(&path, Access::Write).unwrap();
        assert!(!awaited.is_current());
        let first = Database::open(&path, Access::Read).unwrap();
        assert!(first.is_current());
        fs::remove_file(&path).unwrap();
        assert!(!first.is_current());
        Database::open(&path, Access::Write).unwrap();
        assert!(!first.is_current() && Database::open(&path, Access::Read).unwrap().is_current());
        assert!(Database::in_memory().unwrap().is_current());
    }

    #[test]
    fn a_log_without_its_file_is_no_log_of_the_next_file() {
        for leave in [|path: &Path| fs::remove_file(path).unwrap(), |path: &Path| fs::write(path, "").unwrap()] {
            let folder = Folder::new();
            let path = folder.0.join("traces.db");
            // It stays open, as in a process that has nothing to write.
            let first = Database::open(&path, Access::Write).unwrap();
            let seen = Identity::of(&path);
            first.connection.execute("INSERT INTO meta VALUES('of', 'the first')", []).unwrap();
            leave(&path);
            let second = Database::open(&path, Access::Write).unwrap();
            assert!(seen.has_gone_from(&path));
            let count = |sql: &str| second.connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
            assert_eq!(count("SELECT count(*) FROM meta WHERE key = 'of'"), 0);
            second.connection.execute("INSERT INTO meta VALUES('of', 'the second')", []).unwrap();
            drop(first);
            assert_eq!(count("SELECT count(*) FROM meta WHERE value = 'the second'"), 1);
        }
    }

    #[test]
    #[cfg(unix)]
    fn a_damaged_file_is_moved_once_however_many_have_found_it() {
        let folder = Folder::new();
        let path = folder.0.join("traces.db");
        fs::write(&path, "damaged").unwrap();
        let damaged = Identity::of(&path);
        let aside = set_aside(&path, damaged).unwrap().unwrap();
        assert_eq!(fs::read(aside).unwrap(), b"damaged");
        drop(Database::open(&path, Access::Write).unwrap());
        assert_eq!(set_aside(&path, damaged).unwrap(), None);
        assert!(path.exists());
    }

    #[test]
    fn what_is_not_ours_is_left_alone() {
        let folder = Folder::new();
        let text = folder.0.join("text.db");
        fs::write(&text, "this is a diary, and has been one for many years".repeat(50)).unwrap();
        assert!(matches!(Database::open(&text, Access::Write), Err(StoreError::Foreign(_))));
        let other = folder.0.join("other.db");
        Connection::open(&other).unwrap().execute_batch("CREATE TABLE dear(diary TEXT)").unwrap();
        let before = fs::read(&other).unwrap();
        assert!(matches!(Database::open(&other, Access::Write), Err(StoreError::Foreign(_))));
        assert_eq!(fs::read(&other).unwrap(), before);
        assert!(matches!(Database::open(&folder.0, Access::Write), Err(StoreError::ReadOnly { .. })));
    }

    #[test]
    fn a_store_of_the_first_version_is_brought_up_to_date_by_writers_and_readers() {
        for access in [Access::Write, Access::Read] {
            let folder = Folder::new();
            let path = folder.0.join("traces.db");
            let old = Database::open(&path, Access::Write).unwrap();
            old.connection
                .execute_batch(
                    "ALTER TABLE span DROP COLUMN links; DROP TABLE rollup_day; PRAGMA user_version = 1; \
                     INSERT INTO span(trace, span_id, name, kind, start_ns, duration_ns) VALUES(1, 'a', 'a', 0, 1, 1), \
                     (1, 'b', 'b', 0, 1, 1); \
                     INSERT INTO body SELECT id, iif(span_id = 'b', '{\"links\":[]}', '{}') FROM span;",
                )
                .unwrap();
            drop(old);
            let new = Database::open(&path, access).unwrap();
            let ask = |sql: &str| new.connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
            assert_eq!(ask("PRAGMA user_version"), schema::VERSION);
            assert_eq!(ask("SELECT count(*) FROM span WHERE links = (span_id = 'b')"), 2);
            assert_eq!(ask("SELECT count(*) FROM rollup_day"), 0);
        }
    }

    #[test]
    fn a_store_of_a_later_version_says_so() {
        let folder = Folder::new();
        let path = folder.0.join("traces.db");
        let database = Database::open(&path, Access::Write).unwrap();
        database.connection.pragma_update(None, "user_version", 7).unwrap();
        let refused = Database::open(&path, Access::Write).unwrap_err();
        assert!(refused.to_string().contains("has schema 7, and this version of ironspan knows 2"), "{refused}");
    }

    #[test]
    fn the_bundled_sqlite_has_no_known_fault_of_its_log() {
        assert!(rusqlite::version_number() >= 3_051_003, "{}", rusqlite::version());
    }
}
