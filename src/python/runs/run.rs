//! `Run`: what stands for one run of a framework between the callback that begins it and the one that ends it.

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::ids::SpanId;
use crate::python::cell::{Attached, Held};
use crate::python::context::{PySpanContext, ambient_of};
use crate::python::frame::Ambient;
use crate::python::span::Span;
use crate::runs::RunKey;

/// What stands for a run in the tree.
#[derive(Debug)]
pub(crate) enum Stand {
    /// Nothing does: no span is around it either.
    Nothing,
    /// A span: its own while it is open, or for a run that is not shown the one around it.
    Span(Py<Span>),
    /// The context of a span that has ended or is elsewhere.
    Context(Ambient),
}

impl Stand {
    /// What `object` can stand for; anything else is nothing.
    fn of(object: &Bound<'_, PyAny>) -> Self {
        match object.cast::<Span>() {
            Ok(span) => Self::Span(span.clone().unbind()),
            Err(_) => ambient_of(object).map_or(Self::Nothing, Self::Context),
        }
    }

    /// As Python sees it.
    pub(crate) fn object(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        match self {
            Self::Nothing => None,
            Self::Span(span) => Some(span.clone_ref(py).into_any()),
            Self::Context(ambient) => {
                let baggage = ambient.scope.as_ref().map(|scope| scope.baggage.clone()).unwrap_or_default();
                let context = PySpanContext::new(ambient.context.clone().unwrap_or_default(), baggage);
                Py::new(py, context).ok().map(Py::into_any)
            }
        }
    }

    /// Parent and scope for what starts below.
    pub(crate) fn ambient(&self) -> Option<Ambient> {
        match self {
            Self::Nothing => None,
            Self::Span(span) => Some(span.get().ambient()),
            Self::Context(ambient) => Some(ambient.clone()),
        }
    }
}

/// What is known of the chunks of a model's stream.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    pub(crate) chunks: i64,
    pub(crate) content_seen: bool,
    pub(crate) settled: bool,
    pub(crate) usage: Option<Py<PyDict>>,
    pub(crate) usage_repeats: bool,
}

/// See [`Run`].
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) stand: Stand,
    pub(crate) owns: bool,
    pub(crate) agent: Option<Py<PyString>>,
    pub(crate) metadata: Option<Py<PyDict>>,
    pub(crate) interrupted: bool,
    pub(crate) stream: Stream,
    pub(crate) watch: Option<Py<PyAny>>,
}

/// One run. See `_core.pyi`.
#[pyclass(frozen, subclass, module = "ironspan._core", name = "Run")]
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) key: RunKey,
    pub(crate) parent: Option<RunKey>,
    pub(crate) base: SpanId,
    key_object: Py<PyAny>,
    parent_object: Option<Py<PyAny>>,
    state: Attached<State>,
}

impl Run {
    pub(crate) fn begun(
        (key, key_object): (RunKey, Py<PyAny>),
        parent: Option<(RunKey, Py<PyAny>)>,
        base: SpanId,
        stand: Stand,
    ) -> Self {
        let (parent, parent_object) = parent.unzip();
        let state = State {
            stand,
            owns: true,
            agent: None,
            metadata: None,
            interrupted: false,
            stream: Stream::default(),
            watch: None,
        };
        Self { key, parent, base, key_object, parent_object, state: Attached::new(state) }
    }

    pub(crate) fn hold(&self) -> Held<'_, State> {
        self.state.hold()
    }

    /// The key and the object it was made of.
    pub(crate) fn name(&self, py: Python<'_>) -> (RunKey, Py<PyAny>) {
        (self.key, self.key_object.clone_ref(py))
    }

    /// The span that is the run's own to end, if it has one.
    pub(crate) fn own_span<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Span>> {
        let state = self.hold();
        match &state.stand {
            Stand::Span(span) if state.owns => Some(span.bind(py).clone()),
            _ => None,
        }
    }

    /// From now on the context stands for the run, and what only its end needed is let go.
    pub(crate) fn settle(&self) {
        let ambient = self.hold().stand.ambient();
        let mut state = self.hold();
        let stand = std::mem::replace(&mut state.stand, ambient.map_or(Stand::Nothing, Stand::Context));
        let (metadata, usage) = (state.metadata.take(), state.stream.usage.take());
        drop(state);
        // Destructors run with the state let go.
        drop((stand, metadata, usage));
    }
}

/// The key of a run id, and the object to keep for it. A UUID is known by its number: nothing of ours may keep the UUID
/// object alive, whose death says that the run is over.
pub(crate) fn key_of(id: &Bound<'_, PyAny>) -> PyResult<(RunKey, Py<PyAny>)> {
    if let Ok(text) = id.cast::<PyString>() {
        let key = RunKey::text(text.to_string_lossy().as_bytes());
        return Ok((key, id.clone().unbind()));
    }
    if let Ok(number) = id.extract::<u128>() {
        return Ok((RunKey::Number(number), id.clone().unbind()));
    }
    match id.getattr_opt(pyo3::intern!(id.py(), "int"))? {
        Some(number) => match number.extract::<u128>() {
            Ok(key) => Ok((RunKey::Number(key), number.unbind())),
            Err(_) => Ok((RunKey::Other(number.hash()?), number.unbind())),
        },
        None => Ok((RunKey::Other(id.hash()?), id.clone().unbind())),
    }
}

