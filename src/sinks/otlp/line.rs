//! The line to one destination: takes parcels from its queue, one request at a time, and decides by the answer whether
//! they are settled, sent again, cut or given up.
//!
//! Order of events for one parcel:
//!
//! ```text
//! encode -> attempt -> accepted                    -> delivered, rejected as far as the receiver says so
//!              |---- 429 502 503 504, transport    -> the same again after a backoff, until shutdown
//!              |---- 401 403                       -> the same again after a pause
//!              |---- 413                           -> halves; a single span is shortened, then given up
//!              |---- 400 422                       -> halves, until the bad span is alone and rejected
//!              `---- any other                     -> rejected
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};

use super::client::Client;
use super::http::{self, Verdict};
use super::parcel::{LONGEST_ATTEMPT, Parcel, Suspicion, Unfit};
use super::queue::{Next, Portion, Queue, race};
use super::retry::{Backoff, BisectBudget, Class, Pace};
use crate::config::{OtlpConfig, Problem, Protocol};
use crate::failpoint::failpoint;
use crate::ids::generate_span_id;
use crate::ledger::DropReason;
use crate::sinks::{Destination, Health};

/// A receiver that took nothing of this size is not asked for less.
const LEAST_PORTION: usize = 16 * 1024;
/// How often a parcel is sent again when the receiver says yes and breaks off: after that its word counts.
const UNCLEAR_ANSWERS: u32 = 2;

/// Everything about one destination that outlives its task.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) destination: Arc<Destination>,
    pub(super) queue: Arc<Queue>,
    pub(super) config: OtlpConfig,
    pub(super) portion: Portion,
    pub(super) pace: Pace,
    /// The pattern of the task's client: no connections.
    pub(super) client: Client,
    /// Whether the task was ever started.
    started: AtomicBool,
}

/// Sends what is queued until the queue is closed and empty. Then nothing of the destination is pending.
pub(super) async fn run(line: Arc<Line>) {
    let mut sender = Sender {
        client: line.client.fresh(),
        backoff: Backoff::new(line.pace, generate_span_id().to_u64()),
        budget: BisectBudget::default(),
        portion: line.portion,
        flush_calls: 0,
        given_up: false,
        line: &line,
    };
    loop {
        if sender.given_up {
            break;
        }
        match line.queue.next(sender.portion, Instant::now()) {
            // The load goes back to the bound when all that was made of the parcel is settled.
            Next::Send(parcel, _load) => sender.deliver(parcel).await,
            Next::Wait(until) => line.queue.changed(until).await,
            Next::Ended => break,
        }
    }
    line.abandon();
}

impl Line {
    /// A line over which nothing was sent yet.
    pub(super) fn new(
        destination: Arc<Destination>,
        config: OtlpConfig,
        portion: Portion,
        pace: Pace,
    ) -> Result<Self, Problem> {
        let client = Client::new(&config)?;
        let queue = Arc::default();
        Ok(Self { destination, queue, config, portion, pace, client, started: AtomicBool::new(false) })
    }

    /// Whether the task was ever started.
    pub(super) fn started(&self) -> bool {
        self.started.load(Relaxed)
    }

    /// Notes that the task is started, and says whether it was before. Under the worker's lock.
    pub(super) fn start(&self) -> bool {
        self.started.swap(true, Relaxed)
    }

    /// Counts all that waits as lost in the shutdown.
    pub(super) fn abandon(&self) {
        for delivery in self.queue.drain() {
            delivery.dropped(DropReason::Shutdown);
        }
        self.destination.set_health(Health::Stopped);
    }
}

/// One task's state.
struct Sender<'a> {
    line: &'a Line,
    client: Client,
    backoff: Backoff,
    budget: BisectBudget,
    /// Starts as configured; its bytes shrink when the receiver finds a request too large.
    portion: Portion,
    /// Flushes seen: a new one may cut a backoff short.
    flush_calls: u64,
    /// The shutdown has left no time, or its one attempt failed.
    given_up: bool,
}

