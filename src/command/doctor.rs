//! `ironspan doctor`: whether the store and the settings are in order, one line for each thing that was looked at.

use std::path::Path;

use rusqlite::Connection;
use serde_json::json;

use super::args::Common;
use super::output::{Failure, Out, bytes};
use super::store;
use crate::config::{Config, Options, VARIABLES};
use crate::store::read::Reader;
use crate::store::schema;
use crate::terminal::format;
use crate::terminal::line::{Line, Style};

/// Traces whose summaries are added up again.
const SAMPLE: i64 = 200;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finding {
    Good,
    /// Worth knowing.
    Notice,
    Bad,
}

impl Finding {
    fn word(self) -> (&'static str, Style) {
        match self {
            Self::Good => ("ok", Style::Green),
            Self::Notice => ("notice", Style::Yellow),
            Self::Bad => ("WRONG", Style::Red),
        }
    }
}

#[derive(Debug)]
struct Check {
    what: &'static str,
    finding: Finding,
    text: String,
}

pub(crate) fn run(common: &Common, out: &mut Out<'_>) -> Result<(), Failure> {
    let path = store::place(common, out)?;
    let mut checks = Vec::new();
    let mut unusable = None;
    let mut add = |what, finding, text: String| checks.push(Check { what, finding, text });
    add("ironspan", Finding::Good, format!("{}, SQLite {}", env!("CARGO_PKG_VERSION"), rusqlite::version()));
    match Reader::open(&path) {
        Err(error) => {
            add("store", Finding::Bad, error.to_string());
            unusable = Some(());
        }
        Ok(reader) => {
            out.progress("reading the whole file")?;
            store_checks(&reader, &mut add)?;
            out.progress("adding up traces")?;
            sums(&reader.database().connection, &mut add).map_err(|error| reader.database().explain(error))?;
            files(&path, &mut add);
        }
    }
    settings(out, &mut add);
    if out.json {
        for check in &checks {
            let value =
                json!({"check": check.what, "finding": check.finding.word().0.to_lowercase(), "text": check.text});
            out.value(&value)?;
        }
    } else {
        for check in &checks {
            let (word, style) = check.finding.word();
            let mut line = Line::new(out.screen);
            line.push_own(style, word);
            line.fill(8);
            line.push_own(Style::Bold, check.what);
            line.fill(22);
            line.push(Style::Plain, &check.text, usize::MAX);
            out.line(&line.finish())?;
        }
    }
    match unusable {
        Some(()) => Err(Failure::Store(String::from("the store cannot be used"))),
        None if checks.iter().any(|check| check.finding == Finding::Bad) => Err(Failure::Negative),
        None => Ok(()),
    }
}

type Add<'a> = dyn FnMut(&'static str, Finding, String) + 'a;

fn store_checks(reader: &Reader, add: &mut Add<'_>) -> Result<(), Failure> {
    let status = reader.status()?;
    let size = u64::try_from(status.bytes).unwrap_or(0);
    let count = |number: i64, noun| format::plural(u64::try_from(number).unwrap_or(0), noun);
    let text =
        format!("{}: {}, {}, {}", status.path, bytes(size), count(status.traces, "trace"), count(status.spans, "span"));
    add("store", Finding::Good, text);
    let is_current = status.schema == schema::VERSION;
    let finding = if is_current { Finding::Good } else { Finding::Notice };
    add("schema", finding, format!("{} (this version writes {})", status.schema, schema::VERSION));
    let database = reader.database();
    let pragma = |name: &str| -> Result<String, Failure> {
        let value = database.connection.pragma_query_value(None, name, |row| row.get(0));
        Ok(value.map_err(|error| database.explain(error))?)
    };
    let mode = pragma("journal_mode")?;
    let finding = if mode == "wal" { Finding::Good } else { Finding::Bad };
    add(
        "journal",
        finding,
        format!("{mode}{}", if mode == "wal" { "" } else { ": programs would block each other; wal is needed" }),
    );
    let verdict = pragma("quick_check")?;
    add("integrity", if verdict == "ok" { Finding::Good } else { Finding::Bad }, verdict);
    Ok(())
}

