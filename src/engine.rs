//! The engine: what stands behind a span that ends. One per process, behind one atomic pointer, built when first needed.
//!
//! An engine is leaked on purpose. Nobody can then hold a pointer to a freed one, and in the child of a fork the old
//! engine is abandoned as it is: nothing of it is touched, closed or dropped there, because any of its locks, queues and
//! sockets may have been in use by a thread that the child does not have. The child stores null and builds its own.
//!
//! Here is what applications call; `collect` is what the collector does on its thread.

mod collect;
mod open;

use std::ptr;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicPtr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};

pub use self::open::OpenSpan;
use self::open::OpenSpans;
use crate::buffer::Budget;
use crate::context::SpanContext;
use crate::finished::Resource;
use crate::fork;
use crate::ledger::{DropReason, Ledger, Loss};
use crate::record::{Record, Scope};
use crate::resolve::{Resolver, SpanLimits};
use crate::sampling::Sampler;
use crate::sinks::{Destination, FlushToken, Sink};

/// Records of one batch. Amortises the hand-over; larger ones only hold memory longer.
const BATCH_RECORDS: usize = 512;
/// Bytes of one batch, after which it is sealed.
const BATCH_BYTES: usize = 1 << 20;
/// Records kept for reuse, the last one back being the first one out: that one is warm. A queue instead of a stack would
/// have to be small, because it hands out the coldest; the stack may hold enough for the burst between two drains.
const POOL: usize = 1024;
/// How long the end of an engine waits for a collector that has been told to return.
const DISMISS: Duration = Duration::from_millis(20);
/// What an engine is built from.
#[derive(Debug)]
pub struct Setup {
    /// Where spans are counted.
    pub ledger: &'static Ledger,
    /// Who sends.
    pub resource: Resource,
    /// Limits of a span.
    pub limits: SpanLimits,
    /// What is kept.
    pub sampler: Sampler,
    /// Leave content out; see [`Resolver::without_content`].
    pub without_content: bool,
    /// Bytes that may wait in the whole pipeline.
    pub byte_limit: usize,
    /// Records that may wait in the buffer.
    pub record_limit: usize,
    /// Where spans go.
    pub sinks: Vec<(Arc<Destination>, Arc<dyn Sink>)>,
}

/// A message to the collector.
#[derive(Debug)]
enum Control {
    Wake,
    Flush { deadline: Instant, done: FlushToken },
    Shutdown { deadline: Instant, done: FlushToken },
    Park,
}

/// The collector's thread, if it runs, and how many forks are under way.
#[derive(Debug, Default)]
struct Collector {
    handle: Option<JoinHandle<()>>,
    exited: Option<Receiver<()>>,
    parks: u32,
    /// Whether it ran when the first of these forks began.
    resume: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Engine {
    ledger: &'static Ledger,
    sampler: Sampler,
    /// Nothing is ever recorded: there is no destination, or the sampler always says no.
    off: bool,
    /// Some sink wants to know of spans that begin.
    watched: bool,
    resource: Arc<Resource>,
    epoch: u32,
    budget: Arc<Budget>,
    record_limit: isize,
    records: (Sender<Box<Record>>, Receiver<Box<Record>>),
    #[expect(clippy::vec_box, reason = "records travel by their box; unboxed they would be copied each time")]
    pool: Mutex<Vec<Box<Record>>>,
    control: (Sender<Control>, Receiver<Control>),
    queued: AtomicIsize,
    /// The collector sleeps without a limit (or does not run yet): the next record has to wake it.
    asleep: AtomicBool,
    wake_sent: AtomicBool,
    closing: AtomicBool,
    collector: Mutex<Collector>,
    resolver: Mutex<Resolver>,
    open: OpenSpans,
    destinations: Vec<Arc<Destination>>,
    sinks: Vec<Arc<dyn Sink>>,
}

/// A flush or shutdown that is under way.
#[derive(Debug)]
pub struct Waiting(Receiver<()>);

impl Waiting {
    /// Waits until everything it is about is settled, at most until `deadline`. Says whether it is.
    #[must_use]
    pub fn until(&self, deadline: Instant) -> bool {
        // Tokens carry no message; the channel closes when the last one is gone.
        self.0.recv_deadline(deadline) != Err(RecvTimeoutError::Timeout)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while a lock was held is caught and counted elsewhere; the data is plain and stays usable.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Engine {
    /// Builds an engine; no thread starts before the first record.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let (destinations, sinks): (Vec<_>, Vec<_>) = setup.sinks.into_iter().unzip();
        Self {
            ledger: setup.ledger,
            off: sinks.is_empty() || setup.sampler.constant() == Some(false),
            watched: sinks.iter().any(|sink| sink.watches()),
            sampler: setup.sampler,
            resource: Arc::new(setup.resource),
            epoch: fork::epoch(),
            budget: Arc::new(Budget::new(setup.byte_limit)),
            record_limit: isize::try_from(setup.record_limit).unwrap_or(isize::MAX),
            records: unbounded(),
            pool: Mutex::new(Vec::new()),
            control: unbounded(),
            queued: AtomicIsize::new(0),
            asleep: AtomicBool::new(true),
            wake_sent: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            collector: Mutex::new(Collector::default()),
            resolver: Mutex::new(Resolver::new(setup.limits).without_content(setup.without_content)),
            open: OpenSpans::new(setup.byte_limit / 8),
            destinations,
            sinks,
        }
    }

    /// What is kept.
    #[inline]
    #[must_use]
    pub fn sampler(&self) -> &Sampler {
        &self.sampler
    }

    /// Whether nothing is ever recorded: spans need not even be prepared.
    #[inline]
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.off
    }

