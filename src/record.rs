//! The record: everything about one span, as the caller's thread leaves it. The one thing that crosses threads.

use std::ptr;
use std::sync::Arc;

use crate::context::{Baggage, SpanContext};
use crate::ids::{SpanId, TraceId};
use crate::kind::{Kind, Outcome, SpanKind};
use crate::tape::Tape;

/// A moment, as ticks of [`crate::clock`] or as given by the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Ticks.
    Ticks(u64),
    /// Unix nanoseconds.
    Unix(u64),
}

/// What holds for every span below: set by `scope(...)`, shared by all of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scope {
    /// Session or conversation the run belongs to.
    pub session: Option<Box<str>>,
    /// User the run serves.
    pub user: Option<Box<str>>,
    /// Tags for every span.
    pub tags: Vec<Box<str>>,
    /// Attributes for every span: pairs in the tape's encoding, without brackets.
    pub metadata: Vec<u8>,
    /// What travels on to other processes.
    pub baggage: Baggage,
    /// The agent that is at work: set by the agent's span itself, for the store.
    pub agent: Option<Arc<str>>,
}

/// One span, from its first attribute to its way through the buffer.
#[derive(Debug)]
pub struct Record {
    /// Trace.
    pub trace_id: TraceId,
    /// Span.
    pub span_id: SpanId,
    /// Parent; `None` for a root.
    pub parent_id: Option<SpanId>,
    /// W3C trace flags.
    pub flags: u8,
    /// Whether the parent lives in another process.
    pub parent_remote: bool,
    /// What the step is.
    pub kind: Kind,
    /// OpenTelemetry's kind, when the caller named one.
    pub span_kind: Option<SpanKind>,
    /// How it ended.
    pub outcome: Outcome,
    /// Values left out because the span was over its byte limit.
    pub left_out: u32,
    /// Whether a value was cut to fit under that limit.
    pub cut: bool,
    /// Start.
    pub start: Moment,
    /// End.
    pub end: Moment,
    /// W3C tracestate.
    pub trace_state: Option<Arc<str>>,
    /// Session, user, tags.
    pub scope: Option<Arc<Scope>>,
    /// Everything else.
    pub tape: Tape,
}

/// Bytes that a processor fetches at once.
const LINE: usize = 64;

/// Has the processor fetch the memory at `address` while it does other things. Nothing where the language has no word
/// for it.
#[inline]
fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    #[allow(unsafe_code, reason = "a hint: any address will do")]
    // SAFETY: the instruction exists on every such processor, and a wrong address is ignored.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// Memory that a recycled record's tape may keep; one long prompt must not stay for ever.
const KEEP: usize = 1024;

impl Default for Record {
    fn default() -> Self {
        Self {
            trace_id: TraceId::INVALID,
            span_id: SpanId::INVALID,
            parent_id: None,
            flags: 0,
            parent_remote: false,
            kind: Kind::Span,
            span_kind: None,
            outcome: Outcome::Ok,
            left_out: 0,
            cut: false,
            start: Moment::Ticks(0),
            end: Moment::Ticks(0),
            trace_state: None,
            scope: None,
            tape: Tape::with_capacity(192),
        }
    }
}

impl Record {
    /// Bytes that the record holds while it waits.
    #[must_use]
    #[inline]
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.tape.capacity()
    }

    /// Gives up what must not wait until the record is used again. Writes nothing if there is nothing of the kind: the
    /// collector's core would else take the record's memory from that of the caller, who has to fetch it back.
    pub fn retire(&mut self) {
        if self.tape.capacity() > KEEP {
            self.tape.reset(KEEP);
        }
        if self.trace_state.is_some() || self.scope.is_some() {
            self.trace_state = None;
            self.scope = None;
        }
    }

    /// Empties a retired record for the next span.
    #[inline]
    pub fn renew(&mut self) {
        self.tape.reset(KEEP);
        self.span_kind = None;
        self.outcome = Outcome::Ok;
        self.left_out = 0;
        self.cut = false;
    }

    /// Has the processor fetch the record's own memory.
    #[inline]
    pub fn prefetch(&self) {
        let lines = size_of::<Self>().div_ceil(LINE);
        (0..lines).for_each(|line| prefetch(ptr::from_ref(self).cast::<u8>().wrapping_add(line * LINE)));
    }

    /// Has the processor fetch what the record points to.
    #[inline]
    pub fn prefetch_tape(&self) {
        let start = self.tape.as_bytes().as_ptr();
        (0..3).for_each(|line| prefetch(start.wrapping_add(line * LINE)));
    }

    /// Appends what `write` writes, or nothing of it when there is no memory for the whole: then it counts as left out.
    /// Says whether it is there.
    #[inline]
    pub fn entry(&mut self, write: impl FnOnce(&mut Tape)) -> bool {
        let start = self.tape.len();
        write(&mut self.tape);
        if !self.tape.is_short() {
            return true;
        }
        self.tape.truncate(start);
        self.left_out += 1;
        false
    }

    /// The span's own context.
    #[must_use]
    pub fn context(&self) -> SpanContext {
        let mut context = SpanContext::new(self.trace_id, self.span_id, self.flags);
        context.trace_state.clone_from(&self.trace_state);
        context
    }
}