impl Sender<'_> {
    /// Sends a parcel and whatever becomes of it.
    async fn deliver(&mut self, parcel: Parcel) {
        self.budget.earn(parcel.spans());
        let mut stack = vec![parcel];
        while let Some(parcel) = stack.pop() {
            if self.given_up || self.line.queue.closing().is_some_and(|deadline| deadline <= Instant::now()) {
                self.given_up = true;
                parcel.dropped(DropReason::Shutdown);
            } else if parcel.suspicion == Suspicion::Certain && parcel.spans() > 1 {
                self.bisect(parcel, &mut stack);
            } else {
                self.send(parcel, &mut stack).await;
            }
        }
    }

    async fn send(&mut self, mut parcel: Parcel, stack: &mut Vec<Parcel>) {
        let body = match parcel.body(&self.line.config) {
            Ok(body) => body,
            Err(Unfit::TooLarge) => return self.too_large(parcel, stack),
            Err(Unfit::Hopeless) => {
                self.note("a span is larger than the receiver takes, even shortened");
                return parcel.dropped(DropReason::TooLarge);
            }
            Err(Unfit::Broken(why)) => {
                self.note(&format!("spans cannot be encoded: {why}"));
                return parcel.dropped(DropReason::Failed);
            }
        };
        let last_chance = self.line.queue.closing().is_some();
        self.flush_calls = self.line.queue.flush_calls();
        self.backoff.attempt(Instant::now());
        if parcel.suspicion != Suspicion::None {
            self.budget.spend();
        }
        match self.attempt(body).await {
            Verdict::Accepted { rejected, message } => {
                if let Some(message) = message {
                    self.note(&format!("accepted with a remark ({rejected} spans rejected): {message}"));
                }
                self.accepted(parcel, rejected, stack);
            }
            Verdict::Unclear { why } if parcel.unclear >= UNCLEAR_ANSWERS => {
                self.note(&format!("the receiver accepts, but its answers break off: {why}"));
                self.accepted(parcel, 0, stack);
            }
            Verdict::Unclear { why } => {
                parcel.unclear += 1;
                self.retry(parcel, stack, None, &why, last_chance).await;
            }
            Verdict::Failed { class: Class::Retry, retry_after, why } => {
                self.retry(parcel, stack, retry_after, &why, last_chance).await;
            }
            Verdict::Failed { class: Class::Pause, why, .. } => self.pause(parcel, stack, &why, last_chance).await,
            Verdict::Failed { class, why, .. } => {
                // It is there, and says no: a pace that was kept while it was away is over.
                self.backoff.answered();
                self.note(&why);
                match class {
                    Class::Split => self.too_large(parcel, stack),
                    Class::Bisect => self.bisect(parcel, stack),
                    Class::Retry | Class::Pause | Class::Reject => parcel.rejected(),
                }
            }
        }
    }

    fn accepted(&mut self, parcel: Parcel, rejected: usize, stack: &mut [Parcel]) {
        self.backoff.answered();
        self.line.destination.set_health(Health::Healthy);
        if parcel.suspicion == Suspicion::FirstHalf
            && let Some(second) = stack.last_mut()
        {
            second.suspicion = Suspicion::Certain;
        }
        parcel.delivered(rejected);
    }

    fn note(&self, what: &str) {
        self.line.destination.set_last_error(what);
    }

    /// One request, within its own deadline and that of a shutdown.
    async fn attempt(&mut self, body: bytes::Bytes) -> Verdict {
        if failpoint!("otlp.send") {
            return Verdict::transport("failpoint otlp.send");
        }
        let line = self.line;
        let limit = line.config.timeout.unwrap_or(LONGEST_ATTEMPT);
        let mut deadline = Instant::now() + limit;
        let reply = {
            let mut request = std::pin::pin!(self.client.post(body));
            loop {
                if let Some(closing) = line.queue.closing() {
                    deadline = deadline.min(closing);
                }
                match race(request.as_mut(), line.queue.changed(Some(deadline))).await {
                    Ok(reply) => break Some(reply),
                    Err(()) if Instant::now() >= deadline => break None,
                    Err(()) => {}
                }
            }
        };
        match reply {
            Some(Ok(reply)) => match line.config.protocol {
                Protocol::Grpc => super::grpc::verdict(&reply, SystemTime::now()),
                Protocol::HttpProtobuf | Protocol::HttpJson => http::verdict(&reply, SystemTime::now()),
            },
            Some(Err(why)) => Verdict::transport(why),
            None => {
                let answered = self.client.answered();
                // The connection may be dead without knowing; the next attempt makes a new one.
                self.client = self.client.fresh();
                let why = match line.queue.closing() {
                    Some(closing) if closing <= Instant::now() => "the shutdown cut the request off".to_owned(),
                    _ => format!("no complete answer within {:.1} s", limit.as_secs_f64()),
                };
                if answered { Verdict::Unclear { why } } else { Verdict::transport(why) }
            }
        }
    }

    async fn retry(
        &mut self,
        parcel: Parcel,
        stack: &mut Vec<Parcel>,
        retry_after: Option<Duration>,
        why: &str,
        last_chance: bool,
    ) {
        self.note(why);
        self.line.destination.set_health(Health::Retrying);
        stack.push(parcel);
        let next = self.backoff.failed(Instant::now(), retry_after);
        self.wait(next, retry_after.is_some(), last_chance).await;
    }

    async fn pause(&mut self, parcel: Parcel, stack: &mut Vec<Parcel>, why: &str, last_chance: bool) {
        self.note(why);
        self.line.destination.set_health(Health::Paused);
        stack.push(parcel);
        let next = self.backoff.refused(Instant::now());
        self.wait(next, false, last_chance).await;
    }

    /// Waits for the next attempt. A wait of our own ends early for a shutdown, which has one attempt, and for a new
    /// flush, as far as the pace allows; a wait that the receiver asked for does not.
    async fn wait(&mut self, mut next: Instant, asked: bool, last_chance: bool) {
        loop {
            let now = Instant::now();
            if let Some(closing) = self.line.queue.closing() {
                if last_chance || closing <= now || asked && next >= closing {
                    self.given_up = true;
                    return;
                }
                if !asked {
                    return;
                }
            }
            let flush_calls = self.line.queue.flush_calls();
            if flush_calls != self.flush_calls {
                self.flush_calls = flush_calls;
                if !asked {
                    next = next.min(self.backoff.earliest(now));
                }
            }
            if next <= now {
                return;
            }
            self.line.queue.changed(Some(next)).await;
        }
    }

    /// More than the receiver takes: halves, or a shorter span. Later requests are made smaller at once.
    fn too_large(&mut self, mut parcel: Parcel, stack: &mut Vec<Parcel>) {
        let bytes = parcel.bytes();
        if parcel.spans() == 1 {
            parcel.shrink();
            return stack.push(parcel);
        }
        self.portion.bytes = self.portion.bytes.min((bytes / 2).max(LEAST_PORTION));
        push_halves(parcel.halve_by_bytes(), stack, |_, _| {});
    }

    /// Something in the parcel is wrong: halves, until it is alone or the budget for extra requests is used up.
    fn bisect(&mut self, parcel: Parcel, stack: &mut Vec<Parcel>) {
        if parcel.spans() == 1 || !self.budget.is_left() {
            return parcel.rejected();
        }
        push_halves(parcel.halve_by_spans(), stack, |first, second| {
            first.suspicion = Suspicion::FirstHalf;
            second.suspicion = Suspicion::Half;
        });
    }
}

fn push_halves(
    halves: Result<(Parcel, Parcel), Parcel>,
    stack: &mut Vec<Parcel>,
    mark: impl FnOnce(&mut Parcel, &mut Parcel),
) {
    match halves {
        Ok((mut first, mut second)) => {
            mark(&mut first, &mut second);
            stack.push(second);
            stack.push(first);
        }
        Err(whole) => stack.push(whole),
    }
}