    /// Whether somebody wants to know of spans that begin: [`Engine::begin`].
    #[inline]
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.watched
    }

    /// The fork epoch in which it was built.
    #[inline]
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Where spans are counted.
    #[must_use]
    pub fn ledger(&self) -> &'static Ledger {
        self.ledger
    }

    /// The destinations, in the order in which they were configured.
    #[must_use]
    pub fn destinations(&self) -> &[Arc<Destination>] {
        &self.destinations
    }

    /// Bytes that wait anywhere in the pipeline.
    #[must_use]
    pub fn buffer_bytes(&self) -> usize {
        self.budget.used()
    }

    /// An empty record.
    #[inline]
    #[must_use]
    pub fn take_record(&self) -> Box<Record> {
        let mut pool = lock(&self.pool);
        let Some(mut record) = pool.pop() else { return Box::default() };
        // The collector's core had them last. While this span is made, the next ones come.
        if let [.., after, next] = pool.as_slice() {
            after.prefetch();
            next.prefetch_tape();
        }
        drop(pool);
        record.renew();
        record
    }

    /// Takes a record back that will not be submitted, or that has been resolved.
    pub fn give_back(&self, mut record: Box<Record>) {
        record.retire();
        let mut pool = lock(&self.pool);
        if pool.len() < POOL {
            pool.push(record);
        }
    }

    /// Takes many records back under one lock.
    #[expect(clippy::vec_box, reason = "as the pool")]
    fn give_all_back(&self, records: &mut Vec<Box<Record>>) {
        for record in records.iter_mut() {
            record.retire();
        }
        let mut pool = lock(&self.pool);
        let room = POOL.saturating_sub(pool.len()).min(records.len());
        pool.extend(records.drain(..room));
        drop(pool);
        records.clear();
    }

    /// Takes a finished record over. Never waits: what does not fit is dropped and counted.
    #[inline]
    pub fn submit(&'static self, mut record: Box<Record>) {
        self.ledger.spans.create();
        record.tape.trim();
        let bytes = record.bytes();
        if self.closing.load(Relaxed) {
            return self.refuse(record, DropReason::Shutdown);
        }
        if self.destinations.is_empty() {
            return self.refuse(record, DropReason::NoDestination);
        }
        if self.queued.load(Relaxed) >= self.record_limit {
            return self.refuse(record, DropReason::BufferFull);
        }
        let Some(before) = self.budget.try_charge(bytes) else {
            return self.refuse(record, DropReason::BufferFull);
        };
        if !self.enqueue(record, before, bytes) {
            self.ledger.spans.lose(Loss::Dropped(DropReason::Internal), 1);
        }
    }

    /// Notes that a span has begun, for those who watch. The collector tells it if it lasts.
    #[inline]
    pub fn begin(
        &'static self,
        record: &Record,
        context: &SpanContext,
        scope: Option<&Arc<Scope>>,
    ) -> Option<OpenSpan> {
        if self.closing.load(Relaxed) {
            return None;
        }
        let open = OpenSpan::keep(self, record, context, scope)?;
        // As in `enqueue`: either the collector sees it on its way to sleep, or we see it asleep.
        if self.asleep.load(SeqCst) {
            self.wake();
        }
        Some(open)
    }

    /// Hands a record, charged with `bytes` when `before` bytes of others waited, to the collector, which is woken for
    /// each batch.
    #[inline]
    fn enqueue(&'static self, record: Box<Record>, before: usize, bytes: usize) -> bool {
        if self.records.0.send(record).is_err() {
            // Unreachable while `self` holds the receiver; the charge must not leak all the same.
            self.budget.release(bytes);
            return false;
        }
        // SeqCst here and in the collector's way to sleep: either it sees this record, or we see it asleep.
        let waiting = self.queued.fetch_add(1, SeqCst) + 1;
        let full = waiting % BATCH_RECORDS.cast_signed() == 0 || before / BATCH_BYTES != (before + bytes) / BATCH_BYTES;
        if full || self.asleep.load(SeqCst) {
            self.wake();
        }
        if self.closing.load(SeqCst) {
            self.sweep();
        }
        true
    }

    #[cold]
    fn refuse(&self, record: Box<Record>, reason: DropReason) {
        self.ledger.spans.lose(Loss::Dropped(reason), 1);
        self.give_back(record);
    }

    #[cold]
    fn wake(&'static self) {
        if self.asleep.swap(false, SeqCst) {
            self.start();
        }
        if !self.wake_sent.swap(true, AcqRel) {
            let _ = self.control.0.send(Control::Wake);
        }
    }

    /// Starts the collector if it does not run. Says whether it runs then: a process may be out of threads.
    fn start(&'static self) -> bool {
        let mut collector = lock(&self.collector);
        if collector.parks > 0 {
            collector.resume = true;
            return false;
        }
        if collector.handle.as_ref().is_some_and(|handle| !handle.is_finished()) {
            return true;
        }
        let (exit, exited) = bounded(0);
        let spawned = crate::thread::spawn("ironspan-collect", move || {
            self.collect();
            drop::<Sender<()>>(exit);
        });
        if let Ok(handle) = spawned {
            collector.handle = Some(handle);
            collector.exited = Some(exited);
            return true;
        }
        self.ledger.internal_error();
        // The next record tries again.
        self.asleep.store(true, SeqCst);
        false
    }

    /// Asks for everything that is pending now to be sent. Nobody waits for it after `deadline`.
    pub fn begin_flush(&'static self, deadline: Instant) -> Waiting {
        self.ask(deadline, false)
    }

    fn ask(&'static self, deadline: Instant, ending: bool) -> Waiting {
        let (done, settled) = FlushToken::pair();
        self.asleep.store(false, SeqCst);
        // A collector that never had anything to do need not start for its own end.
        let unused = ending && self.queued.load(SeqCst) == 0 && lock(&self.collector).handle.is_none();
        if !unused && self.start() {
            let message = if ending { Control::Shutdown { deadline, done } } else { Control::Flush { deadline, done } };
            let _ = self.control.0.send(message);
        } else {
            // No thread is needed, or none can be had, or a fork is under way: this thread does the collector's part.
            self.drain(usize::MAX);
            for sink in &self.sinks {
                if ending {
                    sink.shutdown(deadline, done.clone());
                } else {
                    sink.flush(deadline, done.clone());
                }
            }
        }
        Waiting(settled)
    }

    /// Begins the engine's end: what is pending is sent until `deadline`, the rest is dropped and counted. Spans that
    /// end from now on are refused.
    pub fn begin_shutdown(&'static self, deadline: Instant) -> Waiting {
        self.closing.store(true, SeqCst);
        self.ask(deadline, true)
    }

    /// Completes the engine's end.
    pub fn end_shutdown(&self) {
        self.dismiss();
        self.sweep();
        // The engine stays behind for ever; what it kept for reuse need not. A collector that is still at it keeps its
        // own: nobody waits for it any longer.
        *lock(&self.pool) = Vec::new();
        self.open.clear();
        if let Ok(mut resolver) = self.resolver.try_lock() {
            *resolver = Resolver::default();
        }
    }

    /// Joins the collector, which has nothing left to do but to return. One that stalls is left alone; either way the
    /// engine, which stays for ever, must not keep what the system holds for a thread until it is joined.
    fn dismiss(&self) {
        let (handle, exited) = {
            let mut collector = lock(&self.collector);
            (collector.handle.take(), collector.exited.take())
        };
        if let (Some(handle), Some(exited)) = (handle, exited)
            && exited.recv_timeout(DISMISS) == Err(RecvTimeoutError::Disconnected)
            && handle.join().is_err()
        {
            self.ledger.internal_error();
        }
    }

    /// Counts as lost what reached the buffer after its end.
    #[cold]
    fn sweep(&self) {
        if lock(&self.collector).handle.as_ref().is_some_and(|handle| !handle.is_finished()) {
            return;
        }
        while let Ok(record) = self.records.1.try_recv() {
            self.queued.fetch_sub(1, SeqCst);
            self.budget.release(record.bytes());
            self.ledger.spans.lose(Loss::Dropped(DropReason::Shutdown), 1);
        }
    }

    /// Before a fork: all our threads leave, so that the child is not born beside half-done work and Python has no
    /// reason to warn of threads. Waits at most until `deadline`.
    pub fn park(&self, deadline: Instant) {
        let mut collector = lock(&self.collector);
        collector.parks += 1;
        if collector.parks > 1 {
            return;
        }
        let (handle, exited) = (collector.handle.take(), collector.exited.take());
        collector.resume = handle.is_some();
        drop(collector);
        if let (Some(handle), Some(exited)) = (handle, exited) {
            let _ = self.control.0.send(Control::Park);
            if exited.recv_deadline(deadline) == Err(RecvTimeoutError::Disconnected) {
                let _ = handle.join();
            }
        }
        for sink in &self.sinks {
            sink.park(deadline);
        }
    }

    /// After a fork, in the parent: goes on.
    pub fn resume(&'static self) {
        let restart = {
            let mut collector = lock(&self.collector);
            collector.parks = collector.parks.saturating_sub(1);
            if collector.parks > 0 {
                return;
            }
            collector.resume
        };
        for sink in &self.sinks {
            sink.resume();
        }
        if restart && !self.closing.load(Relaxed) {
            self.asleep.store(false, SeqCst);
            self.start();
            let _ = self.control.0.send(Control::Wake);
        }
    }
}

