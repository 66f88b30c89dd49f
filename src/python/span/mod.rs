//! `Span`: one step of a run, from the caller's side. Writes to a tape, knows its ids, becomes current, ends once.
//!
//! A span is constructed without starting, so that the same object can be a context manager, a decorator's template or
//! a handle for `start()` and `end()`. All state is in one cell that is never held while Python code runs. Here is its
//! life from construction to the hand-over of its record; [`entry`] writes to the tape, [`block`] makes it current and
//! ends it, [`methods`] is what Python sees.

mod block;
mod entry;
mod methods;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use pyo3::prelude::*;
use pyo3::types::PyString;

pub(crate) use entry::{lenient_text, link_entry, put_unshared};

use crate::context::SpanContext;
use crate::engine::{self, OpenSpan};
use crate::ids;
use crate::kind::{Kind, Outcome};
use crate::ledger::{DropReason, Loss, PROCESS};
use crate::python::cell::{Attached, Held};
use crate::python::convert;
use crate::python::current::{self, Entered};
use crate::python::fastcall::Recipe;
use crate::python::frame::Ambient;
use crate::record::{Moment, Record, Scope};
use crate::{clock, fork};

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
    scope: Option<Arc<Scope>>,
    /// Where it is known as running.
    open: Option<OpenSpan>,
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
                open: None,
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
        let made =
            crate::python::engine(py).filter(|engine| !engine.is_off()).and_then(|engine| recipe.cook(py, engine));
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
        state.scope = if state.kind == Kind::Agent && engine.is_watched() {
            Some(at_work(around.scope.as_deref(), self.name.bind(py)))
        } else {
            around.scope
        };
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
            // A plain step inside a run is seen when it ends; what has begun above it is seen at once.
            if engine.is_watched() && (state.kind != Kind::Span || parent_id.is_none()) {
                state.open = engine.begin(record, &state.context, state.scope.as_ref());
            }
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
        if let Some(open) = self.open.take() {
            open.end();
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

/// The scope of what an agent does: each step below names it, and the store sums by it without looking for it.
#[cold]
fn at_work(around: Option<&Scope>, agent: &Bound<'_, PyString>) -> Arc<Scope> {
    let mut scope = around.cloned().unwrap_or_default();
    scope.agent = Some(Arc::from(convert::text(agent).to_str()));
    Arc::new(scope)
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
