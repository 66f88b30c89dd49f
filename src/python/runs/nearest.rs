//! Which span is nearest where code of the program's runs: its current one, or the LangChain run whose code it is.
//!
//! Handlers never make a run's span current: a callback may have no matching end, and the framework runs a node's body
//! in a copy of the context anyway. LangChain itself leaves a trail, though. Around the code of a chain, a node or a
//! tool it sets `var_child_runnable_config`, whose callback manager names the run. That variable and ours are copied
//! together, so both hold for the same piece of code, and this rule decides between them:
//!
//! 1. R is the open (or last ended) run that the variable names. Without R, the current span C is nearest.
//! 2. R remembers which span was current when its start callback fired: its base. The body runs in a copy of that same
//!    context, so as long as C is the base, the body has opened nothing, and R is nearest.
//! 3. Otherwise C was opened (or attached) inside R's body, and C is nearest.
//!
//! A callback brings the id of its parent run P. There C may only win when it was opened inside P: R must be P or lie
//! below P, and C must differ from the base of R. So a span which the consumer of a generator holds open around
//! `next()` never becomes the parent of the nodes that happen to run inside that call.
//!
//! Retrievers set no config around their body. Their run is put into a variable of our own, which counts only while
//! that run is open; nothing ever has to be reset.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use super::RUNS;
use super::run::{Run, key_of};
use super::table::RunTable;
use crate::ids::SpanId;
use crate::python::current;
use crate::python::frame::Ambient;
use crate::python::guard::ok;

#[derive(Debug)]
struct Trail {
    /// LangChain's variable.
    config: Py<PyAny>,
    /// Ours: the key of the retriever whose body runs.
    body: Py<PyAny>,
}

static TRAIL: PyOnceLock<Trail> = PyOnceLock::new();

/// Looks at LangChain's trail from now on: its variable with the configuration, and ours with the retriever's key.
#[pyfunction]
#[pyo3(signature = (config, body, /))]
pub(crate) fn _follow_langchain(py: Python<'_>, config: Py<PyAny>, body: Py<PyAny>) {
    let _ = TRAIL.set(py, Trail { config, body });
}

/// The run whose code is executing here, if LangChain says so.
#[pyfunction]
pub(crate) fn _innermost_run(py: Python<'_>) -> Option<Bound<'_, Run>> {
    innermost(py)
}

/// Likewise.
pub(super) fn innermost(py: Python<'_>) -> Option<Bound<'_, Run>> {
    let trail = TRAIL.get(py)?;
    let table = RUNS.get(py)?.get();
    let run = named_by_config(py, trail, table);
    let body = current::value_of(py, &trail.body)
        .and_then(|key| ok(py, key_of(&key)))
        .and_then(|(key, _)| table.get_run(py, key));
    match (run, body) {
        // The body's run has begun inside the other, unless it is the other way round.
        (Some(run), Some(body)) => Some(if table.is_within(run.get(), body.get()) { run } else { body }),
        (run, body) => run.or(body),
    }
}

fn named_by_config<'py>(py: Python<'py>, trail: &Trail, table: &RunTable) -> Option<Bound<'py, Run>> {
    let config = current::value_of(py, &trail.config)?;
    let manager = config.cast::<PyDict>().ok()?.get_item(pyo3::intern!(py, "callbacks")).ok()??;
    let run_id = manager.getattr_opt(pyo3::intern!(py, "parent_run_id")).ok()??;
    if run_id.is_none() {
        return None;
    }
    table.find_run(py, key_of(&run_id).ok()?.0)
}

/// The run that is nearer than the span which our own variable holds.
pub(crate) fn nearer<'py>(py: Python<'py>, own: &Ambient) -> Option<Bound<'py, Run>> {
    TRAIL.get(py)?;
    let run = innermost(py)?;
    let current = span_id(own);
    (current == run.get().base || current == SpanId::INVALID).then_some(run)
}

/// `own`, or what LangChain knows to be nearer: the parent from there, the scope from here.
#[inline]
pub(crate) fn refine(py: Python<'_>, own: Ambient) -> Ambient {
    if TRAIL.get(py).is_none() { own } else { refine_followed(py, own) }
}

#[inline(never)]
fn refine_followed(py: Python<'_>, own: Ambient) -> Ambient {
    match nearer(py, &own).and_then(|run| run.get().hold().stand.ambient()) {
        // The variable holds every scope around here; a run's span knows those around the run.
        Some(nearer) => Ambient { context: nearer.context, scope: own.scope.or(nearer.scope), deferred: None },
        None => own,
    }
}

/// The span or span context that is nearer than `own`, as Python sees it.
pub(crate) fn nearer_object<'py>(py: Python<'py>, own: &Ambient) -> Option<Bound<'py, PyAny>> {
    let run = nearer(py, own)?;
    let object = run.get().hold().stand.object(py);
    object.map(|object| object.into_bound(py))
}

/// Whether what is nearest here is the span of `parent`, or something that was opened inside `parent`.
pub(super) fn is_below(
    table: &RunTable,
    innermost: Option<&Bound<'_, Run>>,
    parent: &Bound<'_, Run>,
    base: SpanId,
) -> bool {
    let Some(inner) = innermost else { return false };
    if inner.is(parent) {
        return true;
    }
    let inner = inner.get();
    let opened_inside = base != inner.base && base != SpanId::INVALID;
    opened_inside && table.is_within(inner, parent.get())
}

/// The span's id, zeros for none.
pub(super) fn span_id(ambient: &Ambient) -> SpanId {
    ambient.context.as_ref().map_or(SpanId::INVALID, |context| context.span_id)
}

/// The id of the span that our own variable makes current here, whatever a framework knows.
#[pyfunction]
pub(crate) fn _current_span_id(py: Python<'_>) -> String {
    span_id(&own(py)).to_string()
}

/// What our own variable holds here.
pub(super) fn own(py: Python<'_>) -> Ambient {
    current::get(py).map_or_else(Ambient::default, |object| Ambient::of(&object))
}
