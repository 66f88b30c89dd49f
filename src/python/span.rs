//! `Span`: one step of a run, from the caller's side. Writes to a tape, knows its ids, becomes current, ends once.
//!
//! A span is constructed without starting, so that the same object can be a context manager, a decorator's template or
//! a handle for `start()` and `end()`. All state is in one cell that is never held while Python code runs.

use std::sync::atomic::Ordering::Relaxed;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use crate::context::SpanContext;
use crate::engine;
use crate::ids;
use crate::keys::Key;
use crate::kind::{Kind, Outcome};
use crate::ledger::{DropReason, Loss, PROCESS};
use crate::python::cell::{Attached, Held};
use crate::python::context::PySpanContext;
use crate::python::convert::{self, Written, span_bytes};
use crate::python::current::{self, Entered};
use crate::python::exception;
use crate::python::fastcall::{Recipe, mark_bad};
use crate::python::frame::Ambient;
use crate::python::guard::{guard, ok};
use crate::record::{Moment, Record};
use crate::tape::{Tape, Text};
use crate::{clock, fork};

/// Bytes that an entry of a tape may take besides its key and what its value may grow to: heads, marks, ends.
const ENTRY_BYTES: usize = 256;

/// Where a span is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Fresh,
    Running,
    Ended,
}

/// Whose child a span becomes when it starts.
#[derive(Debug)]
pub(crate) enum Parent {
    /// Whatever is current then.
    Ambient,
    /// What the caller named.
    Named(Box<Ambient>),
}

/// See [`Span`].
#[derive(Debug)]
pub(crate) struct State {
    phase: Phase,
    kind: Kind,
    epoch: u32,
    context: SpanContext,
    /// The tape and everything else that will travel; `None` when nothing is recorded.
    record: Option<Box<Record>>,
    scope: Option<std::sync::Arc<crate::record::Scope>>,
    /// How to make the record, when that is put off.
    recipe: Recipe,
    parent: Parent,
    entered: Entered,
    /// A weak reference to what counts the chunks of a stream that passes through the span.
    stream: Option<Py<PyAny>>,
    /// Left in another context than it was entered in.
    stray: bool,
}

/// One step of an agent run. See `_core.pyi` for the documentation of every method.
#[pyclass(frozen, weakref, module = "ironspan", name = "Span")]
#[derive(Debug)]
pub(crate) struct Span {
    name: Py<PyString>,
    state: Attached<State>,
}

impl Span {
    /// A span that has not started. `record` is `None` when nothing will ever be recorded.
    #[inline]
    pub(crate) fn fresh(name: Py<PyString>, kind: Kind, record: Option<Box<Record>>, parent: Parent) -> Self {
        let phase = if record.is_some() { Phase::Fresh } else { Phase::Ended };
        Self::with(name, phase, kind, record, Recipe::None, parent)
    }

    fn with(
        name: Py<PyString>,
        phase: Phase,
        kind: Kind,
        record: Option<Box<Record>>,
        recipe: Recipe,
        parent: Parent,
    ) -> Self {
        Self {
            name,
            state: Attached::new(State {
                phase,
                kind,
                epoch: fork::epoch(),
                context: SpanContext::default(),
                record,
                scope: None,
                recipe,
                parent,
                entered: Entered::default(),
                stream: None,
                stray: false,
            }),
        }
    }

    /// A span that is made while there is no engine yet: it is made for real when it starts. With `ever` false it never
    /// starts (spans are off), but as a decorator it is a template all the same: the decorator is usually there before
    /// `init()` is called.
    pub(crate) fn put_off(name: Py<PyString>, kind: Kind, recipe: Recipe, ever: bool) -> Self {
        Self::with(name, if ever { Phase::Fresh } else { Phase::Ended }, kind, None, recipe, Parent::Ambient)
    }

