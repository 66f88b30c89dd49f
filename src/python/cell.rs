//! The state of an object that Python hands to any thread, without a lock of its own: the interpreter's is enough.
//!
//! Whoever reaches such an object is attached to the interpreter, and holds the state only between two calls into it, so
//! nobody else can look meanwhile. A mutex would say the same at two atomic operations a look, which is a tenth of what
//! a span costs its caller. An interpreter that runs without the lock is refused at import.

#![allow(unsafe_code, reason = "see the module")]

use std::cell::{Cell, UnsafeCell};
use std::ops::{Deref, DerefMut};

use pyo3::ffi;

/// A value that only attached threads touch, one at a time.
#[derive(Debug)]
pub(crate) struct Attached<T> {
    held: Cell<bool>,
    value: UnsafeCell<T>,
}

// SAFETY: `hold` is called attached only (checked in debug builds), and no call into the interpreter is made while the
// value is held, so that no other thread can become attached meanwhile.
unsafe impl<T: Send> Sync for Attached<T> {}

/// The value, for as long as this lives.
pub(crate) struct Held<'a, T>(&'a Attached<T>);

impl<T> Attached<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self { held: Cell::new(false), value: UnsafeCell::new(value) }
    }

    /// The value. Calls into the interpreter are for after it is let go: one that comes back here while it is held is a
    /// fault of ours, and panics.
    #[inline]
    #[expect(clippy::expect_used, reason = "caught and counted where Python called us")]
    pub(crate) fn hold(&self) -> Held<'_, T> {
        self.try_hold().expect("an object is looked at while it is looked at")
    }

    /// The value, if nobody holds it.
    #[inline]
    pub(crate) fn try_hold(&self) -> Option<Held<'_, T>> {
        // SAFETY: the function only looks at the thread's state.
        debug_assert!(unsafe { ffi::PyGILState_Check() } == 1, "not attached");
        if self.held.replace(true) { None } else { Some(Held(self)) }
    }

    /// The value of an object that nobody else can reach any more.
    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

impl<T> Deref for Held<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: `held` is set as long as this lives, and only one is made at a time.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> DerefMut for Held<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above.
        unsafe { &mut *self.0.value.get() }
    }
}

impl<T> Drop for Held<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.0.held.set(false);
    }
}
