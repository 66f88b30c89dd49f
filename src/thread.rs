//! What a thread of ours does before anything else.

use crate::alloc;

/// Makes the calling thread one of ours: signals go to the program's threads, and a want of memory is waited out.
pub(crate) fn begin() {
    block_signals();
    alloc::be_patient();
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