    /// Makes the record that was put off.
    #[cold]
    fn prepare(&self, py: Python<'_>) {
        let recipe = std::mem::take(&mut self.hold().recipe);
        let made = super::engine(py).filter(|engine| !engine.is_off()).and_then(|engine| recipe.cook(py, engine));
        let mut state = self.hold();
        match made {
            Some((record, parent)) => {
                state.kind = record.kind;
                state.record = Some(record);
                state.parent = parent;
            }
            None => state.phase = Phase::Ended,
        }
    }

    /// A span that stands for one in another process, or for none at all: it has a context and records nothing.
    pub(crate) fn stand_in(py: Python<'_>, ambient: Ambient) -> Self {
        let span = Self::fresh(pyo3::intern!(py, "").clone().unbind(), Kind::Span, None, Parent::Ambient);
        {
            let mut state = span.hold();
            state.context = ambient.context.unwrap_or_default();
            state.scope = ambient.scope;
        }
        span
    }

    #[inline]
    fn hold(&self) -> Held<'_, State> {
        self.state.hold()
    }

    /// What holds inside this span.
    #[inline]
    pub(crate) fn ambient(&self) -> Ambient {
        self.hold().ambient()
    }

    /// What holds where this span is current; `None` when it is so by mistake, see [`current::behind`].
    #[inline]
    pub(crate) fn ambient_here(&self) -> Option<Ambient> {
        let state = self.hold();
        if state.stray { None } else { Some(state.ambient()) }
    }

    pub(crate) fn is_stray(&self) -> bool {
        self.hold().stray
    }

    pub(crate) fn ended_and_previous<'py>(&self, py: Python<'py>) -> (bool, Option<Bound<'py, PyAny>>) {
        let state = self.hold();
        let previous = state.entered.previous.as_ref().map(|previous| previous.bind(py).clone());
        (state.phase == Phase::Ended, previous)
    }

    pub(crate) fn take_entered(&self) -> Entered {
        std::mem::take(&mut self.hold().entered)
    }

    /// Starts the span under `around` and says whether it did (not twice, and not when there is nothing to record).
    #[inline]
    pub(crate) fn start_under(&self, py: Python<'_>, around: impl FnOnce() -> Ambient, time: Option<u64>) -> bool {
        let named = match std::mem::replace(&mut self.hold().parent, Parent::Ambient) {
            Parent::Ambient => None,
            Parent::Named(named) => Some(*named),
        };
        // Before the state is held: a framework's function may be asked.
        let around = named.unwrap_or_else(around);
        let mut state = self.hold();
        if state.phase == Phase::Fresh && state.record.is_none() {
            drop(state);
            self.prepare(py);
            state = self.hold();
        }
        let state = &mut *state;
        if state.phase != Phase::Fresh {
            return false;
        }
        let Some(engine) = engine::current() else { return state.close() };
        let sampler = engine.sampler();
        let (kept, parent_id, parent_remote) = if let Some(parent) = around.context {
            let kept = sampler.decide(Some(&parent), parent.trace_id);
            let link = (parent.span_id, parent.remote);
            state.context = parent.child(ids::generate_span_id());
            (kept, Some(link.0), link.1)
        } else {
            let trace_id = ids::generate_trace_id();
            let flags = if ids::trace_ids_are_random() { SpanContext::RANDOM } else { 0 };
            state.context = SpanContext::new(trace_id, ids::generate_span_id(), flags);
            (sampler.decide_root(around.deferred, trace_id), None, false)
        };
        state.scope = around.scope;
        state.epoch = engine.epoch();
        state.phase = Phase::Running;
        if !kept {
            state.context.flags &= !SpanContext::SAMPLED;
            if let Some(record) = state.record.take() {
                engine.give_back(record);
            }
            return true;
        }
        state.context.flags |= SpanContext::SAMPLED;
        PROCESS.open_spans.fetch_add(1, Relaxed);
        if let Some(record) = &mut state.record {
            record.kind = state.kind;
            record.parent_id = parent_id;
            record.parent_remote = parent_remote;
            // Last, so that what came before is not in the span's time.
            record.start = time.map_or_else(|| Moment::Ticks(clock::ticks()), Moment::Unix);
        }
        true
    }

    /// Ends the span; the second time does nothing.
    #[inline]
    fn close_at(&self, outcome: Option<Outcome>, time: Option<u64>) {
        let end = time.map_or_else(|| Moment::Ticks(clock::ticks()), Moment::Unix);
        let record = {
            let mut state = self.hold();
            if state.phase != Phase::Running {
                return state.count_late();
            }
            state.phase = Phase::Ended;
            state.seal(outcome, end)
        };
        if let Some(record) = record {
            hand_over(record);
        }
    }

    /// Runs `write` on the record's tape, if there is one; else counts a call that came too late.
    #[inline]
    pub(crate) fn with_record(&self, write: impl FnOnce(&mut Record)) {
        let mut state = self.hold();
        match &mut state.record {
            Some(record) => write(record),
            None => state.count_late(),
        }
    }

    pub(crate) fn is_recording(&self) -> bool {
        self.hold().record.is_some()
    }

    /// Writes `key` with `value`, whatever it is. A value whose reading may run code of the user's is written aside
    /// first, so that the state is free meanwhile.
    #[inline]
    pub(crate) fn put(&self, key: Label<'_>, value: &Bound<'_, PyAny>) {
        let limit = span_bytes();
        {
            let mut state = self.hold();
            let Some(record) = &mut state.record else {
                return state.count_late();
            };
            let start = record.tape.len();
            if start < limit {
                key.write(&mut record.tape);
                if convert::write_scalar(value, &mut record.tape)
                    && record.tape.len() <= limit
                    && !record.tape.is_short()
                {
                    return;
                }
            }
            if start >= limit || record.tape.is_short() {
                record.tape.truncate(start);
                record.left_out += 1;
                return;
            }
            record.tape.truncate(start);
        }
        self.put_aside(key, value, limit);
    }

    /// Adds an entry whose value has been written aside.
    pub(crate) fn add(&self, key: Key, aside: &Tape, written: Written) {
        self.with_record(|record| append(record, Label::Known(key), written, aside));
    }

    /// Writes a value whose reading may run code of the user's beside the tape, and appends it then.
    fn put_aside(&self, key: Label<'_>, value: &Bound<'_, PyAny>, limit: usize) {
        let pairs = key.pairs(value);
        let value = pairs.as_ref().unwrap_or(value);
        let room = {
            let state = self.hold();
            let Some(record) = &state.record else {
                return state.count_late();
            };
            limit.saturating_sub(record.tape.len() + key.len() + ENTRY_BYTES)
        };
        let mut aside = Tape::default();
        let written = convert::write_within(value, &mut aside, room);
        self.with_record(|record| append(record, key, written, &aside));
    }
}