/// The engine that spans use. Null: none was built yet in this process.
static ENGINE: AtomicPtr<Engine> = AtomicPtr::new(ptr::null_mut());
/// Spans are off: after `shutdown()`, or because the SDK is disabled. Survives a fork.
static CLOSED: AtomicBool = AtomicBool::new(false);

/// The engine that spans use, if one was built.
#[inline]
#[must_use]
pub fn current() -> Option<&'static Engine> {
    // SAFETY: the pointer is null or came from a leaked box, which is never freed.
    #[allow(unsafe_code, reason = "one atomic pointer is the whole protocol between spans, fork and shutdown")]
    unsafe {
        ENGINE.load(Acquire).as_ref()
    }
}

/// Whether spans are off.
#[inline]
#[must_use]
pub fn is_closed() -> bool {
    CLOSED.load(Relaxed)
}

/// Turns spans off or on again.
pub fn set_closed(closed: bool) {
    CLOSED.store(closed, SeqCst);
}

/// Leaks `engine` and makes it the one that spans use if there is none yet. Returns the one in use.
#[must_use]
pub fn install_first(engine: Engine) -> &'static Engine {
    install_fork_handler();
    let leaked: &'static Engine = Box::leak(Box::new(engine));
    let installed = ENGINE.compare_exchange(ptr::null_mut(), ptr::from_ref(leaked).cast_mut(), AcqRel, Acquire);
    match installed {
        Ok(_) => leaked,
        // Another thread was quicker. Ours never started a thread; it stays behind unused.
        Err(_) => current().unwrap_or(leaked),
    }
}

/// Leaks `engine`, makes it the one that spans use, and returns the one before, which the caller shuts down.
pub fn replace(engine: Option<Engine>) -> Option<&'static Engine> {
    install_fork_handler();
    let new = engine.map_or(ptr::null_mut(), |engine| Box::into_raw(Box::new(engine)));
    let old = ENGINE.swap(new, AcqRel);
    // SAFETY: as in `current`.
    #[allow(unsafe_code, reason = "as in `current`")]
    unsafe {
        old.as_ref()
    }
}

/// In the child of a fork: no engine, a new epoch, an empty account. Stores only, as a fork handler must.
extern "C" fn after_fork_in_child() {
    ENGINE.store(ptr::null_mut(), SeqCst);
    fork::bump();
    crate::ledger::PROCESS.reset();
}

fn install_fork_handler() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| fork::on_child(after_fork_in_child));
}
