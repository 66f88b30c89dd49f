//! A span around a block of code: it becomes current, is current no more, ends, with what the block ended by.

use pyo3::prelude::*;

use super::entry::{Label, append, lenient_text};
use super::{Phase, Span};
use crate::keys::Key;
use crate::kind::Outcome;
use crate::python::convert::Written;
use crate::python::fastcall::mark_bad;
use crate::python::guard::ok;
use crate::python::{current, exception};
use crate::tape::Tape;

impl Span {
    /// `span.end()`, and `span._end_as(outcome)` for another outcome than `ok`.
    pub(crate) fn end_span(slf: &Bound<'_, Self>, outcome: &str) {
        let outcome = if outcome == "ok" { None } else { Some(outcome_of_word(outcome)) };
        slf.get().settle_stream(slf.py());
        slf.get().close_at(outcome, None);
        crate::python::after_end(slf.py());
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
        if phase == Phase::Running
            || slf.get().start_under(py, || crate::python::ambient_of(py, previous.as_ref()), None)
        {
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
        crate::python::after_end(slf.py());
    }

    /// The span is current no more; it stays open.
    #[inline]
    pub(super) fn leave_span(slf: &Bound<'_, Self>) {
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
    pub(super) fn given_time(&self, time: Option<&Bound<'_, PyAny>>) -> Option<u64> {
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
    pub(super) fn settle_stream(&self, py: Python<'_>) {
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
    pub(super) fn record_error(&self, error: &Bound<'_, PyAny>, leaving: bool) {
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

pub(super) fn outcome_of_word(word: &str) -> Outcome {
    match word {
        "ok" => Outcome::Ok,
        "cancelled" => Outcome::Cancelled,
        "interrupted" => Outcome::Interrupted,
        "abandoned" => Outcome::Abandoned,
        _ => Outcome::Error,
    }
}