/// The key of an entry: the caller's text, or one of ours.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Label<'a> {
    Text(Text<'a>),
    Known(Key),
}

impl Label<'_> {
    /// The value as a dict, where a mapping belongs and another kind of mapping is given.
    #[inline]
    fn pairs<'py>(self, value: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
        if !matches!(self, Self::Known(Key::Attributes | Key::Params)) || value.is_instance_of::<PyDict>() {
            return None;
        }
        convert::pairs_of(value).map(Bound::into_any)
    }

    /// Bytes of the key, about.
    fn len(self) -> usize {
        match self {
            Self::Text(text) => text.bytes.len(),
            Self::Known(_) => 0,
        }
    }

    #[inline]
    pub(crate) fn write(self, tape: &mut Tape) {
        match self {
            Self::Text(text) => tape.text(text),
            Self::Known(key) => tape.key(key as u16),
        }
    }
}

/// Appends what was written aside, unless the span is full.
fn append(record: &mut Record, key: Label<'_>, written: Written, aside: &Tape) {
    if written == Written::LeftOut || aside.is_short() || record.tape.len() + aside.len() > span_bytes() {
        record.left_out += 1;
        return;
    }
    let whole = record.entry(|tape| {
        key.write(tape);
        tape.extend(aside.as_bytes());
    });
    record.cut |= whole && written == Written::Shortened;
}