/// Adds spans up again for a sample of traces that have ended, and compares.
fn sums(connection: &Connection, add: &mut Add<'_>) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(
        "SELECT t.trace_id, t.spans, count(s.id), t.errors, coalesce(sum(s.own_error), 0), t.generations,
            coalesce(sum(s.kind = 3), 0), coalesce(t.cost, 0), coalesce(sum(s.cost) FILTER (WHERE s.kind IN (3, 5, 6)), 0)
         FROM (SELECT * FROM trace ORDER BY random() LIMIT ?1) t LEFT JOIN span s ON s.trace = t.id GROUP BY t.id",
    )?;
    let (mut looked, mut wrong) = (0_u64, Vec::new());
    let mut rows = statement.query([SAMPLE])?;
    while let Some(row) = rows.next()? {
        looked += 1;
        let whole = |at: usize| row.get::<_, i64>(at);
        let costs: (f64, f64) = (row.get(7)?, row.get(8)?);
        let counts_agree = whole(1)? == whole(2)? && whole(3)? == whole(4)? && whole(5)? == whole(6)?;
        if !counts_agree || (costs.0 - costs.1).abs() > 1e-6 * costs.0.abs().max(1.0) {
            wrong.push(row.get::<_, String>(0)?);
        }
    }
    match wrong.first() {
        None => add("sums", Finding::Good, format!("agree with the spans of {}", format::plural(looked, "trace"))),
        Some(first) => {
            let text = format!("{} of {looked} traces do not agree with their spans, such as {first}", wrong.len());
            add("sums", Finding::Bad, text);
        }
    }
    Ok(())
}

#[cfg(unix)]
fn files(path: &Path, add: &mut Add<'_>) {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        let Ok(file) = std::fs::metadata(&name) else { continue };
        let mode = file.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            let text = format!("{} is {mode:o}: others can read prompts; chmod 600 it", Path::new(&name).display());
            add("permissions", Finding::Bad, text);
        } else if suffix.is_empty() {
            add("permissions", Finding::Good, format!("{mode:o}, owned by user {}", file.uid()));
        }
        if suffix == "-wal" && file.len() > 64 << 20 {
            add(
                "log",
                Finding::Notice,
                format!("{}: a reader or writer has kept it from being cut", bytes(file.len())),
            );
        }
    }
    let (finding, text) = match file_system(path) {
        Some((name, true)) => {
            (Finding::Bad, format!("{name}: locks over a network cannot be trusted; use a local disk"))
        }
        Some((name, false)) => (Finding::Good, name),
        None => (Finding::Notice, String::from("not known")),
    };
    add("file system", finding, text);
}

#[cfg(not(unix))]
fn files(_: &Path, _: &mut Add<'_>) {}

/// The file system that holds the store, by the system's table of mounts, and whether it is one over a network.
#[cfg(unix)]
fn file_system(path: &Path) -> Option<(String, bool)> {
    let path = path.canonicalize().ok()?;
    let table = std::fs::read_to_string("/proc/self/mounts").ok()?;
    let best = table
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            // Spaces in names are written as octal numbers there.
            let folder = fields.next()?.replace("\\040", " ");
            let kind = fields.next()?;
            path.starts_with(&folder).then(|| (folder.len(), kind.to_owned()))
        })
        .max_by_key(|(length, _)| *length)?;
    let over_network = ["nfs", "cifs", "smb", "9p", "afs", "ceph", "lustre", "gluster", "fuse.sshfs", "gpfs", "beegfs"]
        .iter()
        .any(|name| best.1.starts_with(name));
    Some((best.1, over_network))
}

/// What each variable says that is set, and what is wrong with it.
fn settings(out: &Out<'_>, add: &mut Add<'_>) {
    let environment = out.environment();
    let mut any = false;
    for (name, meaning) in VARIABLES {
        let Some(value) = environment.get(name).filter(|text| !text.is_empty()) else { continue };
        any = true;
        // Headers carry keys.
        let shown = if name.contains("HEADERS") || name.contains("KEY") { "(set)" } else { value.as_str() };
        add("variable", Finding::Good, format!("{name}={shown}: {meaning}"));
    }
    match Config::resolve(&Options::default(), environment) {
        Ok((_, warnings)) => {
            for warning in warnings {
                add("variable", Finding::Bad, warning.to_string());
                any = true;
            }
        }
        Err(error) => add("settings", Finding::Bad, error.to_string()),
    }
    if !any {
        add("variables", Finding::Good, String::from("none is set"));
    }
}
