//! Threads of ours: how they start, and what each does before anything else.

use std::io::{Error, ErrorKind};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crossbeam_channel::bounded;

use crate::alloc;

/// Memory that has to be free for a thread to start: its stack, and as much again as the system's loader may want for
/// the thread's own data. The loader ends the process when it gets none, and it asks when the thread runs already.
const ROOM: usize = 4 << 20;
/// How long the start of a thread is waited for; it takes some ten microseconds.
const BEGIN: Duration = Duration::from_millis(5);

/// Starts a thread of ours: signals go to the program's threads, and a want of memory is waited out.
///
/// # Errors
///
/// The system has no thread to give, or no memory for one.
pub(crate) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    if !has_room() {
        return Err(Error::new(ErrorKind::OutOfMemory, "no memory for a thread"));
    }
    let (begun, waiting) = bounded::<()>(0);
    let started = Builder::new().name(name.to_owned()).spawn(move || {
        block_signals();
        alloc::be_patient();
        drop(begun);
        work();
    });
    if started.is_ok() {
        // Until it has what it needs, so that nobody here takes the memory that was just seen to be there.
        let _ = waiting.recv_timeout(BEGIN);
    }
    started
}

/// Whether the system would give memory now. Nothing of it is touched.
///
/// POSIX, `mmap`. Says yes elsewhere.
fn has_room() -> bool {
    #[cfg(unix)]
    #[allow(unsafe_code, reason = "asking the system itself: the allocator would remember the size of the question")]
    // SAFETY: a private mapping anywhere, taken back at once.
    unsafe {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let place = libc::mmap(std::ptr::null_mut(), ROOM, access, libc::MAP_PRIVATE | libc::MAP_ANON, -1, 0);
        if place == libc::MAP_FAILED {
            return false;
        }
        libc::munmap(place, ROOM);
    }
    true
}

/// Blocks all signals in the calling thread, so that they are delivered to the application's threads.
///
/// POSIX, `pthread_sigmask`. Does nothing elsewhere.
fn block_signals() {
    #[cfg(unix)]
    #[allow(unsafe_code, reason = "the signal mask is set by a C call")]
    // SAFETY: `all` is a valid set, filled before it is read.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, std::ptr::null_mut());
    }
}
