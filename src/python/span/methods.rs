//! What Python sees of a span. `_core.pyi` documents every method.

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use super::block::outcome_of_word;
use super::entry::{Label, append, put_mapping};
use super::{Parent, Phase, Span, lenient_text, link_entry};
use crate::clock;
use crate::keys::Key;
use crate::kind::{Kind, Outcome};
use crate::ledger::PROCESS;
use crate::python::context::PySpanContext;
use crate::python::convert::{self, Written};
use crate::python::guard::{guard, ok};
use crate::tape::Tape;

#[pymethods]
impl Span {
    #[getter]
    fn trace_id(&self) -> String {
        self.hold().context.trace_id.to_string()
    }

    #[getter]
    fn span_id(&self) -> String {
        self.hold().context.span_id.to_string()
    }

    #[getter]
    fn name(&self, py: Python<'_>) -> Py<PyString> {
        self.name.clone_ref(py)
    }

    #[getter]
    fn kind(&self) -> &'static str {
        self.hold().kind.name()
    }

    #[getter]
    fn recording(&self) -> bool {
        let state = self.hold();
        state.record.is_some() && state.phase == Phase::Running
    }

    #[getter]
    fn context(&self) -> PySpanContext {
        let ambient = self.ambient();
        let baggage = ambient.scope.map(|scope| scope.baggage.clone()).unwrap_or_default();
        PySpanContext::new(ambient.context.unwrap_or_default(), baggage)
    }

    #[pyo3(signature = (values, /))]
    fn update<'py>(slf: &Bound<'py, Self>, values: &Bound<'py, PyAny>) -> Bound<'py, Self> {
        guard((), || slf.get().put(Label::Known(Key::Attributes), values));
        slf.clone()
    }

    #[pyo3(signature = (value, /))]
    fn input<'py>(slf: &Bound<'py, Self>, value: &Bound<'py, PyAny>) -> Bound<'py, Self> {
        guard((), || slf.get().put(Label::Known(Key::Input), value));
        slf.clone()
    }

    #[pyo3(signature = (value, /))]
    fn output<'py>(slf: &Bound<'py, Self>, value: &Bound<'py, PyAny>) -> Bound<'py, Self> {
        guard((), || slf.get().put(Label::Known(Key::Output), value));
        slf.clone()
    }

    #[pyo3(signature = (name, /, level = None, **attributes))]
    fn event<'py>(
        slf: &Bound<'py, Self>,
        name: &Bound<'py, PyAny>,
        level: Option<&Bound<'py, PyAny>>,
        attributes: Option<&Bound<'py, PyDict>>,
    ) -> Bound<'py, Self> {
        guard((), || {
            let mut aside = Tape::default();
            aside.list();
            aside.int(clock::ticks().cast_signed());
            aside.str(&lenient_text(name));
            match level.filter(|level| !level.is_none()) {
                Some(level) => aside.str(&lenient_text(level)),
                None => aside.str("info"),
            }
            if let Some(attributes) = attributes {
                convert::write(attributes.as_any(), &mut aside);
            } else {
                aside.map();
                aside.end();
            }
            aside.end();
            slf.get().with_record(|record| append(record, Label::Known(Key::Event), Written::Whole, &aside));
        });
        slf.clone()
    }

    #[pyo3(signature = (error, /))]
    fn error<'py>(slf: &Bound<'py, Self>, error: &Bound<'py, PyAny>) -> Bound<'py, Self> {
        guard((), || slf.get().record_error(error, false));
        slf.clone()
    }

    #[pyo3(signature = (*names, **pairs))]
    fn tag<'py>(
        slf: &Bound<'py, Self>,
        names: &Bound<'py, PyTuple>,
        pairs: Option<&Bound<'py, PyDict>>,
    ) -> Bound<'py, Self> {
        guard((), || {
            let mut aside = Tape::default();
            aside.list();
            for name in names.iter_borrowed() {
                aside.str(&lenient_text(&name));
            }
            for (key, value) in pairs.into_iter().flatten() {
                aside.str(&format!("{}={}", lenient_text(&key), lenient_text(&value)));
            }
            aside.end();
            slf.get().with_record(|record| append(record, Label::Known(Key::Tags), Written::Whole, &aside));
        });
        slf.clone()
    }

    #[pyo3(signature = (target, /, role = None))]
    fn link<'py>(
        slf: &Bound<'py, Self>,
        target: &Bound<'py, PyAny>,
        role: Option<&Bound<'py, PyAny>>,
    ) -> Bound<'py, Self> {
        guard((), || {
            let role = role.filter(|role| !role.is_none()).map(lenient_text);
            if let Some(aside) = link_entry(target, role.as_deref()) {
                slf.get().with_record(|record| append(record, Label::Known(Key::Link), Written::Whole, &aside));
            } else {
                PROCESS.internal_error();
            }
        });
        slf.clone()
    }

    #[pyo3(signature = (*, input = None, output = None, cached = None, cache_write = None, reasoning = None))]
    fn usage<'py>(
        slf: &Bound<'py, Self>,
        input: Option<&Bound<'py, PyAny>>,
        output: Option<&Bound<'py, PyAny>>,
        cached: Option<&Bound<'py, PyAny>>,
        cache_write: Option<&Bound<'py, PyAny>>,
        reasoning: Option<&Bound<'py, PyAny>>,
    ) -> Bound<'py, Self> {
        guard((), || {
            let pairs = [
                ("input", input),
                ("output", output),
                ("cached", cached),
                ("cache_write", cache_write),
                ("reasoning", reasoning),
            ];
            put_mapping(slf.get(), Key::Usage, &pairs);
        });
        slf.clone()
    }

    #[pyo3(signature = (*, total))]
    fn cost<'py>(slf: &Bound<'py, Self>, total: &Bound<'py, PyAny>) -> Bound<'py, Self> {
        guard((), || put_mapping(slf.get(), Key::Cost, &[("total", Some(total))]));
        slf.clone()
    }

    #[pyo3(signature = (reason, /))]
    fn finish<'py>(slf: &Bound<'py, Self>, reason: &Bound<'py, PyAny>) -> Bound<'py, Self> {
        guard((), || {
            if !reason.is_none() {
                slf.get().put(Label::Known(Key::FinishReason), reason);
            }
        });
        slf.clone()
    }

    #[pyo3(signature = (documents, /))]
    fn documents<'py>(slf: &Bound<'py, Self>, documents: &Bound<'py, PyAny>) -> Bound<'py, Self> {
        guard((), || slf.get().put(Label::Known(Key::Documents), documents));
        slf.clone()
    }

    #[pyo3(signature = (iterable, /))]
    fn stream<'py>(slf: &Bound<'py, Self>, iterable: &Bound<'py, PyAny>) -> Bound<'py, PyAny> {
        let py = slf.py();
        let wrapped = guard(None, || {
            let wrap = ok(py, crate::python::helper(py, "ironspan._stream", "wrap"))?;
            ok(py, wrap.call1((slf, iterable)))
        });
        // What cannot be wrapped is handed back as it came: the user's program goes on.
        wrapped.unwrap_or_else(|| iterable.clone())
    }

    #[pyo3(signature = (time = None))]
    fn start<'py>(slf: &Bound<'py, Self>, time: Option<&Bound<'py, PyAny>>) -> Bound<'py, Self> {
        guard((), || {
            let time = slf.get().given_time(time);
            slf.get().start_under(slf.py(), || crate::python::ambient(slf.py()), time);
        });
        slf.clone()
    }

    #[pyo3(signature = (time = None))]
    fn end(slf: &Bound<'_, Self>, time: Option<&Bound<'_, PyAny>>) {
        guard((), || {
            slf.get().settle_stream(slf.py());
            let time = slf.get().given_time(time);
            slf.get().close_at(None, time);
            crate::python::after_end(slf.py());
        });
    }

    fn __aenter__(slf: &Bound<'_, Self>) -> crate::python::ready::Ready {
        guard((), || Self::enter_span(slf));
        crate::python::ready::Ready::new(slf.clone().into_any().unbind())
    }

    #[pyo3(signature = (kind = None, error = None, traceback = None, /))]
    fn __aexit__(
        slf: &Bound<'_, Self>,
        kind: Option<&Bound<'_, PyAny>>,
        error: Option<&Bound<'_, PyAny>>,
        traceback: Option<&Bound<'_, PyAny>>,
    ) -> crate::python::ready::Ready {
        let _ = (kind, traceback);
        guard((), || Self::exit_span(slf, error));
        crate::python::ready::Ready::none(slf.py())
    }

    /// As a decorator.
    #[pyo3(signature = (function, /))]
    fn __call__<'py>(slf: &Bound<'py, Self>, function: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        crate::python::helper(slf.py(), "ironspan._decorate", "wrap")?.call1((slf, function))
    }

    /// A fresh span with the same name and payloads: one for each call of a decorated function.
    fn _again(&self, py: Python<'_>) -> Self {
        let name = self.name.clone_ref(py);
        let Some(engine) = crate::python::engine(py).filter(|engine| !engine.is_off()) else {
            return Self::fresh(name, Kind::Span, None, Parent::Ambient);
        };
        let state = self.hold();
        let parent = match &state.parent {
            Parent::Ambient => Parent::Ambient,
            Parent::Named(ambient) => Parent::Named(ambient.clone()),
        };
        if let Some(template) = &state.record {
            let mut record = engine.take_record();
            record.entry(|tape| tape.extend(template.tape.as_bytes()));
            record.kind = template.kind;
            record.span_kind = template.span_kind;
            return Self::fresh(name, state.kind, Some(record), parent);
        }
        let recipe = state.recipe.share(py);
        let kind = state.kind;
        drop(state);
        match recipe.cook(py, engine) {
            Some((record, parent)) => Self::fresh(name, record.kind, Some(record), parent),
            None => Self::fresh(name, kind, None, Parent::Ambient),
        }
    }

    /// Notes the arrival of a chunk of a stream: the first one is stamped.
    fn _first_chunk(&self) {
        guard((), || {
            let ticks = clock::ticks();
            self.with_record(|record| {
                record.entry(|tape| {
                    tape.key(Key::FirstChunk as u16);
                    tape.int(ticks.cast_signed());
                });
            });
        });
    }

    /// Notes the number of chunks of a stream.
    fn _chunks(&self, count: i64) {
        guard((), || {
            self.with_record(|record| {
                record.entry(|tape| {
                    tape.key(Key::ChunkCount as u16);
                    tape.int(count);
                });
            });
        });
    }

    /// Remembers the stream that passes through the span, by a weak reference: a span that ends first settles it.
    #[pyo3(signature = (tally, /))]
    fn _keep_stream(&self, tally: Bound<'_, PyAny>) {
        let before = self.hold().stream.replace(tally.unbind());
        drop(before);
    }

    /// Records the exception that a stream ended by; a cancellation is no error.
    #[pyo3(signature = (error, /))]
    fn _broke(slf: &Bound<'_, Self>, error: &Bound<'_, PyAny>) {
        guard((), || slf.get().record_error(error, true));
    }

    /// Makes the span current no more without ending it: what it returned is still to come, as a stream.
    fn _leave(slf: &Bound<'_, Self>) {
        guard((), || Self::leave_span(slf));
    }

    /// Notes an outcome that no exception tells, without ending the span. What is an error already remains one.
    #[pyo3(signature = (outcome, /))]
    fn _mark(&self, outcome: &str) {
        guard((), || {
            let outcome = outcome_of_word(outcome);
            self.with_record(|record| {
                if record.outcome != Outcome::Error {
                    record.outcome = outcome;
                }
            });
        });
    }

    /// Ends the span with an outcome that no exception tells: cancelled, interrupted, abandoned.
    #[pyo3(signature = (outcome, /))]
    fn _end_as(slf: &Bound<'_, Self>, outcome: &str) {
        guard((), || Self::end_span(slf, outcome));
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let state = self.hold();
        format!(
            "<ironspan.Span {:?} kind={} trace_id={} span_id={}>",
            self.name.bind(py).to_string_lossy(),
            state.kind.name(),
            state.context.trace_id,
            state.context.span_id
        )
    }

    /// Spans do not travel to other processes; what arrives has the same context and records nothing.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, (PySpanContext,))> {
        Ok((crate::python::helper(slf.py(), "ironspan._core", "_restore_span")?, (slf.get().context(),)))
    }

    /// A span is one step of the run, however often its handle is copied.
    fn __copy__<'py>(slf: &Bound<'py, Self>) -> Bound<'py, Self> {
        slf.clone()
    }

    #[pyo3(signature = (_memo, /))]
    fn __deepcopy__<'py>(slf: &Bound<'py, Self>, _memo: &Bound<'py, PyAny>) -> Bound<'py, Self> {
        slf.clone()
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Some(state) = self.state.try_hold() {
            visit.call(&state.entered.token)?;
            visit.call(&state.entered.previous)?;
            visit.call(&state.stream)?;
            state.recipe.traverse(&visit)?;
        }
        Ok(())
    }

    fn __clear__(&self) {
        let entered = self.take_entered();
        drop(entered);
    }
}