#[pymethods]
impl Run {
    #[new]
    #[pyo3(signature = (key, parent, span, base))]
    fn new(
        key: &Bound<'_, PyAny>,
        parent: Option<&Bound<'_, PyAny>>,
        span: Option<&Bound<'_, PyAny>>,
        base: &str,
    ) -> PyResult<Self> {
        let parent = parent.map(key_of).transpose()?;
        let base = SpanId::from_hex_any_case(base).unwrap_or(SpanId::INVALID);
        Ok(Self::begun(key_of(key)?, parent, base, span.map_or(Stand::Nothing, Stand::of)))
    }

    #[getter(key)]
    fn key_object(&self, py: Python<'_>) -> Py<PyAny> {
        self.key_object.clone_ref(py)
    }

    #[getter(parent)]
    fn parent_object(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.parent_object.as_ref().map(|parent| parent.clone_ref(py))
    }

    #[getter]
    fn base(&self) -> String {
        self.base.to_string()
    }

    #[getter]
    fn span(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.hold().stand.object(py)
    }

    #[setter]
    fn set_span(&self, span: Option<&Bound<'_, PyAny>>) {
        let stand = span.map_or(Stand::Nothing, Stand::of);
        let before = std::mem::replace(&mut self.hold().stand, stand);
        drop(before);
    }

    #[getter]
    fn owns(&self) -> bool {
        self.hold().owns
    }

    #[setter]
    fn set_owns(&self, owns: bool) {
        self.hold().owns = owns;
    }

    #[getter]
    fn agent(&self, py: Python<'_>) -> Option<Py<PyString>> {
        self.hold().agent.as_ref().map(|agent| agent.clone_ref(py))
    }

    #[setter]
    fn set_agent(&self, agent: Option<Py<PyString>>) {
        let before = std::mem::replace(&mut self.hold().agent, agent);
        drop(before);
    }

    #[getter]
    fn metadata(&self, py: Python<'_>) -> Option<Py<PyDict>> {
        self.hold().metadata.as_ref().map(|metadata| metadata.clone_ref(py))
    }

    #[setter]
    fn set_metadata(&self, metadata: Option<Py<PyDict>>) {
        let before = std::mem::replace(&mut self.hold().metadata, metadata);
        drop(before);
    }

    #[getter]
    fn interrupted(&self) -> bool {
        self.hold().interrupted
    }

    #[setter]
    fn set_interrupted(&self, interrupted: bool) {
        self.hold().interrupted = interrupted;
    }

    #[getter]
    fn chunks(&self) -> i64 {
        self.hold().stream.chunks
    }

    #[setter]
    fn set_chunks(&self, chunks: i64) {
        self.hold().stream.chunks = chunks;
    }

    #[getter]
    fn content_seen(&self) -> bool {
        self.hold().stream.content_seen
    }

    #[setter]
    fn set_content_seen(&self, seen: bool) {
        self.hold().stream.content_seen = seen;
    }

    #[getter]
    fn settled(&self) -> bool {
        self.hold().stream.settled
    }

    #[setter]
    fn set_settled(&self, settled: bool) {
        self.hold().stream.settled = settled;
    }

    #[getter]
    fn usage(&self, py: Python<'_>) -> Option<Py<PyDict>> {
        self.hold().stream.usage.as_ref().map(|usage| usage.clone_ref(py))
    }

    #[setter]
    fn set_usage(&self, usage: Option<Py<PyDict>>) {
        let before = std::mem::replace(&mut self.hold().stream.usage, usage);
        drop(before);
    }

    #[getter]
    fn usage_repeats(&self) -> bool {
        self.hold().stream.usage_repeats
    }

    #[setter]
    fn set_usage_repeats(&self, repeats: bool) {
        self.hold().stream.usage_repeats = repeats;
    }

    #[getter]
    fn watch(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.hold().watch.as_ref().map(|watch| watch.clone_ref(py))
    }

    #[setter]
    fn set_watch(&self, watch: Option<Py<PyAny>>) {
        let before = std::mem::replace(&mut self.hold().watch, watch);
        drop(before);
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.key_object)?;
        visit.call(&self.parent_object)?;
        if let Some(state) = self.state.try_hold() {
            if let Stand::Span(span) = &state.stand {
                visit.call(span)?;
            }
            visit.call(&state.metadata)?;
            visit.call(&state.stream.usage)?;
            visit.call(&state.watch)?;
        }
        Ok(())
    }

    fn __clear__(&self) {
        let mut state = self.hold();
        let stand = std::mem::replace(&mut state.stand, Stand::Nothing);
        let kept = (state.metadata.take(), state.stream.usage.take(), state.watch.take());
        drop(state);
        drop((stand, kept));
    }
}
