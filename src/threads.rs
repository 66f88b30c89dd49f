//! Threads of ours: named, and deaf to signals, so that the application's main thread goes on receiving them.

use std::io;
use std::thread::{Builder, JoinHandle};

/// Starts a thread that blocks signals before it does anything else. Threads that it starts inherit the mask.
///
/// # Errors
///
/// The operating system has no thread to give (`RLIMIT_NPROC`, a cgroup's limit of pids).
pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    Builder::new().name(name.to_owned()).spawn(move || {
        block_signals();
        work()
    })
}

/// Blocks every signal but those that a thread raises by its own faults: blocked, they would end the process without a
/// word from the application's crash handler.
#[cfg(unix)]
#[expect(unsafe_code, reason = "no safe wrapper of pthread_sigmask among the dependencies")]
fn block_signals() {
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset initialises the set it is given; the others read or change that initialised set. The old mask is
    // not asked for. All four are thread-safe and fail only for signal numbers that do not exist.
    unsafe {
        libc::sigfillset(set.as_mut_ptr());
        for fault in [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL] {
            libc::sigdelset(set.as_mut_ptr(), fault);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, set.as_ptr(), std::ptr::null_mut());
    }
}

#[cfg(not(unix))]
fn block_signals() {}

#[cfg(test)]
#[cfg(target_os = "linux")]
#[allow(clippy::unwrap_used, reason = "tests: a failure here is the finding")]
mod tests {
    #[test]
    fn signals_of_the_application_are_blocked_and_faults_are_not() {
        let status = super::spawn("ironspan-test", || std::fs::read_to_string("/proc/thread-self/status").unwrap());
        let status = status.unwrap().join().unwrap();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap().trim();
        let mask = u64::from_str_radix(mask, 16).unwrap();
        let blocked = |signal: i32| mask & 1 << (signal - 1) != 0;
        assert!([libc::SIGINT, libc::SIGTERM, libc::SIGCHLD, libc::SIGPROF].into_iter().all(blocked), "{mask:x}");
        assert!(![libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL].into_iter().any(blocked), "{mask:x}");
    }
}
