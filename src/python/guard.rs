//! Nothing escapes: every entry from Python runs in here. A panic or an unexpected Python error is counted and becomes
//! a harmless value, because a Rust panic reaches Python as a `BaseException` that `except Exception` does not stop.

#![allow(unsafe_code, reason = "setting the interrupt flag is a C call")]

use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;

use crate::ledger::PROCESS;

/// Runs `work`; a panic inside is counted and `otherwise` returned.
#[inline]
pub(crate) fn guard<R>(otherwise: R, work: impl FnOnce() -> R) -> R {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        PROCESS.internal_error();
        otherwise
    })
}

/// Swallows a Python error that code of the user's raised while we read a value, and counts it. A Ctrl-C that fell into
/// that moment is not lost: it is raised again in the main thread as soon as we are out of the way.
#[cold]
pub(crate) fn swallow(py: Python<'_>, error: &PyErr) {
    PROCESS.internal_error();
    if error.is_instance_of::<PyKeyboardInterrupt>(py) {
        // SAFETY: the interpreter is attached; the call only sets a flag.
        unsafe { pyo3::ffi::PyErr_SetInterrupt() };
    }
}

/// The value of `result`, or `None` with the error swallowed.
#[inline]
pub(crate) fn ok<T>(py: Python<'_>, result: PyResult<T>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            swallow(py, &error);
            None
        }
    }
}
