//! The library's allocator: the system's, and what happens when the system has nothing to give.
//!
//! Rust ends the process when an allocation fails, and a tracing library must not end its host. So: threads of ours wait
//! until there is memory again; threads of the program get what they need to finish the call from a small reserve, and
//! no new span is recorded while any of it is in use ([`is_low`]). What is long (a tape that grows) asks first and is
//! left out if there is no room.
//!
//! The reserve is zeroed memory that the system maps when it is touched, so that it costs addresses and nothing else. It
//! is a bump allocator whose whole state is one atomic: no lock that a fork or a signal handler could find taken.

#![allow(unsafe_code, reason = "an allocator is")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// Bytes of the reserve: far more than a call needs besides its tape, and enough to build a first engine.
const SIZE: usize = 1 << 20;
/// How long a thread of ours sleeps between two attempts.
const PAUSE: Duration = Duration::from_millis(10);

thread_local! {
    static PATIENT: Cell<bool> = const { Cell::new(false) };
}

/// Marks the calling thread as one of ours: it waits for memory instead of using the reserve.
pub fn be_patient() {
    // Fails only while the thread ends, which is no time to begin.
    let _ = PATIENT.try_with(|patient| patient.set(true));
}

/// Whether the system had no memory for a thread of the program, and what it got instead is still in use.
#[inline]
#[must_use]
pub fn is_low() -> bool {
    RESERVE.state.load(Relaxed) != 0
}

/// Whether the calling thread should do without more memory: [`is_low`], and it does not wait for it.
#[must_use]
pub fn is_scarce() -> bool {
    is_low() && !PATIENT.try_with(Cell::get).unwrap_or(false)
}

/// Sets the reserve up. Without this, or without memory for it, there is none.
pub fn provide() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| RESERVE.settle());
}

/// Where the reserve is as long as there is none: at the end of all addresses, which belongs to the system's kernel.
const NOWHERE: usize = usize::MAX - SIZE;

/// Memory for when there is none.
struct Reserve {
    start: AtomicUsize,
    /// Offset of the first free byte in the upper half, number of allocations in the lower.
    state: AtomicU64,
}

static RESERVE: Reserve = Reserve::new();

impl Reserve {
    const fn new() -> Self {
        Self { start: AtomicUsize::new(NOWHERE), state: AtomicU64::new(0) }
    }

    fn settle(&self) {
        let Ok(layout) = Layout::from_size_align(SIZE, 64) else { return };
        // SAFETY: the size is not zero. The block is never freed.
        let block = unsafe { System.alloc_zeroed(layout) };
        if !block.is_null() {
            self.start.store(block.expose_provenance(), Relaxed);
        }
    }

    fn start(&self) -> *mut u8 {
        ptr::with_exposed_provenance_mut(self.start.load(Relaxed))
    }

    #[inline]
    fn holds(&self, pointer: *mut u8) -> bool {
        pointer.addr().wrapping_sub(self.start.load(Relaxed)) < SIZE
    }

    fn take(&self, layout: Layout) -> *mut u8 {
        let base = self.start.load(Relaxed);
        if base == NOWHERE {
            return ptr::null_mut();
        }
        let found = self.state.fetch_update(Relaxed, Relaxed, |state| {
            let (_, end) = place(base, state, layout)?;
            Some(((end as u64) << 32) | ((state & 0xFFFF_FFFF) + 1))
        });
        match found.ok().and_then(|state| place(base, state, layout)) {
            // SAFETY: `place` stays within the block.
            Some((start, _)) => unsafe { self.start().add(start) },
            None => ptr::null_mut(),
        }
    }

    fn give_back(&self, pointer: *mut u8, layout: Layout) {
        let start = pointer.addr() - self.start.load(Relaxed);
        let _ = self.state.fetch_update(Relaxed, Relaxed, |state| {
            let left = (state & 0xFFFF_FFFF).saturating_sub(1);
            if left == 0 {
                return Some(0);
            }
            // The last one out can be used again at once.
            let end = if state >> 32 == (start + layout.size()) as u64 { start as u64 } else { state >> 32 };
            Some((end << 32) | left)
        });
    }
}

/// Where in a reserve at `base` that is in `state` an allocation goes: its start and end, as offsets.
fn place(base: usize, state: u64, layout: Layout) -> Option<(usize, usize)> {
    let free = base + usize::try_from(state >> 32).ok()?;
    let start = free.checked_next_multiple_of(layout.align())? - base;
    let end = start.checked_add(layout.size())?;
    (end <= SIZE).then_some((start, end))
}

