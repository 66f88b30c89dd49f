//! The command `ironspan`: the local store in the terminal. Python's `ironspan.__main__` calls [`run`].
//!
//! ```text
//! words --args--> one file for each command --Reader--> rows --output, terminal--> text or JSON
//! ```
//!
//! Data goes to standard output, everything else to standard error; colour says nothing that words do not. Exit status:
//! 0 done, 1 nothing found or a check that failed, 2 wrong usage, 3 the store cannot be used.

mod args;
mod doctor;
mod export;
mod figures;
mod import;
mod list;
mod otlp;
mod output;
mod purge;
mod score;
mod send;
mod show;
mod store;
mod tail;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod view;

use std::io::{BufRead, Write};
use std::path::PathBuf;

use clap::{CommandFactory as _, Parser as _};

use crate::config::Environment;
use args::{Cli, Command};
use output::{Failure, Out};

/// What the command runs in.
pub struct Surroundings<'a> {
    /// The variables.
    pub environment: &'a dyn Environment,
    /// The working folder.
    pub folder: PathBuf,
    /// Where confirmations come from; `None` when nobody can be asked.
    pub input: Option<&'a mut dyn BufRead>,
    /// Standard output.
    pub out: &'a mut dyn Write,
    /// Standard error.
    pub err: &'a mut dyn Write,
    /// Columns of standard output, where it is a terminal.
    pub columns: Option<u16>,
    /// Whether standard error is a terminal, for progress.
    pub shows_progress: bool,
    /// What local time is ahead of UTC, seconds.
    pub utc_offset: i64,
    /// Whether Ctrl-C was pressed. Who asks wants to end in order: from the first question on it no longer ends the
    /// process. `None` where it always does.
    pub interrupted: Option<&'a dyn Fn() -> bool>,
    /// Writes Parquet, which needs Arrow, which is not in here. `None` where nobody can.
    pub parquet: Option<&'a mut WriteParquet>,
}

/// Writes a Parquet file.
pub type WriteParquet = dyn FnMut(&ParquetFile) -> Result<Written, ParquetError>;

/// A Parquet file that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParquetFile {
    /// The store.
    pub store: PathBuf,
    /// The file, which is not there yet.
    pub path: PathBuf,
    /// Which traces.
    pub filter: String,
    /// Only what began since then.
    pub since: Option<String>,
    /// Only what began before then.
    pub until: Option<String>,
}

/// What a file has got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Traces.
    pub traces: u64,
    /// Spans.
    pub spans: u64,
}

/// Why there is no Parquet file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParquetError {
    /// What writes it is not installed.
    Missing(String),
    /// The file cannot be written, or the store not be read.
    Failed(String),
}

/// Runs the command. `arguments` begin with the program's name. Returns the exit status.
#[must_use]
pub fn run(arguments: Vec<String>, surroundings: Surroundings<'_>) -> u8 {
    let mut out = Out::new(surroundings);
    let result = match Cli::try_parse_from(args::protect_negations(arguments)) {
        Ok(cli) => dispatch(cli, &mut out),
        Err(error) if !error.use_stderr() => out.text(&error.to_string()),
        Err(error) => Err(Failure::Clap(error)),
    };
    let result = result.and_then(|()| out.flush());
    match result {
        Ok(()) => 0,
        Err(failure) => out.fail(&failure),
    }
}

fn dispatch(cli: Cli, out: &mut Out<'_>) -> Result<(), Failure> {
    let common = cli.common;
    out.set_up(common.json, common.color);
    match cli.command {
        Command::Demo { .. } => Err(Failure::Usage(
            String::from("demo has to be the first word"),
            Some(String::from("write: ironspan demo --store PATH")),
        )),
        Command::List(list) => list::run(&common, &list, out),
        Command::Show(show) => show::run(&common, &show, out),
        Command::Tail(tail) => tail::run(&common, &tail, out),
        Command::Stats(stats) => figures::stats(&common, &stats, out),
        Command::Errors(errors) => figures::errors(&common, &errors, out),
        Command::View(view) => view::run(&common, &view, out),
        Command::Doctor => doctor::run(&common, out),
        Command::Export(export) => export::run(&common, &export, out),
        Command::Import(import) => import::run(&common, &import, out),
        Command::Score(score) => score::run(&common, &score, out),
        Command::Purge(purge) => purge::run(&common, &purge, out),
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "ironspan", &mut script);
            out.text(&String::from_utf8_lossy(&script))
        }
    }
}