/// Writes `key` and `value` to a record that nobody else can see yet.
#[inline]
pub(crate) fn put_unshared(record: &mut Record, key: Key, value: &Bound<'_, PyAny>) {
    let pairs = Label::Known(key).pairs(value);
    let value = pairs.as_ref().unwrap_or(value);
    let start = record.tape.len();
    record.tape.key(key as u16);
    let written = if convert::write_scalar(value, &mut record.tape) {
        Written::Whole
    } else {
        convert::write(value, &mut record.tape)
    };
    if written == Written::LeftOut || record.tape.is_short() {
        record.tape.truncate(start);
        record.left_out += 1;
    } else if written == Written::Shortened {
        record.cut = true;
    }
}

impl State {
    #[inline]
    fn ambient(&self) -> Ambient {
        Ambient {
            context: self.context.is_valid().then(|| self.context.clone()),
            scope: self.scope.clone(),
            deferred: None,
        }
    }

    /// A span that will never record: nothing to end, nothing to count.
    fn close(&mut self) -> bool {
        self.phase = Phase::Ended;
        drop(self.record.take());
        false
    }

    #[cold]
    fn count_late(&self) {
        if self.phase == Phase::Ended && self.context.sampled() {
            PROCESS.late_calls.fetch_add(1, Relaxed);
        }
    }

    /// Completes the record for its way through the pipeline.
    #[inline]
    fn seal(&mut self, outcome: Option<Outcome>, end: Moment) -> Option<Box<Record>> {
        let mut record = self.record.take()?;
        if self.epoch != fork::epoch() {
            // Started before a fork: the parent process exports it, this copy goes in silence.
            return None;
        }
        record.trace_id = self.context.trace_id;
        record.span_id = self.context.span_id;
        record.flags = self.context.flags;
        record.trace_state.clone_from(&self.context.trace_state);
        record.scope.clone_from(&self.scope);
        record.end = end;
        if let Some(outcome) = outcome {
            record.outcome = outcome;
        }
        Some(record)
    }
}

/// Gives a finished record to the engine; after a shutdown it is a loss, and counted as one.
#[inline]
fn hand_over(record: Box<Record>) {
    PROCESS.open_spans.fetch_sub(1, Relaxed);
    if let Some(engine) = engine::current() {
        engine.submit(record);
    } else {
        PROCESS.spans.create();
        PROCESS.spans.lose(Loss::Dropped(DropReason::Shutdown), 1);
    }
}

/// Any object as text without running code of the user's: strings as they are, anything else by its JSON form.
pub(crate) fn lenient_text(value: &Bound<'_, PyAny>) -> String {
    if let Ok(text) = value.cast::<PyString>() {
        return convert::text(text).to_str().into_owned();
    }
    let mut tape = Tape::default();
    convert::write(value, &mut tape);
    crate::resolve::text_of(tape.as_bytes())
}

