//! The current span: one `contextvars.ContextVar`, handled from here, and the rule by which a span leaves it.
//!
//! A thread-local would be 26 times cheaper and wrong: it follows neither tasks nor copied contexts. What the variable
//! holds is a `Span` or a `Frame` (a scope, or a remote parent).

#![allow(unsafe_code, reason = "the context variable functions have no safe wrapper")]

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::python::frame::Frame;
use crate::python::span::Span;

static VARIABLE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
/// Python up to 3.11 can crash in `PyContextVar_Set` when a garbage collection re-enters it (cpython issue 148891).
/// There the collector is held off during the call: 6 ns.
static HOLD_GC: AtomicBool = AtomicBool::new(false);

/// Makes the variable.
pub(crate) fn init(py: Python<'_>) -> PyResult<()> {
    HOLD_GC.store(py.version_info() < (3, 12), Relaxed);
    // SAFETY: the name is a C string; no default.
    let variable = unsafe {
        Bound::from_owned_ptr_or_err(py, ffi::PyContextVar_New(c"ironspan_current".as_ptr(), std::ptr::null_mut()))?
    };
    let _ = VARIABLE.set(py, variable.unbind());
    Ok(())
}

/// What the variable holds here, if anything.
#[inline]
pub(crate) fn get(py: Python<'_>) -> Option<Bound<'_, PyAny>> {
    value_of(py, VARIABLE.get(py)?)
}

/// What the context variable `variable` holds here, if anything; `None` counts as nothing.
#[inline]
pub(crate) fn value_of<'py>(py: Python<'py>, variable: &Py<PyAny>) -> Option<Bound<'py, PyAny>> {
    let mut value = std::ptr::null_mut();
    // SAFETY: what is no ContextVar raises, which is cleared; on success `value` is a new reference or null.
    unsafe {
        if ffi::PyContextVar_Get(variable.as_ptr(), std::ptr::null_mut(), &raw mut value) != 0 {
            ffi::PyErr_Clear();
            return None;
        }
        let value = Bound::from_owned_ptr_or_opt(py, value)?;
        if value.is_none() { None } else { Some(value) }
    }
}

/// Holds the garbage collector off while it lives, where that is needed.
struct NoGc(bool);

impl NoGc {
    #[inline]
    fn new() -> Self {
        // SAFETY: attached; disabling is a flag.
        Self(HOLD_GC.load(Relaxed) && unsafe { ffi::PyGC_Disable() } == 1)
    }
}

impl Drop for NoGc {
    #[inline]
    fn drop(&mut self) {
        if self.0 {
            // SAFETY: as above.
            unsafe { ffi::PyGC_Enable() };
        }
    }
}

/// Sets the variable and returns the token to reset it.
#[inline]
pub(crate) fn set<'py>(py: Python<'py>, value: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    let variable = VARIABLE.get(py)?;
    let _hold = NoGc::new();
    // SAFETY: both are live objects; the result is a new reference or null with an error.
    unsafe {
        let token = Bound::from_owned_ptr_or_opt(py, ffi::PyContextVar_Set(variable.as_ptr(), value.as_ptr()));
        if token.is_none() {
            ffi::PyErr_Clear();
        }
        token
    }
}

fn set_or_clear(py: Python<'_>, value: Option<&Bound<'_, PyAny>>) {
    match value {
        Some(value) => drop(set(py, value)),
        // A variable cannot be unset without a token; None stands for nothing.
        None => drop(set(py, py.None().bind(py))),
    }
}

#[inline]
fn reset(py: Python<'_>, token: &Bound<'_, PyAny>) -> bool {
    let Some(variable) = VARIABLE.get(py) else { return false };
    let _hold = NoGc::new();
    // SAFETY: both are live objects. A token of another context raises, which is cleared.
    unsafe {
        if ffi::PyContextVar_Reset(variable.as_ptr(), token.as_ptr()) == 0 {
            return true;
        }
        ffi::PyErr_Clear();
    }
    false
}

/// What an entered span or frame keeps in order to leave again.
#[derive(Debug, Default)]
pub(crate) struct Entered {
    /// The token of the variable.
    pub(crate) token: Option<Py<PyAny>>,
    /// What was current before.
    pub(crate) previous: Option<Py<PyAny>>,
}

