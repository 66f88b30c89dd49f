//! Spans that have begun and not ended, for sinks that show traces while they run.
//!
//! A span leaves a copy of what is known at its start in a slot, and clears the slot at its end. The collector looks in
//! from time to time: what it finds for the second time has lasted long enough to be told. Most spans have ended by
//! then; they cost their thread a copy and two short locks, and nothing of them passes through the pipeline twice.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Engine;
use crate::context::SpanContext;
use crate::record::{Record, Scope};

/// Slots at most. A span that finds none is seen when it ends.
const SLOTS: usize = 65_536;
/// Records kept for reuse.
const SPARE: usize = 256;

/// A running span's place in the table of its engine.
#[derive(Clone, Copy, Debug)]
pub struct OpenSpan {
    engine: &'static Engine,
    slot: u32,
}

impl OpenSpan {
    /// Keeps a copy of `record` until the span ends or is told. `None` when there is no room.
    pub(super) fn keep(
        engine: &'static Engine,
        record: &Record,
        context: &SpanContext,
        scope: Option<&Arc<Scope>>,
    ) -> Option<Self> {
        Some(Self { engine, slot: engine.open.keep(record, context, scope)? })
    }

    /// The span ends. To be called before its record is submitted, so that it is not told after it is known to be over,
    /// and not in the child of a fork.
    #[inline]
    pub fn end(self) {
        self.engine.open.end(self.slot);
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct OpenSpans {
    table: Mutex<Table>,
    byte_limit: usize,
}

#[derive(Debug, Default)]
struct Table {
    slots: Vec<Slot>,
    /// The free ones of them. The one freed last is used first: it is warm.
    free: Vec<u32>,
    /// How many slots hold a copy, and of how many bytes.
    kept: usize,
    bytes: usize,
    #[expect(clippy::vec_box, reason = "as the engine's pool")]
    spare: Vec<Box<Record>>,
}

#[derive(Debug)]
enum Slot {
    Free,
    Kept { copy: Box<Record>, seen: bool },
    Told,
}

impl OpenSpans {
    /// A table whose copies may have `byte_limit` bytes.
    pub(super) fn new(byte_limit: usize) -> Self {
        Self { table: Mutex::default(), byte_limit }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, record: &Record, context: &SpanContext, scope: Option<&Arc<Scope>>) -> Option<u32> {
        let mut table = self.lock();
        if table.bytes + record.tape.len() > self.byte_limit || table.free.is_empty() && table.slots.len() >= SLOTS {
            return None;
        }
        let mut copy = table.spare.pop().unwrap_or_default();
        copy.renew();
        copy.tape.extend(record.tape.as_bytes());
        if copy.tape.is_short() {
            table.give_back(copy);
            return None;
        }
        copy.trace_id = context.trace_id;
        copy.span_id = context.span_id;
        copy.flags = context.flags;
        copy.parent_id = record.parent_id;
        copy.parent_remote = record.parent_remote;
        copy.kind = record.kind;
        copy.span_kind = record.span_kind;
        copy.start = record.start;
        copy.end = record.start;
        copy.scope = scope.cloned();
        table.kept += 1;
        table.bytes += copy.tape.len();
        let kept = Slot::Kept { copy, seen: false };
        if let Some(slot) = table.free.pop() {
            if let Some(place) = table.slots.get_mut(slot as usize) {
                *place = kept;
            }
            return Some(slot);
        }
        table.slots.push(kept);
        u32::try_from(table.slots.len() - 1).ok()
    }

    fn end(&self, slot: u32) {
        let mut table = self.lock();
        let Some(place) = table.slots.get_mut(slot as usize) else { return };
        if let Slot::Kept { copy, .. } = std::mem::replace(place, Slot::Free) {
            table.kept -= 1;
            table.bytes -= copy.tape.len();
            table.give_back(copy);
        }
        table.free.push(slot);
    }

    /// Whether there is a span that was not told.
    pub(super) fn is_untold(&self) -> bool {
        self.lock().kept > 0
    }

    /// Takes out what was there at the last look; `all`: whatever is there.
    #[expect(clippy::vec_box, reason = "as the engine's pool")]
    pub(super) fn look(&self, all: bool) -> Vec<Box<Record>> {
        let mut due = Vec::new();
        let mut table = self.lock();
        if table.kept == 0 {
            return due;
        }
        let mut bytes = 0;
        for slot in &mut table.slots {
            match slot {
                Slot::Kept { seen, .. } if !*seen && !all => *seen = true,
                Slot::Kept { .. } => {
                    if let Slot::Kept { copy, .. } = std::mem::replace(slot, Slot::Told) {
                        bytes += copy.tape.len();
                        due.push(copy);
                    }
                }
                Slot::Free | Slot::Told => {}
            }
        }
        table.kept -= due.len();
        table.bytes -= bytes;
        due
    }

    /// Takes records back that have been told.
    #[expect(clippy::vec_box, reason = "as the engine's pool")]
    pub(super) fn give_back(&self, records: Vec<Box<Record>>) {
        let mut table = self.lock();
        for record in records {
            table.give_back(record);
        }
    }

    /// The engine ends: nothing is told any more.
    pub(super) fn clear(&self) {
        *self.lock() = Table::default();
    }
}

impl Table {
    fn give_back(&mut self, mut copy: Box<Record>) {
        copy.retire();
        if self.spare.len() < SPARE {
            self.spare.push(copy);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failing test may panic")]
mod tests {
    use super::*;
    use crate::kind::Kind;

    fn record(text: &str) -> Record {
        let mut record = Record { kind: Kind::Tool, ..Record::default() };
        record.tape.str(text);
        record
    }

    fn keep(open: &OpenSpans, text: &str) -> Option<u32> {
        open.keep(&record(text), &SpanContext::default(), None)
    }

    #[test]
    fn what_is_found_twice_is_told_once() {
        let open = OpenSpans::new(1000);
        let slot = keep(&open, "a").unwrap();
        assert!(open.look(false).is_empty());
        let told = open.look(false);
        assert_eq!(told.len(), 1);
        assert_eq!(told.first().unwrap().tape.as_bytes(), record("a").tape.as_bytes());
        assert!(!open.is_untold());
        open.give_back(told);
        assert!(open.look(true).is_empty());
        open.end(slot);
        assert_eq!(keep(&open, "b"), Some(slot), "the slot is free again");
        assert_eq!(open.look(true).len(), 1, "all means those of this moment too");
    }

    #[test]
    fn what_ends_before_is_never_told() {
        let open = OpenSpans::new(1000);
        let first = keep(&open, "a").unwrap();
        assert!(open.look(false).is_empty());
        open.end(first);
        assert_eq!(keep(&open, "b"), Some(first));
        assert!(open.look(false).is_empty(), "another span in the same slot is seen for the first time");
        assert_eq!(open.look(false).len(), 1);
    }

    #[test]
    fn copies_are_bounded_in_bytes() {
        let open = OpenSpans::new(100);
        let first = keep(&open, &"x".repeat(80)).unwrap();
        assert_eq!(keep(&open, &"y".repeat(80)), None);
        open.end(first);
        let slot = keep(&open, &"y".repeat(80)).unwrap();
        open.give_back(open.look(true));
        assert!(keep(&open, &"z".repeat(80)).is_some(), "what was told holds nothing any more");
        open.end(slot);
        open.clear();
        open.end(slot);
        assert!(!open.is_untold(), "a span of an engine that has ended may end");
    }
}
