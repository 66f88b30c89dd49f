//! What tests of traced programs need: finished spans as Python objects, ids that count, a clock driven by hand.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

use crate::finished::{Attributes, SpanView, Value};
use crate::sinks::memory::Kept;
use crate::{clock, ids};

/// Keeps finished spans. Wrapped by `ironspan.testing.MemoryExporter`.
#[pyclass(frozen, module = "ironspan._core")]
#[derive(Debug, Default)]
pub(crate) struct MemoryStore {
    kept: Arc<Kept>,
}

impl MemoryStore {
    pub(crate) fn kept(&self) -> Arc<Kept> {
        Arc::clone(&self.kept)
    }
}

#[pymethods]
impl MemoryStore {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// All spans so far, as dicts, in the order in which they ended.
    fn spans<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let spans = PyList::empty(py);
        for batch in self.kept.batches() {
            for span in (0..batch.len()).filter_map(|at| batch.get(at)) {
                spans.append(to_dict(py, span)?)?;
            }
        }
        Ok(spans)
    }

    /// Attributes of the resource, once a span has arrived.
    fn resource<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let attributes = PyDict::new(py);
        if let Some(batch) = self.kept.batches().last() {
            for (key, value) in &batch.resource().attributes {
                attributes.set_item(key, owned(py, value)?)?;
            }
        }
        Ok(attributes)
    }

    fn clear(&self) {
        self.kept.clear();
    }
}

fn owned<'py>(py: Python<'py>, value: &crate::finished::OwnedValue) -> PyResult<Bound<'py, PyAny>> {
    use crate::finished::OwnedValue;
    Ok(match value {
        OwnedValue::Str(text) => text.into_pyobject(py)?.into_any(),
        OwnedValue::Int(number) => number.into_pyobject(py)?.into_any(),
        OwnedValue::Float(number) => number.into_pyobject(py)?.into_any(),
        OwnedValue::Bool(flag) => flag.into_pyobject(py)?.to_owned().into_any(),
        OwnedValue::List(items) => {
            let list = PyList::empty(py);
            for item in items {
                list.append(owned(py, item)?)?;
            }
            list.into_any()
        }
    })
}

fn value_to_python<'py>(py: Python<'py>, value: Value<'_>) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Bool(flag) => flag.into_pyobject(py)?.to_owned().into_any(),
        Value::Int(number) => number.into_pyobject(py)?.into_any(),
        Value::Float(number) => number.into_pyobject(py)?.into_any(),
        Value::Str(text) => text.into_pyobject(py)?.into_any(),
        Value::Bytes(bytes) => PyBytes::new(py, bytes).into_any(),
        Value::List(items) => {
            let list = PyList::empty(py);
            for item in items {
                list.append(value_to_python(py, item)?)?;
            }
            list.into_any()
        }
        Value::Map(pairs) => attributes_to_python(py, pairs)?.into_any(),
    })
}

fn attributes_to_python<'py>(py: Python<'py>, pairs: Attributes<'_>) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (key, value) in pairs {
        dict.set_item(key, value_to_python(py, value)?)?;
    }
    Ok(dict)
}

fn to_dict<'py>(py: Python<'py>, span: SpanView<'_>) -> PyResult<Bound<'py, PyDict>> {
    let head = span.head();
    let dict = PyDict::new(py);
    dict.set_item("name", span.name())?;
    dict.set_item("trace_id", head.trace_id.to_string())?;
    dict.set_item("span_id", head.span_id.to_string())?;
    dict.set_item("parent_id", head.parent_id.map(|id| id.to_string()))?;
    dict.set_item("kind", head.kind.name())?;
    dict.set_item("otel_kind", head.span_kind as u8)?;
    dict.set_item("status", head.outcome.name())?;
    dict.set_item("status_message", span.status_message())?;
    dict.set_item("start_ns", head.start_unix_nano)?;
    dict.set_item("end_ns", head.end_unix_nano)?;
    dict.set_item("flags", head.flags)?;
    dict.set_item("trace_state", span.trace_state())?;
    dict.set_item("attributes", attributes_to_python(py, span.attributes())?)?;
    let events = PyList::empty(py);
    for event in span.events() {
        let entry = PyDict::new(py);
        entry.set_item("name", event.name)?;
        entry.set_item("time_ns", event.time_unix_nano)?;
        entry.set_item("attributes", attributes_to_python(py, event.attributes)?)?;
        entry.set_item("dropped_attributes", event.dropped_attributes)?;
        events.append(entry)?;
    }
    dict.set_item("events", events)?;
    let links = PyList::empty(py);
    for link in span.links() {
        let entry = PyDict::new(py);
        entry.set_item("trace_id", link.trace_id.to_string())?;
        entry.set_item("span_id", link.span_id.to_string())?;
        entry.set_item("flags", link.flags)?;
        entry.set_item("trace_state", link.trace_state)?;
        entry.set_item("attributes", attributes_to_python(py, link.attributes)?)?;
        entry.set_item("dropped_attributes", link.dropped_attributes)?;
        links.append(entry)?;
    }
    dict.set_item("links", links)?;
    dict.set_item("dropped_attributes", head.dropped_attributes)?;
    dict.set_item("dropped_events", head.dropped_events)?;
    dict.set_item("dropped_links", head.dropped_links)?;
    Ok(dict)
}

/// Drives the clock by hand at `unix_nano`, or gives it back with `None`.
#[pyfunction]
#[pyo3(signature = (unix_nano, /))]
pub(crate) fn _set_clock(unix_nano: Option<i64>) {
    clock::set_manual(unix_nano);
}

/// Makes ids count up from `first`, or random again with `None`.
#[pyfunction]
#[pyo3(signature = (first, /))]
pub(crate) fn _set_incremental_ids(first: Option<u64>) {
    ids::set_incremental(first);
}
