//! The thread behind a sink that writes to this machine: terminal, file. A full pipe or a slow disk stops this thread and
//! nothing else; what comes meanwhile waits within the destination's byte limit, and beyond it is dropped and counted.
//!
//! The thread starts with the first delivery and sleeps without a timer while there is nothing to do. It leaves for a
//! fork and comes back after it; the child abandons all of this as it is and builds its own.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::finished::Batch;
use crate::ledger::{DropReason, Ledger};
use crate::sinks::{Delivery, Destination, FlushToken, Health, Sink};

/// What a local sink does, on its own thread.
pub trait Writer: Send + fmt::Debug {
    /// Writes a delivery and settles it, or gives it back to be tried again. May block.
    fn write(&mut self, delivery: Delivery) -> Option<Again>;

    /// Whether it wants to know of spans that begin.
    fn watches(&self) -> bool {
        false
    }

    /// Takes spans that have begun.
    fn begun(&mut self, batch: Arc<Batch>) {
        let _ = batch;
    }

    /// How long the thread may sleep while nothing comes; `None` for as long as nothing does.
    fn patience(&self) -> Option<Duration> {
        None
    }

    /// Called when nothing has come for that long. May block.
    fn tick(&mut self) {}

    /// Called before the thread leaves for a fork: what the child must not inherit is closed.
    fn park(&mut self) {}

    /// Writes what is held back. Called once, before the thread ends for good. May block.
    fn finish(&mut self) {}
}

/// A delivery that could not be written now, and when to try again.
#[derive(Debug)]
pub struct Again {
    /// What was given back.
    pub delivery: Delivery,
    /// How long to wait.
    pub wait: Duration,
}

/// Jobs that may wait before news of running spans is left out: it would be old when its turn comes, and nothing else
/// bounds it.
const NEWS: usize = 256;

/// A thing to do, in order.
#[derive(Debug)]
enum Job {
    Write(Delivery, usize),
    /// Spans that have begun.
    Begun(Arc<Batch>),
    /// Everything before it is settled when it is reached; after the deadline nobody waits for that.
    Flush(Instant, FlushToken),
}

#[derive(Debug)]
struct State<W> {
    jobs: VecDeque<Job>,
    /// Bytes of the deliveries that wait or are being written.
    bytes: usize,
    /// `None` while the thread uses it, and after the end.
    writer: Option<W>,
    /// Whether anything was ever accepted, so that there may be something held back.
    used: bool,
    running: bool,
    thread: Option<JoinHandle<()>>,
    parked: bool,
    /// The first job waits for its next try.
    retry: Option<Instant>,
    closing: Option<Instant>,
    /// Dropped when the sink has ended.
    farewells: Vec<FlushToken>,
}

#[derive(Debug)]
struct Shared<W> {
    name: String,
    watches: bool,
    destination: Arc<Destination>,
    ledger: &'static Ledger,
    state: Mutex<State<W>>,
    /// There is something to do, or a reason to leave.
    wake: Condvar,
    /// The thread has left.
    left: Condvar,
}

/// A sink whose work is done by a [`Writer`] on a thread of its own.
#[derive(Debug)]
pub struct LocalSink<W>(Arc<Shared<W>>);

impl<W: Writer + 'static> LocalSink<W> {
    /// A sink for `destination`. `name` is the thread's, at most 15 bytes (Linux cuts it there). Faults of ours that are
    /// caught on the thread are counted in `ledger`.
    #[must_use]
    pub fn new(name: &str, writer: W, destination: Arc<Destination>, ledger: &'static Ledger) -> Self {
        let watches = writer.watches();
        let state = State {
            jobs: VecDeque::new(),
            bytes: 0,
            writer: Some(writer),
            used: false,
            running: false,
            thread: None,
            parked: false,
            retry: None,
            closing: None,
            farewells: Vec::new(),
        };
        Self(Arc::new(Shared {
            name: name.to_owned(),
            watches,
            destination,
            ledger,
            state: Mutex::new(state),
            wake: Condvar::new(),
            left: Condvar::new(),
        }))
    }

    /// Starts the thread if it should run and does not. A process may be out of threads: then the next delivery tries
    /// again, and the present ones wait.
    fn start(&self, state: &mut State<W>) -> bool {
        if state.running || state.parked || state.writer.is_none() {
            return state.running;
        }
        let shared = Arc::clone(&self.0);
        let spawned = crate::thread::spawn(&self.0.name, move || shared.run());
        match spawned {
            Ok(thread) => {
                // Of the thread before only the handle is left, and dropping it costs nothing.
                state.thread = Some(thread);
                state.running = true;
            }
            Err(error) => self.0.destination.set_last_error(&format!("no thread could be started: {error}")),
        }
        state.running
    }
}

