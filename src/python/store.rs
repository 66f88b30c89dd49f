//! The store, read from Python: `_StoreReader` asks what the page asks, and hands out JSON text that `ironspan._store`
//! parses. Scores are written here too.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;

use crate::config::ProcessEnvironment;
use crate::fork;
use crate::store::{Reader, location};
use crate::viewer;

fn store_error(py: Python<'_>, message: String) -> PyErr {
    match super::helper(py, "ironspan._errors", "StoreError").and_then(|class| class.call1((message,))) {
        Ok(instance) => PyErr::from_value(instance),
        Err(error) => error,
    }
}

/// The named file, or the one that programs write to by default.
fn file(path: Option<PathBuf>) -> Option<PathBuf> {
    let folder = std::env::current_dir().unwrap_or_default();
    match path {
        Some(path) => Some(folder.join(path)),
        None => location::default_file(&ProcessEnvironment, &folder),
    }
}

/// One open store. One question at a time, without the interpreter lock.
#[pyclass(frozen, module = "ironspan._core", name = "_StoreReader")]
#[derive(Debug)]
pub(crate) struct StoreReader {
    reader: Mutex<Option<Reader>>,
    path: String,
}

#[pymethods]
impl StoreReader {
    #[new]
    #[pyo3(signature = (path, /))]
    fn new(py: Python<'_>, path: Option<PathBuf>) -> PyResult<Self> {
        let Some(path) = file(path) else {
            return Err(store_error(py, String::from("there is no folder for user data: name the store's file")));
        };
        let opened = py.detach(|| Reader::open(&path));
        let reader = opened.map_err(|error| store_error(py, error.to_string()))?;
        Ok(Self { reader: Mutex::new(Some(reader)), path: path.to_string_lossy().into_owned() })
    }

    #[getter]
    fn path(&self) -> &str {
        &self.path
    }

    /// The answer to a question of `docs/viewer-api.md`, as JSON. A file that was replaced is opened anew.
    #[pyo3(signature = (question, parameters, /))]
    fn ask(&self, py: Python<'_>, question: &str, parameters: HashMap<String, String>) -> PyResult<String> {
        let answer = py.detach(|| {
            let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
            let reader = reader.as_mut().ok_or_else(|| String::from("the store has been closed"))?;
            if !reader.database().is_current() {
                *reader = Reader::open(reader.database().path()).map_err(|error| error.to_string())?;
            }
            viewer::answer(reader, question, parameters)
        });
        answer.map_err(|message| store_error(py, message))
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.reader.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// The page of a store, served by this process until it is stopped or dropped.
#[pyclass(frozen, module = "ironspan._core", name = "_Served")]
#[derive(Debug)]
pub(crate) struct Page {
    served: Mutex<Option<viewer::Served>>,
    url: String,
    epoch: u32,
}

#[pymethods]
impl Page {
    #[new]
    #[pyo3(signature = (store, port, /))]
    fn new(py: Python<'_>, store: Option<PathBuf>, port: u16) -> PyResult<Self> {
        let Some(path) = file(store) else {
            return Err(store_error(py, String::from("there is no folder for user data: name the store's file")));
        };
        let mut options = viewer::Options::new(path, &ProcessEnvironment);
        options.port = Some(port);
        let served = py.detach(|| viewer::serve(options));
        let served = served.map_err(|error| store_error(py, error.to_string()))?;
        Ok(Self { url: served.url.clone(), served: Mutex::new(Some(served)), epoch: fork::epoch() })
    }

    #[getter]
    fn url(&self) -> &str {
        &self.url
    }

    fn stop(&self, py: Python<'_>) {
        py.detach(|| self.end());
    }
}

impl Page {
    fn end(&self) {
        let served = self.served.lock().unwrap_or_else(PoisonError::into_inner).take();
        if self.epoch == fork::epoch() {
            drop(served);
        } else {
            // In the child of a fork its thread does not exist: nobody must wait for it.
            std::mem::forget(served);
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.end();
    }
}