/// Writes the entries of a mapping (a dict) as one payload.
fn put_mapping(span: &Span, key: Key, pairs: &[(&str, Option<&Bound<'_, PyAny>>)]) {
    let mut aside = Tape::default();
    aside.map();
    let mut any = false;
    for (name, value) in pairs {
        if let Some(value) = value.filter(|value| !value.is_none()) {
            aside.str(name);
            convert::write(value, &mut aside);
            any = true;
        }
    }
    aside.end();
    if any {
        span.with_record(|record| append(record, Label::Known(key), Written::Whole, &aside));
    }
}

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
            let wrap = ok(py, super::helper(py, "ironspan._stream", "wrap"))?;
            ok(py, wrap.call1((slf, iterable)))
        });
        // What cannot be wrapped is handed back as it came: the user's program goes on.
        wrapped.unwrap_or_else(|| iterable.clone())
    }

    #[pyo3(signature = (time = None))]
    fn start<'py>(slf: &Bound<'py, Self>, time: Option<&Bound<'py, PyAny>>) -> Bound<'py, Self> {
        guard((), || {
            let time = slf.get().given_time(time);
            slf.get().start_under(slf.py(), || super::ambient(slf.py()), time);
        });
        slf.clone()
    }

    #[pyo3(signature = (time = None))]
    fn end(slf: &Bound<'_, Self>, time: Option<&Bound<'_, PyAny>>) {
        guard((), || {
            slf.get().settle_stream(slf.py());
            let time = slf.get().given_time(time);
            slf.get().close_at(None, time);
            super::after_end(slf.py());
        });
    }

    fn __aenter__(slf: &Bound<'_, Self>) -> super::ready::Ready {
        guard((), || Self::enter_span(slf));
        super::ready::Ready::new(slf.clone().into_any().unbind())
    }

    #[pyo3(signature = (kind = None, error = None, traceback = None, /))]
    fn __aexit__(
        slf: &Bound<'_, Self>,
        kind: Option<&Bound<'_, PyAny>>,
        error: Option<&Bound<'_, PyAny>>,
        traceback: Option<&Bound<'_, PyAny>>,
    ) -> super::ready::Ready {
        let _ = (kind, traceback);
        guard((), || Self::exit_span(slf, error));
        super::ready::Ready::none(slf.py())
    }

    /// As a decorator.
    #[pyo3(signature = (function, /))]
    fn __call__<'py>(slf: &Bound<'py, Self>, function: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        super::helper(slf.py(), "ironspan._decorate", "wrap")?.call1((slf, function))
    }

    /// A fresh span with the same name and payloads: one for each call of a decorated function.
    fn _again(&self, py: Python<'_>) -> Self {
        let name = self.name.clone_ref(py);
        let Some(engine) = super::engine(py).filter(|engine| !engine.is_off()) else {
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
        Ok((super::helper(slf.py(), "ironspan._core", "_restore_span")?, (slf.get().context(),)))
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

impl Span {
    /// `span.set(key, value)`.
    #[inline]
    pub(crate) fn set_attribute(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) {
        match key.cast::<PyString>() {
            Ok(key) => self.put(Label::Text(convert::text(key)), value),
            Err(_) => self.put(Label::Text(Text::utf8(&lenient_text(key))), value),
        }
    }

    /// `span.end()`, and `span._end_as(outcome)` for another outcome than `ok`.
    pub(crate) fn end_span(slf: &Bound<'_, Self>, outcome: &str) {
        let outcome = if outcome == "ok" { None } else { Some(outcome_of_word(outcome)) };
        slf.get().settle_stream(slf.py());
        slf.get().close_at(outcome, None);
        super::after_end(slf.py());
    }

    /// `span.__enter__()`.
    #[inline]
    pub(crate) fn enter_span(slf: &Bound<'_, Self>) {
        let py = slf.py();
        let phase = {
            let state = slf.get().hold();
            // Entered twice: the second time changes nothing.
            if state.entered.token.is_some() { Phase::Ended } else { state.phase }
        };
        if phase == Phase::Ended {
            return;
        }
        let previous = current::get(py);
        // A span that is open already may be entered too: start() first, `with` later.
        if phase == Phase::Running || slf.get().start_under(py, || super::ambient_of(py, previous.as_ref()), None) {
            let entered = current::enter(slf.as_any(), previous);
            slf.get().hold().entered = entered;
        }
    }

    /// `span.__exit__(type, error, traceback)`.
    #[inline]
    pub(crate) fn exit_span(slf: &Bound<'_, Self>, error: Option<&Bound<'_, PyAny>>) {
        let span = slf.get();
        {
            let state = span.hold();
            if state.phase == Phase::Ended {
                let entered = state.entered.token.is_some();
                state.count_late();
                drop(state);
                if entered {
                    Self::leave_span(slf);
                }
                return;
            }
        }
        span.settle_stream(slf.py());
        if let Some(error) = error.filter(|error| !error.is_none()) {
            span.record_error(error, true);
        }
        Self::leave_span(slf);
        span.close_at(None, None);
        super::after_end(slf.py());
    }

    /// The span is current no more; it stays open.
    #[inline]
    fn leave_span(slf: &Bound<'_, Self>) {
        let span = slf.get();
        let entered = span.take_entered();
        if entered.token.is_some()
            && let Some(kept) = current::leave(slf.as_any(), entered)
        {
            let mut state = span.hold();
            state.entered = kept;
            state.stray = true;
        }
    }

    /// A time given by the caller: Unix nanoseconds as an integer. Anything else leaves a mark and counts as not given.
    fn given_time(&self, time: Option<&Bound<'_, PyAny>>) -> Option<u64> {
        let time = time.filter(|time| !time.is_none())?;
        let nanoseconds = time.extract().ok();
        if nanoseconds.is_none() {
            let mut state = self.hold();
            if let Some(record) = &mut state.record {
                mark_bad(record, "time");
            }
        }
        nanoseconds
    }

    /// A stream that is still open when the span ends was left half-way: what came through is written now.
    fn settle_stream(&self, py: Python<'_>) {
        let Some(tally) = self.hold().stream.take() else { return };
        let settle = || -> PyResult<()> {
            let tally = tally.bind(py).call0()?;
            if !tally.is_none() {
                tally.call_method0(pyo3::intern!(py, "left"))?;
            }
            Ok(())
        };
        let _ = ok(py, settle());
    }

    /// Records an exception, or a message. `leaving` says that it is on its way out of the span, so that a
    /// cancellation is the span's end and not an error.
    fn record_error(&self, error: &Bound<'_, PyAny>, leaving: bool) {
        if !self.is_recording() {
            return self.hold().count_late();
        }
        let mut aside = Tape::default();
        let (key, outcome) = if exception::is_exception(error) {
            let outcome = if leaving { exception::outcome(error) } else { Outcome::Error };
            if outcome != Outcome::Error {
                self.with_record(|record| record.outcome = outcome);
                return;
            }
            exception::write(error, &mut aside);
            (Key::Exception, outcome)
        } else {
            aside.str(&lenient_text(error));
            (Key::ErrorMessage, Outcome::Error)
        };
        self.with_record(|record| {
            record.outcome = outcome;
            append(record, Label::Known(key), Written::Whole, &aside);
        });
    }
}

/// A link's entry on the tape: the target may be a span, a span context, or a `traceparent`.
pub(crate) fn link_entry(target: &Bound<'_, PyAny>, role: Option<&str>) -> Option<Tape> {
    let context = super::context::context_of(target)?;
    let mut ids = [0_u8; 24];
    let (trace, span) = ids.split_at_mut(16);
    trace.copy_from_slice(&context.trace_id.to_bytes());
    span.copy_from_slice(&context.span_id.to_bytes());
    let mut flags = i64::from(context.flags) | 0x100;
    if context.remote {
        flags |= 0x200;
    }
    let mut aside = Tape::default();
    aside.list();
    aside.bytes(&ids);
    aside.int(flags);
    aside.str(context.trace_state.as_deref().unwrap_or_default());
    aside.str(role.unwrap_or_default());
    aside.map();
    aside.end();
    aside.end();
    Some(aside)
}

fn outcome_of_word(word: &str) -> Outcome {
    match word {
        "ok" => Outcome::Ok,
        "cancelled" => Outcome::Cancelled,
        "interrupted" => Outcome::Interrupted,
        "abandoned" => Outcome::Abandoned,
        _ => Outcome::Error,
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        let entered = std::mem::take(&mut state.entered);
        match state.phase {
            Phase::Running => {
                // Went away without end(): exported as such, else it would be a silent loss.
                if let Some(record) = state.seal(Some(Outcome::Abandoned), Moment::Ticks(clock::ticks())) {
                    hand_over(record);
                }
            }
            Phase::Fresh => {
                if let (Some(record), Some(engine)) = (state.record.take(), engine::current()) {
                    engine.give_back(record);
                }
            }
            Phase::Ended => {}
        }
        if entered.previous.is_some() || entered.token.is_some() {
            Python::attach(|py| current::unchain(py, entered));
        }
    }
}
