//! The Python module `ironspan._core`: argument conversion and life-cycle hooks around the core. No logic of the
//! pipeline lives here, and nothing outside this folder knows PyO3.

mod bound;
mod cell;
#[cfg(feature = "local")]
mod command;
mod context;
mod control;
mod convert;
mod current;
mod errors;
mod exception;
mod fastcall;
mod frame;
mod guard;
mod memory;
mod methods;
mod options;
mod ready;
mod report;
mod runs;
mod settings;
mod shape;
mod span;
#[cfg(feature = "local")]
mod store;
mod verbs;

use std::sync::atomic::Ordering::Relaxed;

use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::engine::{self, Engine};
use crate::ledger::PROCESS;
use frame::Ambient;
use span::Span;

/// The one span that records nothing. Shared by everybody who asks for a span when there is none to be had.
static NOOP: PyOnceLock<Py<Span>> = PyOnceLock::new();

/// An attribute of a module of ours, imported when it is first needed: importing `ironspan` stays cheap.
fn helper<'py>(py: Python<'py>, module: &str, name: &str) -> PyResult<Bound<'py, PyAny>> {
    py.import(module)?.getattr(name)
}

/// See [`NOOP`].
fn noop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let span = NOOP.get_or_try_init(py, || Py::new(py, Span::stand_in(py, Ambient::default())))?;
    Ok(span.bind(py).clone().into_any())
}

/// The engine; built now if this is the first span of the process. `None` when spans are off.
#[inline]
fn engine(py: Python<'_>) -> Option<&'static Engine> {
    match engine::current() {
        Some(engine) => Some(engine),
        None => build_engine(py),
    }
}

/// What a verb returns after `shutdown()`: a span that records nothing, and the call is counted.
#[cold]
fn after_shutdown<'py>(
    py: Python<'py>,
    make: impl FnOnce() -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    if !settings::get(py).config.disabled {
        PROCESS.late_calls.fetch_add(1, Relaxed);
    }
    make()
}

#[cold]
fn build_engine(py: Python<'_>) -> Option<&'static Engine> {
    if engine::is_closed() {
        return None;
    }
    guard::guard(None, || control::start(py))
}

/// Parent and scope for a span that starts here, when the variable holds `object`.
#[inline]
fn ambient_of(py: Python<'_>, object: Option<&Bound<'_, PyAny>>) -> Ambient {
    runs::nearest::refine(py, object.map_or_else(Ambient::default, Ambient::of))
}

/// Parent and scope for a span that starts here.
#[inline]
fn ambient(py: Python<'_>) -> Ambient {
    ambient_of(py, current::get(py).as_ref())
}

/// After a span has ended: if something was lost meanwhile, this is the moment to say so.
#[inline]
fn after_end(py: Python<'_>) {
    if PROCESS.spans.has_news() {
        report::losses(py, false);
    }
}

/// The native part of ironspan. Its documentation is in `_core.pyi`.
#[pymodule(gil_used = true)]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    refuse_subinterpreter(py)?;
    refuse_free_threading(py)?;
    crate::alloc::provide();
    // A panic is counted and shown by stats(); printing it would put lines of ours on the program's stderr. The hook
    // belongs to this library's copy of the runtime, nobody else's panics pass through it.
    std::panic::set_hook(Box::new(|_| {}));
    current::init(py)?;
    fastcall::init(module)?;
    module.add_class::<Span>()?;
    methods::init(py)?;
    module.add_class::<frame::Frame>()?;
    module.add_class::<context::PySpanContext>()?;
    module.add_class::<control::Report>()?;
    module.add_class::<memory::MemoryStore>()?;
    module.add_function(wrap_pyfunction!(context::extract, module)?)?;
    module.add_function(wrap_pyfunction!(context::inject, module)?)?;
    let environment = wrap_pyfunction!(context::environment_for_child, module)?;
    module.add("environment", environment)?;
    module.add_function(wrap_pyfunction!(context::attach, module)?)?;
    module.add_function(wrap_pyfunction!(context::scope, module)?)?;
    module.add_function(wrap_pyfunction!(context::current, module)?)?;
    module.add_function(wrap_pyfunction!(context::_restore_context, module)?)?;
    module.add_function(wrap_pyfunction!(context::_restore_span, module)?)?;
    module.add_function(wrap_pyfunction!(control::flush, module)?)?;
    module.add_function(wrap_pyfunction!(control::shutdown, module)?)?;
    module.add_function(wrap_pyfunction!(control::stats, module)?)?;
    module.add_function(wrap_pyfunction!(control::configure, module)?)?;
    module.add_function(wrap_pyfunction!(control::_at_exit, module)?)?;
    module.add_function(wrap_pyfunction!(control::_before_fork, module)?)?;
    module.add_function(wrap_pyfunction!(control::_after_fork_in_parent, module)?)?;
    module.add_function(wrap_pyfunction!(control::_count_internal_error, module)?)?;
    module.add_function(wrap_pyfunction!(control::_thread_propagation, module)?)?;
    module.add_function(wrap_pyfunction!(memory::_set_clock, module)?)?;
    module.add_function(wrap_pyfunction!(memory::_set_incremental_ids, module)?)?;
    module.add_function(wrap_pyfunction!(context::_capture, module)?)?;
    module.add_function(wrap_pyfunction!(runs::nearest::_current_span_id, module)?)?;
    #[cfg(feature = "local")]
    module.add_function(wrap_pyfunction!(command::command, module)?)?;
    runs::init(module)?;
    #[cfg(feature = "local")]
    {
        module.add_class::<store::StoreReader>()?;
        module.add_class::<store::Page>()?;
    }
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    Ok(())
}

/// Type objects would be shared between interpreters, and the engine is one per process: outside the main interpreter
/// the import fails cleanly, and the Python package falls back to spans that do nothing.
fn refuse_subinterpreter(py: Python<'_>) -> PyResult<()> {
    let _ = py;
    // SAFETY: attached; both calls only read.
    #[allow(unsafe_code, reason = "there is no safe way to ask which interpreter this is")]
    let id = unsafe { pyo3::ffi::PyInterpreterState_GetID(pyo3::ffi::PyInterpreterState_Get()) };
    if id == 0 { Ok(()) } else { Err(PyImportError::new_err("ironspan runs in the main interpreter only")) }
}

/// What Python objects of ours hold is guarded by the interpreter lock. A free-threaded interpreter takes it on for us
/// (`gil_used`), unless it was told not to.
fn refuse_free_threading(py: Python<'_>) -> PyResult<()> {
    let Ok(enabled) = py.import("sys")?.getattr("_is_gil_enabled") else { return Ok(()) };
    if enabled.call0()?.is_truthy()? {
        return Ok(());
    }
    Err(PyImportError::new_err("ironspan needs the interpreter lock; do not set PYTHON_GIL=0 or -X gil=0"))
}
