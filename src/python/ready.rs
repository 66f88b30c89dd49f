//! An awaitable that is ready at once, for `async with`: entering and leaving a span never waits.

use pyo3::exceptions::PyStopIteration;
use pyo3::prelude::*;

/// Awaits to `value` without suspending.
#[pyclass(module = "ironspan._core")]
#[derive(Debug)]
pub(crate) struct Ready {
    value: Option<Py<PyAny>>,
}

impl Ready {
    pub(crate) fn new(value: Py<PyAny>) -> Self {
        Self { value: Some(value) }
    }

    pub(crate) fn none(py: Python<'_>) -> Self {
        Self::new(py.None())
    }
}

#[pymethods]
impl Ready {
    fn __await__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(&mut self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let value = self.value.take().unwrap_or_else(|| py.None());
        Err(PyStopIteration::new_err((value,)))
    }
}
