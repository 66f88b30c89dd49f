//! What else may be current besides a span: a scope (session, user, tags, metadata, baggage) or a remote parent.
//!
//! Both are context managers that enclose spans without being one. A frame refers to the span that was current when it
//! was entered, so one lookup gives a new span its parent and its scope together.

use std::sync::Arc;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use crate::context::SpanContext;
use crate::python::cell::{Attached, Held};
use crate::python::current::{self, Entered};
use crate::python::guard::guard;
use crate::python::span::Span;
use crate::record::Scope;

/// Parent and scope that hold at some point of the program.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ambient {
    /// The parent of a span started here.
    pub(crate) context: Option<SpanContext>,
    /// What holds for it.
    pub(crate) scope: Option<Arc<Scope>>,
    /// A sender decided on sampling without naming a trace (B3 `b3: 0`).
    pub(crate) deferred: Option<bool>,
}

impl Ambient {
    /// What `object`, taken from the variable, stands for.
    #[inline]
    pub(crate) fn of(object: &Bound<'_, PyAny>) -> Self {
        if let Ok(span) = object.cast_exact::<Span>() {
            return match span.get().ambient_here() {
                Some(ambient) => ambient,
                None => current::behind(object).map_or_else(Self::default, |object| Self::of(&object)),
            };
        }
        if let Ok(frame) = object.cast_exact::<Frame>() {
            if frame.get().is_stray() {
                return current::behind(object).map_or_else(Self::default, |object| Self::of(&object));
            }
            return frame.get().hold().inside.clone();
        }
        Self::default()
    }
}

/// What a frame changes when it is entered.
#[derive(Debug)]
pub(crate) enum Change {
    /// Adds to the scope.
    Scope(Box<Scope>),
    /// Sets a remote parent, with the baggage that came along.
    Remote(Box<Ambient>),
    /// Makes current here what is current elsewhere: in the thread that started this one, say.
    Carried(Box<Ambient>, Option<Py<PyAny>>),
}

#[derive(Debug)]
struct State {
    change: Change,
    inside: Ambient,
    entered: Entered,
    open: bool,
    /// Left in another context than it was entered in.
    stray: bool,
}

/// A context manager that makes a scope or a remote parent current. Returned by `scope()` and `attach()`.
#[pyclass(frozen, module = "ironspan", name = "Attachment")]
#[derive(Debug)]
pub(crate) struct Frame {
    state: Attached<State>,
}

impl Frame {
    pub(crate) fn new(change: Change) -> Self {
        let state =
            State { change, inside: Ambient::default(), entered: Entered::default(), open: false, stray: false };
        Self { state: Attached::new(state) }
    }

    fn hold(&self) -> Held<'_, State> {
        self.state.hold()
    }

    pub(crate) fn ended_and_previous<'py>(&self, py: Python<'py>) -> (bool, Option<Bound<'py, PyAny>>) {
        let state = self.hold();
        (!state.open, state.entered.previous.as_ref().map(|previous| previous.bind(py).clone()))
    }

    pub(crate) fn is_stray(&self) -> bool {
        self.hold().stray
    }

    pub(crate) fn take_entered(&self) -> Entered {
        std::mem::take(&mut self.hold().entered)
    }

    /// The local span inside this frame, for `current()`.
    pub(crate) fn span<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        let state = self.hold();
        match &state.change {
            Change::Carried(_, span) => span.as_ref().map(|span| span.bind(py).clone()),
            Change::Remote(remote) if remote.context.is_some() => None,
            // A scope, or a remote parent that there was none of: the span outside is still the one.
            Change::Scope(_) | Change::Remote(_) => {
                let previous = state.entered.previous.as_ref()?.bind(py).clone();
                drop(state);
                if let Ok(frame) = previous.cast_exact::<Self>() {
                    return frame.get().span(py);
                }
                Some(previous)
            }
        }
    }

    pub(crate) fn enter_frame(slf: &Bound<'_, Self>) {
        let py = slf.py();
        let previous = current::get(py);
        let around = previous.as_ref().map_or_else(Ambient::default, Ambient::of);
        let mut state = slf.get().hold();
        if state.open {
            return;
        }
        state.inside = match &state.change {
            Change::Scope(added) => Ambient { scope: Some(Arc::new(merged(around.scope.as_deref(), added))), ..around },
            Change::Remote(remote) => {
                let context = remote.context.clone().or(around.context);
                let scope = match &remote.scope {
                    None => around.scope,
                    Some(remote) => {
                        let mut scope = around.scope.as_deref().cloned().unwrap_or_default();
                        scope.baggage = remote.baggage.clone();
                        Some(Arc::new(scope))
                    }
                };
                Ambient { context, scope, deferred: remote.deferred }
            }
            Change::Carried(ambient, _) => Ambient::clone(ambient),
        };
        state.open = true;
        state.stray = false;
        // The variable is set with the state let go: setting may run a destructor.
        drop(state);
        let entered = current::enter(slf.as_any(), previous);
        slf.get().hold().entered = entered;
    }

    pub(crate) fn exit_frame(slf: &Bound<'_, Self>) {
        let entered = {
            let mut state = slf.get().hold();
            if !state.open {
                return;
            }
            state.open = false;
            std::mem::take(&mut state.entered)
        };
        if let Some(kept) = current::leave(slf.as_any(), entered) {
            let mut state = slf.get().hold();
            state.entered = kept;
            state.stray = true;
        }
    }
}

/// `around` with `added` on top.
fn merged(around: Option<&Scope>, added: &Scope) -> Scope {
    let mut scope = around.cloned().unwrap_or_default();
    if added.session.is_some() {
        scope.session.clone_from(&added.session);
    }
    if added.user.is_some() {
        scope.user.clone_from(&added.user);
    }
    for tag in &added.tags {
        if !scope.tags.contains(tag) {
            scope.tags.push(tag.clone());
        }
    }
    // The inner pairs come first: where keys repeat, the resolver keeps the first it sees.
    let mut metadata = added.metadata.clone();
    metadata.extend_from_slice(&scope.metadata);
    scope.metadata = metadata;
    if !added.baggage.is_empty() {
        scope.baggage = scope.baggage.merged(added.baggage.iter().cloned());
    }
    scope
}

#[pymethods]
impl Frame {
    fn __enter__<'py>(slf: &Bound<'py, Self>) -> Bound<'py, Self> {
        guard((), || Self::enter_frame(slf));
        slf.clone()
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(slf: &Bound<'_, Self>, _exception: &Bound<'_, PyAny>) -> bool {
        guard((), || Self::exit_frame(slf));
        false
    }

    fn __aenter__(slf: &Bound<'_, Self>) -> super::ready::Ready {
        guard((), || Self::enter_frame(slf));
        super::ready::Ready::new(slf.clone().into_any().unbind())
    }

    #[pyo3(signature = (*_exception))]
    fn __aexit__(slf: &Bound<'_, Self>, _exception: &Bound<'_, PyAny>) -> super::ready::Ready {
        guard((), || Self::exit_frame(slf));
        super::ready::Ready::none(slf.py())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Some(state) = self.state.try_hold() {
            visit.call(&state.entered.token)?;
            visit.call(&state.entered.previous)?;
            if let Change::Carried(_, span) = &state.change {
                visit.call(span)?;
            }
        }
        Ok(())
    }

    fn __clear__(&self) {
        let entered = self.take_entered();
        drop(entered);
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        let entered = self.take_entered();
        if entered.previous.is_some() || entered.token.is_some() {
            Python::attach(|py| current::unchain(py, entered));
        }
    }
}
