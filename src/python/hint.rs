//! Parents that only a framework knows. LangChain runs the body of a node in a copy of the context in which its own
//! variable names the run; our variable says nothing about it. A framework's module registers its variables and a
//! function; where one of the variables is set, the function says whether its run is nearer than what is current.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::ids::SpanId;
use crate::python::context::ambient_of;
use crate::python::current;
use crate::python::frame::Ambient;
use crate::python::guard::ok;

#[derive(Debug)]
struct Hint {
    variables: Vec<Py<PyAny>>,
    nearest: Py<PyAny>,
}

static HINT: PyOnceLock<Hint> = PyOnceLock::new();

/// Registers context variables, and a function from the id of the current span (16 hexadecimal digits, zeros for none)
/// to the span or span context that is nearer, or `None`. The first registration stays.
#[pyfunction]
#[pyo3(signature = (variables, nearest, /))]
pub(crate) fn _set_hint(py: Python<'_>, variables: Vec<Py<PyAny>>, nearest: Py<PyAny>) {
    let _ = HINT.set(py, Hint { variables, nearest });
}

/// `own`, or what the framework knows to be nearer: the parent from there, the scope from here.
#[inline]
pub(crate) fn refine(py: Python<'_>, own: Ambient) -> Ambient {
    if HINT.get(py).is_none() { own } else { refine_hinted(py, own) }
}

#[inline(never)]
fn refine_hinted(py: Python<'_>, own: Ambient) -> Ambient {
    match nearer(py, &own).and_then(|nearer| ambient_of(&nearer)) {
        // The variable holds every scope around here; a run's span knows those around the run.
        Some(nearer) => Ambient { context: nearer.context, scope: own.scope.or(nearer.scope), deferred: None },
        None => own,
    }
}

/// The span or span context that the framework knows to be nearer than `own`.
#[inline]
pub(crate) fn nearer<'py>(py: Python<'py>, own: &Ambient) -> Option<Bound<'py, PyAny>> {
    let hint = HINT.get(py)?;
    if hint.variables.iter().all(|variable| current::value_of(py, variable).is_none()) {
        return None;
    }
    let span_id = own.context.as_ref().map_or(SpanId::INVALID, |context| context.span_id);
    ok(py, hint.nearest.bind(py).call1((span_id.to_string(),))).filter(|nearer| !nearer.is_none())
}

/// The id of the span that our own variable makes current here, whatever a framework knows.
#[pyfunction]
pub(crate) fn _current_span_id(py: Python<'_>) -> String {
    let own = current::get(py).map_or_else(Ambient::default, |object| Ambient::of(&object));
    own.context.map_or(SpanId::INVALID, |context| context.span_id).to_string()
}
