//! The command line, for `ironspan.__main__`: standard streams and the process's environment around `crate::command`.

use std::io::{self, BufReader, BufWriter, IsTerminal as _};

use pyo3::prelude::*;

use crate::command::{Surroundings, run};
use crate::config::ProcessEnvironment;

/// Runs the command `ironspan`. See `_core.pyi`.
#[pyfunction]
#[pyo3(signature = (arguments, /, *, columns = None, utc_offset = 0))]
pub(crate) fn command(py: Python<'_>, arguments: Vec<String>, columns: Option<u16>, utc_offset: i64) -> u8 {
    py.detach(move || {
        let mut input = BufReader::new(io::stdin());
        let mut out = BufWriter::new(io::stdout());
        run(
            arguments,
            Surroundings {
                environment: &ProcessEnvironment,
                folder: std::env::current_dir().unwrap_or_default(),
                input: Some(&mut input),
                out: &mut out,
                err: &mut io::stderr(),
                columns: columns.filter(|_| io::stdout().is_terminal()),
                shows_progress: io::stderr().is_terminal(),
                utc_offset,
            },
        )
    })
}
