//! The command line, for `ironspan.__main__`: standard streams and the process's environment around `crate::command`.

use std::cell::Cell;
use std::io::{self, BufReader, BufWriter, IsTerminal as _};

use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;

use crate::command::{ParquetError, ParquetFile, Surroundings, Written, run};
use crate::config::ProcessEnvironment;

/// Runs the command `ironspan`. See `_core.pyi`.
#[pyfunction]
#[pyo3(signature = (arguments, /, *, columns = None, utc_offset = 0, parquet = None))]
#[allow(clippy::needless_pass_by_value, reason = "it goes along to where the interpreter lock is not held")]
pub(crate) fn command(
    py: Python<'_>,
    arguments: Vec<String>,
    columns: Option<u16>,
    utc_offset: i64,
    parquet: Option<Py<PyAny>>,
) -> u8 {
    py.detach(move || {
        let mut input = BufReader::new(io::stdin());
        let mut out = BufWriter::new(io::stdout());
        let listens = Cell::new(false);
        let interrupted = || Python::attach(|py| interrupted(py, &listens));
        let mut write =
            parquet.map(|function| move |file: &ParquetFile| Python::attach(|py| write_parquet(py, &function, file)));
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
                interrupted: Some(&interrupted),
                parquet: write.as_mut().map(|write| write as _),
            },
        )
    })
}

/// Whether Ctrl-C was pressed. The first call has Python listen for it; in another thread than the main one it cannot,
/// and Ctrl-C stays what it was.
fn interrupted(py: Python<'_>, listens: &Cell<bool>) -> bool {
    if !listens.replace(true) {
        let listen = || -> PyResult<()> {
            let signal = py.import("signal")?;
            let words = (signal.getattr("SIGINT")?, signal.getattr("default_int_handler")?);
            signal.call_method1("signal", words)?;
            Ok(())
        };
        // No main thread, no listening.
        let _ = listen();
    }
    py.check_signals().is_err()
}

fn write_parquet(py: Python<'_>, function: &Py<PyAny>, file: &ParquetFile) -> Result<Written, ParquetError> {
    let words = (&file.store, &file.path, &file.filter, &file.since, &file.until);
    let written = function.call1(py, words).and_then(|written| written.extract::<(u64, u64)>(py));
    match written {
        Ok((traces, spans)) => Ok(Written { traces, spans }),
        Err(error) if error.is_instance_of::<PyImportError>(py) => {
            Err(ParquetError::Missing(error.value(py).to_string()))
        }
        Err(error) => Err(ParquetError::Failed(error.value(py).to_string())),
    }
}
