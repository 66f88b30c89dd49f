//! The one thread of all OTLP destinations of an engine, with a current-thread tokio runtime on which every destination
//! has its task. It starts with the first delivery and ends when the last destination has shut down.
//!
//! Around a fork the thread leaves the runtime and is joined, and the runtime stays where it is, with its tasks and their
//! sockets: a new thread goes on with it in the parent, and the child never touches it.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Notify;

use super::line::{self, Line};
use crate::ledger::Ledger;
use crate::sinks::FlushToken;

/// Between a panic and the task's new start: a fault that is not tied to one parcel must not spin.
const AFTER_PANIC: Duration = Duration::from_millis(100);

/// Runs the tasks of OTLP destinations. Cheap to clone; all clones are the same worker.
#[derive(Clone, Debug)]
pub struct OtlpWorker(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    ledger: &'static Ledger,
    inner: Mutex<Inner>,
    /// A thread has left the runtime.
    left: Condvar,
    /// Asks the thread to leave the runtime and look what is wanted.
    look: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    /// Where tasks are spawned, from the first to the last of them.
    handle: Option<Handle>,
    /// The runtime, while no thread runs it.
    runtime: Option<Runtime>,
    thread: Option<JoinHandle<()>>,
    /// Whether a thread runs the runtime, or is about to.
    running: bool,
    /// Whether none should, because of a fork.
    parked: bool,
    /// Tasks that have not ended.
    lines: usize,
    /// Dropped when the thread has ended.
    farewells: Vec<FlushToken>,
}

impl OtlpWorker {
    /// A worker without a thread. Faults of ours that are caught in it are counted in `ledger`.
    #[must_use]
    pub fn new(ledger: &'static Ledger) -> Self {
        Self(Arc::new(Shared { ledger, inner: Mutex::default(), left: Condvar::new(), look: Notify::new() }))
    }

    /// Starts the task of `line` if it was never started, and the thread if it does not run.
    ///
    /// # Errors
    ///
    /// The operating system has no thread or no descriptor to give; another call may try again.
    pub(super) fn start(&self, line: &Arc<Line>) -> io::Result<()> {
        let mut inner = self.0.lock();
        // A line that was started and has no task any more has shut down: a delivery raced with that.
        if line.started() && (inner.running || inner.lines == 0) {
            return Ok(());
        }
        if inner.handle.is_none() {
            let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
            inner.handle = Some(runtime.handle().clone());
            inner.runtime = Some(runtime);
        }
        self.start_thread(&mut inner)?;
        if let Some(handle) = inner.handle.clone()
            && !line.start()
        {
            inner.lines += 1;
            handle.spawn(supervise(Arc::clone(&self.0), Arc::clone(line)));
        }
        Ok(())
    }

    fn start_thread(&self, inner: &mut Inner) -> io::Result<()> {
        if inner.running || inner.parked || inner.runtime.is_none() {
            return Ok(());
        }
        // The thread fetches the runtime itself: a thread that cannot be started would drop what it was given.
        let shared = Arc::clone(&self.0);
        let thread = crate::thread::spawn("ironspan-otlp", move || shared.run());
        inner.thread = Some(thread?);
        inner.running = true;
        Ok(())
    }

    /// Whether a thread runs.
    #[cfg(test)]
    pub(super) fn is_running(&self) -> bool {
        self.0.lock().running
    }

    /// Before a fork: the thread leaves the runtime, with requests in flight, and is joined. A thread that does not come
    /// by `deadline` (it is compressing, say) is left alone.
    pub(super) fn park(&self, deadline: Instant) {
        let mut inner = self.0.lock();
        inner.parked = true;
        self.0.look.notify_one();
        while inner.running {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            inner = self.0.left.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let thread = inner.thread.take();
        drop(inner);
        // It has nothing left to do but to return.
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            self.0.ledger.internal_error();
        }
    }

    /// After a fork, in the parent: a new thread goes on with the runtime. If there is none to be had, the next delivery
    /// tries again.
    pub(super) fn resume(&self) -> io::Result<()> {
        let mut inner = self.0.lock();
        inner.parked = false;
        self.start_thread(&mut inner)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread.
    fn run(&self) {
        let Some(runtime) = self.lock().runtime.take() else {
            self.lock().running = false;
            return;
        };
        loop {
            // Tasks catch their own panics; this is for the runtime's.
            if catch_unwind(AssertUnwindSafe(|| runtime.block_on(self.look.notified()))).is_err() {
                self.ledger.internal_error();
            }
            let mut inner = self.lock();
            if inner.lines == 0 {
                inner.handle = None;
                inner.running = false;
                // Nobody joins it: the system takes it back when it has returned.
                inner.thread = None;
                let farewells = std::mem::take(&mut inner.farewells);
                drop(inner);
                // Connections end here; nothing is waited for.
                runtime.shutdown_background();
                self.left.notify_all();
                drop(farewells);
                return;
            }
            if inner.parked {
                inner.runtime = Some(runtime);
                inner.running = false;
                self.left.notify_all();
                return;
            }
        }
    }
}

/// Runs the task of `line` to its end, and again after a panic: what it held in its hands is then lost and counted, what
/// waits in the queue is not.
async fn supervise(shared: Arc<Shared>, line: Arc<Line>) {
    while tokio::spawn(line::run(Arc::clone(&line))).await.is_err() {
        shared.ledger.internal_error();
        tokio::time::sleep(AFTER_PANIC).await;
    }
    let farewells = line.queue.end();
    let mut inner = shared.lock();
    inner.lines -= 1;
    if inner.lines == 0 {
        inner.farewells.extend(farewells);
        shared.look.notify_one();
    }
}