/// Makes `me` current.
#[inline]
pub(crate) fn enter(me: &Bound<'_, PyAny>, previous: Option<Bound<'_, PyAny>>) -> Entered {
    let token = set(me.py(), me);
    Entered { token: token.map(Bound::unbind), previous: previous.map(Bound::unbind) }
}

/// Whether what a variable may hold has ended, and what was current before it.
fn ended_and_previous<'py>(object: &Bound<'py, PyAny>) -> (bool, Option<Bound<'py, PyAny>>) {
    if let Ok(span) = object.cast_exact::<Span>() {
        return span.get().ended_and_previous(object.py());
    }
    if let Ok(frame) = object.cast_exact::<Frame>() {
        return frame.get().ended_and_previous(object.py());
    }
    (false, None)
}

/// The nearest thing at `object` or before it that has not ended.
fn nearest_open(object: Option<Bound<'_, PyAny>>) -> Option<Bound<'_, PyAny>> {
    let mut nearest = object;
    while let Some(candidate) = &nearest {
        let (ended, before) = ended_and_previous(candidate);
        if !ended {
            break;
        }
        nearest = before;
    }
    nearest
}

/// What counts where the variable holds `stray`, which was left in another context than it was entered in (an async
/// generator that another task closed): nobody will reset the variable here, so whoever looks steps over it.
#[cold]
pub(crate) fn behind<'py>(stray: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    nearest_open(Some(stray.clone()))
}

/// What is current here; a span or frame that was left elsewhere is stepped over.
pub(crate) fn settled(py: Python<'_>) -> Option<Bound<'_, PyAny>> {
    let object = get(py)?;
    let stray = match object.cast_exact::<Span>() {
        Ok(span) => span.get().is_stray(),
        Err(_) => object.cast_exact::<Frame>().is_ok_and(|frame| frame.get().is_stray()),
    };
    if stray { behind(&object) } else { Some(object) }
}

/// Leaves: `me` is current no more. Returns what has to be kept when it was left elsewhere than it was entered: the span
/// before, since others may still walk over me.
///
/// 1. If the variable does not hold me, it is another context, or something opened later is still open: touch nothing.
/// 2. Else reset by token: exact and cheapest.
/// 3. If that fails, or what was current before me has ended, make the nearest one current that has not ended. Without
///    this, generators that are closed out of order leave an ended span current for ever.
#[inline]
pub(crate) fn leave(me: &Bound<'_, PyAny>, entered: Entered) -> Option<Entered> {
    let py = me.py();
    // Bound, since dropping a `Py` goes through a shared list with a lock where PyO3 does not know us to be attached.
    let (token, previous) =
        (entered.token.map(|token| token.into_bound(py)), entered.previous.map(|previous| previous.into_bound(py)));
    let keep =
        |previous: Option<Bound<'_, PyAny>>| Some(Entered { token: None, previous: previous.map(Bound::unbind) });
    if !get(py).is_some_and(|now| now.is(me)) {
        return keep(previous);
    }
    let nearest = nearest_open(previous.clone());
    let stepped = match (&previous, &nearest) {
        (Some(previous), Some(nearest)) => !previous.is(nearest),
        (previous, nearest) => previous.is_some() != nearest.is_some(),
    };
    let Some(token) = token else {
        set_or_clear(py, nearest.as_ref());
        return None;
    };
    let restored = reset(py, &token);
    if stepped || !restored {
        set_or_clear(py, nearest.as_ref());
    }
    // A token that does not fit: this is a copy of the context that I was entered in, where I am current for ever.
    if restored { None } else { keep(previous) }
}

/// Frees a chain of things that were current one inside the other, one by one: left to itself, freeing 100,000 spans
/// that were never exited recurses until the stack is gone.
pub(crate) fn unchain(py: Python<'_>, entered: Entered) {
    let mut next = entered;
    loop {
        let Entered { token, previous } = next;
        // The token holds the span before as well; it goes while `previous` keeps that one alive.
        drop(token);
        let Some(previous) = previous else { return };
        let before = previous.bind(py);
        // SAFETY: reading a reference count of a live object.
        if unsafe { ffi::Py_REFCNT(before.as_ptr()) } > 1 {
            return;
        }
        next = if let Ok(span) = before.cast_exact::<Span>() {
            span.get().take_entered()
        } else if let Ok(frame) = before.cast_exact::<Frame>() {
            frame.get().take_entered()
        } else {
            return;
        };
    }
}