/// Called when the system has no memory for `layout`.
#[cold]
fn starved(layout: Layout) -> *mut u8 {
    if !PATIENT.try_with(Cell::get).unwrap_or(false) {
        return RESERVE.take(layout);
    }
    loop {
        std::thread::sleep(PAUSE);
        // SAFETY: the layout is the caller's.
        let pointer = unsafe { System.alloc(layout) };
        if !pointer.is_null() {
            return pointer;
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Allocator;

// SAFETY: memory comes from the system or from the reserve, and goes back to where it came from.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let pointer = unsafe { System.alloc(layout) };
        if pointer.is_null() { starved(layout) } else { pointer }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let pointer = unsafe { System.alloc_zeroed(layout) };
        if !pointer.is_null() {
            return pointer;
        }
        let pointer = starved(layout);
        if !pointer.is_null() {
            // The reserve is used again and again.
            unsafe { pointer.write_bytes(0, layout.size()) };
        }
        pointer
    }

    #[inline]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if RESERVE.holds(pointer) {
            RESERVE.give_back(pointer, layout);
        } else {
            unsafe { System.dealloc(pointer, layout) };
        }
    }

    #[inline]
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if !RESERVE.holds(pointer) {
            let moved = unsafe { System.realloc(pointer, layout, new_size) };
            if !moved.is_null() {
                return moved;
            }
        }
        unsafe { self.move_starved(pointer, layout, new_size) }
    }
}

impl Allocator {
    #[cold]
    unsafe fn move_starved(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if new_size <= layout.size() && !RESERVE.holds(pointer) {
            // The system frees by pointer alone: a block may stay longer than it is known to be.
            return pointer;
        }
        let moved = unsafe { self.alloc(Layout::from_size_align_unchecked(new_size, layout.align())) };
        if !moved.is_null() {
            unsafe {
                ptr::copy_nonoverlapping(pointer, moved, layout.size().min(new_size));
                self.dealloc(pointer, layout);
            }
        }
        moved
    }
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a failed expectation is a failed test")]
mod tests {
    use super::*;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).expect("a layout")
    }

    fn leaked() -> &'static Reserve {
        let reserve = Box::leak(Box::new(Reserve::new()));
        reserve.settle();
        reserve
    }

    #[test]
    fn a_reserve_hands_out_aligned_memory_that_does_not_overlap() {
        let reserve = leaked();
        let mut taken: Vec<(usize, usize)> = Vec::new();
        for (size, align) in [(1, 1), (100, 64), (8, 8), (3, 2), (4096, 16), (0, 1)] {
            let pointer = reserve.take(layout(size, align)) as usize;
            assert_eq!(pointer % align, 0);
            assert!(taken.iter().all(|&(start, end)| pointer + size <= start || pointer >= end));
            taken.push((pointer, pointer + size));
        }
    }

    #[test]
    fn there_is_nothing_in_a_reserve_that_was_not_set_up() {
        let reserve = Reserve::new();
        assert!(reserve.take(layout(1, 1)).is_null());
        assert!(!reserve.holds(ptr::null_mut()));
    }

    #[test]
    fn what_does_not_fit_is_refused_and_leaves_the_reserve_as_it_was() {
        let reserve = leaked();
        let first = reserve.take(layout(SIZE - 10, 1));
        assert!(reserve.holds(first));
        assert!(reserve.take(layout(11, 1)).is_null());
        assert!(reserve.take(layout(usize::MAX / 2, 1)).is_null());
        assert!(!reserve.take(layout(10, 1)).is_null());
    }

    #[test]
    fn a_reserve_is_whole_again_when_everything_is_back() {
        let reserve = leaked();
        let first = reserve.take(layout(600_000, 1));
        let second = reserve.take(layout(400_000, 1));
        assert!(reserve.take(layout(400_000, 1)).is_null());
        reserve.give_back(second, layout(400_000, 1));
        assert_eq!(reserve.take(layout(400_000, 1)), second, "the last one out is used again at once");
        reserve.give_back(first, layout(600_000, 1));
        reserve.give_back(second, layout(400_000, 1));
        assert_eq!(reserve.state.load(Relaxed), 0);
        assert_eq!(reserve.take(layout(SIZE, 1)), first);
    }

    #[test]
    fn memory_moves_between_the_reserve_and_the_system() {
        provide();
        let small = layout(4, 1);
        let pointer = RESERVE.take(small);
        assert!(is_low());
        // SAFETY: the pointer is ours and as long as its layout says.
        unsafe {
            pointer.copy_from_nonoverlapping(b"abcd".as_ptr(), 4);
            let moved = Allocator.realloc(pointer, small, 1000);
            assert!(!RESERVE.holds(moved));
            assert_eq!(std::slice::from_raw_parts(moved, 4), b"abcd");
            Allocator.dealloc(moved, layout(1000, 1));
        }
        assert!(!is_low());
    }
}
