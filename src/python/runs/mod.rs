//! The open runs of callback frameworks, as Python sees them: the table, a run, and what begins one.
//!
//! - [`run`]: `Run`, what stands for one run between its two callbacks
//! - [`table`]: `RunTable`, with the doors by which a run leaves
//! - [`begin`]: where a run of LangChain belongs, and its span
//! - [`describe`]: what its tags and metadata say
//! - [`nearest`]: which is nearer where code runs, the current span or a run

mod begin;
mod describe;
pub(crate) mod nearest;
mod run;
mod table;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

pub(crate) use table::RunTable;

/// The table of this process: one serves every handler, so a run that two handlers see is one span.
static RUNS: PyOnceLock<Py<RunTable>> = PyOnceLock::new();

/// Adds the classes and the table to the module.
pub(crate) fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add_class::<run::Run>()?;
    module.add_class::<RunTable>()?;
    let table = Bound::new(py, RunTable::fresh(crate::runs::CAP, None, None))?;
    module.add("RUNS", &table)?;
    let _ = RUNS.set(py, table.unbind());
    module.add_function(wrap_pyfunction!(nearest::_follow_langchain, module)?)?;
    module.add_function(wrap_pyfunction!(nearest::_innermost_run, module)?)
}
