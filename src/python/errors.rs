//! Exceptions of ours: `IronspanError` at the root, `ConfigError` for a wrong configuration (also a `ValueError`).
//! Defined in Python (`ironspan._errors`), since a class with two bases is made in one line there.

use pyo3::prelude::*;

use crate::config::ConfigError;

/// The Python exception for a wrong configuration.
pub(crate) fn config_error(py: Python<'_>, error: &ConfigError) -> PyErr {
    match super::helper(py, "ironspan._errors", "ConfigError").and_then(|class| class.call1((error.to_string(),))) {
        Ok(instance) => PyErr::from_value(instance),
        Err(error) => error,
    }
}