impl<W: Writer> Shared<W> {
    fn lock(&self) -> MutexGuard<'_, State<W>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread.
    fn run(&self) {
        let mut state = self.lock();
        let Some(mut writer) = state.writer.take() else {
            state.running = false;
            self.left.notify_all();
            return;
        };
        loop {
            if state.parked {
                break;
            }
            let now = Instant::now();
            let is_late = state.closing.is_some_and(|deadline| deadline <= now);
            if let Some(wait) = state.retry.and_then(|retry| retry.checked_duration_since(now)).filter(|_| !is_late) {
                let wait = state.closing.map_or(wait, |deadline| wait.min(deadline.saturating_duration_since(now)));
                state = self.wake.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            state.retry = None;
            match state.jobs.pop_front() {
                Some(Job::Flush(_, done)) => drop(done),
                Some(Job::Begun(_)) if is_late => {}
                Some(Job::Begun(batch)) => {
                    drop(state);
                    self.guarded(|| writer.begun(batch));
                    state = self.lock();
                }
                Some(Job::Write(delivery, bytes)) if is_late => {
                    state.bytes -= bytes;
                    delivery.dropped(DropReason::Shutdown);
                }
                Some(Job::Write(delivery, bytes)) => {
                    drop(state);
                    let again = self.guarded(|| writer.write(delivery)).flatten();
                    state = self.lock();
                    if let Some(Again { delivery, wait }) = again {
                        state.retry = Some(Instant::now() + wait);
                        state.jobs.push_front(Job::Write(delivery, bytes));
                    } else {
                        state.bytes -= bytes;
                    }
                }
                None if state.closing.is_some() => {
                    drop(state);
                    if !is_late {
                        self.guarded(|| writer.finish());
                    }
                    self.end(self.lock());
                    return;
                }
                None => match writer.patience() {
                    None => state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
                    Some(patience) => {
                        let (woken, waited) =
                            self.wake.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner);
                        state = woken;
                        if waited.timed_out() && state.jobs.is_empty() && !state.parked {
                            drop(state);
                            self.guarded(|| writer.tick());
                            state = self.lock();
                        }
                    }
                },
            }
        }
        drop(state);
        self.guarded(|| writer.park());
        state = self.lock();
        state.writer = Some(writer);
        state.running = false;
        self.left.notify_all();
    }

    /// A fault costs what it happened to: an unsettled delivery counts itself as `dropped{internal}` when it falls.
    fn guarded<T>(&self, work: impl FnOnce() -> T) -> Option<T> {
        let done = catch_unwind(AssertUnwindSafe(work));
        if done.is_err() {
            self.ledger.internal_error();
        }
        done.ok()
    }

    /// The end for good: nothing is written any more.
    fn end(&self, mut state: MutexGuard<'_, State<W>>) {
        state.running = false;
        // Nobody joins it: the system takes it back when it has returned.
        state.thread = None;
        state.writer = None;
        state.bytes = 0;
        let jobs = std::mem::take(&mut state.jobs);
        let farewells = std::mem::take(&mut state.farewells);
        drop(state);
        for job in jobs {
            if let Job::Write(delivery, _) = job {
                delivery.dropped(DropReason::Shutdown);
            }
        }
        self.destination.set_health(Health::Stopped);
        drop(farewells);
        self.left.notify_all();
    }
}

impl<W: Writer + 'static> Sink for LocalSink<W> {
    fn accept(&self, delivery: Delivery) {
        let bytes = delivery.approximate_bytes();
        let mut state = self.0.lock();
        if state.closing.is_some() {
            drop(state);
            return delivery.dropped(DropReason::Shutdown);
        }
        // A single delivery over the limit passes when nothing else waits; otherwise it never could.
        if state.bytes > 0 && state.bytes + bytes > self.0.destination.queue_limit {
            drop(state);
            return delivery.dropped(DropReason::QueueFull);
        }
        state.bytes += bytes;
        state.used = true;
        state.jobs.push_back(Job::Write(delivery, bytes));
        self.start(&mut state);
        drop(state);
        self.0.wake.notify_one();
    }

    fn watches(&self) -> bool {
        self.0.watches
    }

    fn begun(&self, batch: Arc<Batch>) {
        let mut state = self.0.lock();
        // While nothing can be written, what is only news must not take the memory of spans that have ended.
        if state.closing.is_some() || state.retry.is_some() || state.jobs.len() >= NEWS {
            return;
        }
        state.used = true;
        state.jobs.push_back(Job::Begun(batch));
        self.start(&mut state);
        drop(state);
        self.0.wake.notify_one();
    }

    fn flush(&self, deadline: Instant, done: FlushToken) {
        let mut state = self.0.lock();
        if !state.running && state.jobs.is_empty() {
            return;
        }
        // A program that flushes often at a blocked pipe must not collect tokens that nobody waits for.
        let now = Instant::now();
        state.jobs.retain(|job| !matches!(job, Job::Flush(until, _) if *until <= now));
        state.jobs.push_back(Job::Flush(deadline, done));
        self.start(&mut state);
        drop(state);
        self.0.wake.notify_one();
    }

    fn shutdown(&self, deadline: Instant, done: FlushToken) {
        let mut state = self.0.lock();
        state.closing = Some(state.closing.map_or(deadline, |earlier| earlier.min(deadline)));
        state.farewells.push(done);
        let has_work = state.used || !state.jobs.is_empty();
        if state.parked {
            // Around a fork no thread may start; `resume` goes on.
            return;
        }
        if !(state.running || has_work && self.start(&mut state)) {
            return self.0.end(state);
        }
        drop(state);
        self.0.wake.notify_one();
    }

    fn park(&self, deadline: Instant) {
        let mut state = self.0.lock();
        state.parked = true;
        self.0.wake.notify_one();
        while state.running {
            // A thread that is stuck in a write cannot leave; the fork goes on without waiting for it any longer.
            let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
                return;
            };
            state = self.0.left.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        // It has told that it leaves and does nothing after that, so joining takes no time.
        if let Some(thread) = state.thread.take() {
            drop(state);
            let _ = thread.join();
        }
    }

    fn resume(&self) {
        let mut state = self.0.lock();
        state.parked = false;
        if state.closing.is_some() && !state.running && state.writer.is_some() {
            if !self.start(&mut state) {
                self.0.end(state);
            }
        } else if !state.jobs.is_empty() {
            self.start(&mut state);
        }
        // If the thread could not leave in time it still runs, and looks again now.
        self.0.wake.notify_one();
    }
}

#[cfg(test)]
mod tests;
