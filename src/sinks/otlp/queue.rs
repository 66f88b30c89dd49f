//! What waits for one destination: deliveries in order, bounded in bytes, and the flushes and the shutdown that are
//! waited for. Application threads and the collector push; the destination's task takes.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::parcel::Parcel;
use crate::finished::Resource;
use crate::sinks::{Delivery, FlushToken};

/// How much one request carries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Portion {
    /// Spans at most, and enough not to wait for more.
    pub(super) spans: usize,
    /// Bytes at most, and enough not to wait for more. One span may have more.
    pub(super) bytes: usize,
    /// The longest that spans wait for company.
    pub(super) delay: Duration,
}

/// A flush that somebody waits for.
#[derive(Debug)]
struct Flush {
    /// It is done when this many deliveries, of all that were ever accepted, have been settled.
    accepted: u64,
    deadline: Instant,
    _done: FlushToken,
}

impl Flush {
    /// Whether nobody waits for it any more. Later than its deadline: who waits takes a dropped token for success, and
    /// must not see one drop at the moment at which it gives up.
    fn is_forgotten(&self, now: Instant) -> bool {
        self.deadline + Duration::from_secs(1) < now
    }
}

#[derive(Debug, Default)]
struct Inner {
    waiting: VecDeque<(Delivery, usize)>,
    /// When the oldest of `waiting` came.
    since: Option<Instant>,
    waiting_spans: usize,
    waiting_bytes: usize,
    /// Bytes taken and not settled.
    taken_bytes: usize,
    /// Deliveries ever accepted.
    accepted: u64,
    flushes: Vec<Flush>,
    /// What `accepted` was at the last flush: up to there nothing waits for company, even if nobody waits for it.
    asked: u64,
    /// Flushes ever asked for.
    flush_calls: u64,
    closing: Option<Instant>,
    /// Shutdowns that are waited for.
    farewells: Vec<FlushToken>,
    /// Nothing takes from the queue any more.
    ended: bool,
}

/// The queue of one destination.
#[derive(Debug, Default)]
pub(super) struct Queue {
    inner: Mutex<Inner>,
    wake: Notify,
}

/// Why a delivery was not accepted. It comes back, to be settled outside the lock.
#[derive(Debug)]
pub(super) enum Refused {
    /// The byte bound is reached.
    Full(Delivery),
    /// The destination shuts down.
    Closing(Delivery),
}

/// What there is to do.
#[derive(Debug)]
pub(super) enum Next {
    /// Send this. The load is the parcel's share of the bound.
    Send(Parcel, Load),
    /// Nothing until this moment, or until woken.
    Wait(Option<Instant>),
    /// Nothing any more: the queue is empty and closing.
    Ended,
}

/// Bytes that were taken from the queue and count against its bound until this is dropped.
#[derive(Debug)]
pub(super) struct Load {
    queue: Arc<Queue>,
    bytes: usize,
}

impl Drop for Load {
    fn drop(&mut self) {
        self.queue.lock().taken_bytes -= self.bytes;
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a delivery over, unless it would make more than `limit` bytes wait. A single delivery over the limit finds
    /// an empty queue only.
    pub(super) fn push(&self, delivery: Delivery, limit: usize) -> Result<(), Refused> {
        let bytes = delivery.approximate_bytes();
        let mut inner = self.lock();
        if inner.closing.is_some() {
            return Err(Refused::Closing(delivery));
        }
        let held = inner.waiting_bytes + inner.taken_bytes;
        if held > 0 && held + bytes > limit {
            return Err(Refused::Full(delivery));
        }
        inner.since.get_or_insert_with(Instant::now);
        inner.waiting_spans += delivery.len();
        inner.waiting_bytes += bytes;
        inner.accepted += 1;
        inner.waiting.push_back((delivery, bytes));
        drop(inner);
        self.wake.notify_one();
        Ok(())
    }

    /// Notes a flush. The token is dropped when everything accepted so far is settled, or some time after `deadline`.
    pub(super) fn flush(&self, deadline: Instant, done: FlushToken) {
        let mut inner = self.lock();
        // A process that flushes often at a dead receiver must not collect these.
        let now = Instant::now();
        inner.flushes.retain(|flush| !flush.is_forgotten(now));
        inner.flush_calls += 1;
        let accepted = inner.accepted;
        inner.asked = accepted;
        if !inner.ended {
            inner.flushes.push(Flush { accepted, deadline, _done: done });
        }
        drop(inner);
        self.wake.notify_one();
    }

    /// No deliveries are accepted from now on. Of several deadlines the first counts.
    pub(super) fn close(&self, deadline: Instant, done: FlushToken) {
        let mut inner = self.lock();
        inner.closing = Some(inner.closing.map_or(deadline, |earlier| earlier.min(deadline)));
        if !inner.ended {
            inner.farewells.push(done);
        }
        drop(inner);
        self.wake.notify_one();
    }

    /// Nothing will be taken any more: returns the shutdowns that are waited for. Later ones are done at once.
    pub(super) fn end(&self) -> Vec<FlushToken> {
        let mut inner = self.lock();
        inner.ended = true;
        inner.flushes.clear();
        std::mem::take(&mut inner.farewells)
    }

    /// The deadline of the shutdown, once there is one.
    pub(super) fn closing(&self) -> Option<Instant> {
        self.lock().closing
    }

    /// How many flushes were ever asked for: a new one is a reason to try before the backoff ends.
    pub(super) fn flush_calls(&self) -> u64 {
        self.lock().flush_calls
    }

    #[cfg(test)]
    pub(super) fn waiting_flushes(&self) -> usize {
        self.lock().flushes.len()
    }

    /// What to do next. Called with nothing in hand, so what is not waiting is settled.
    pub(super) fn next(self: &Arc<Self>, portion: Portion, now: Instant) -> Next {
        let mut inner = self.lock();
        let settled = inner.accepted - inner.waiting.len() as u64;
        inner.flushes.retain(|flush| flush.accepted > settled && !flush.is_forgotten(now));
        let Some(since) = inner.since else {
            return if inner.closing.is_some() { Next::Ended } else { Next::Wait(None) };
        };
        let due = since + portion.delay;
        let enough = inner.waiting_spans >= portion.spans || inner.waiting_bytes >= portion.bytes;
        let asked = inner.asked > settled || inner.closing.is_some();
        if !(enough || asked || due <= now) {
            return Next::Wait(Some(due));
        }
        let parcel = inner.take(portion);
        let bytes = parcel.bytes();
        Next::Send(parcel, Load { queue: Arc::clone(self), bytes })
    }

    /// Everything that waits, and the flushes with it.
    pub(super) fn drain(&self) -> Vec<Delivery> {
        let mut inner = self.lock();
        let drained = inner.waiting.drain(..).map(|(delivery, _)| delivery).collect();
        (inner.since, inner.waiting_spans, inner.waiting_bytes) = (None, 0, 0);
        inner.flushes.clear();
        drained
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().waiting.is_empty()
    }

    /// Returns when something has changed, or at `until`.
    pub(super) async fn changed(&self, until: Option<Instant>) {
        let woken = self.wake.notified();
        match until {
            None => woken.await,
            Some(until) => {
                // Which of the two it was is found out by looking.
                let _ = race(woken, tokio::time::sleep_until(until.into())).await;
            }
        }
    }
}

impl Inner {
    /// The first deliveries, as one request: of one resource, and within the portion. A delivery that does not fit is
    /// cut; a span that does not fit goes alone.
    fn take(&mut self, portion: Portion) -> Parcel {
        let mut parcel = Parcel::default();
        let mut resource: Option<Arc<Resource>> = None;
        while let Some((mut delivery, mut bytes)) = self.waiting.pop_front() {
            let own = delivery.batch().resource();
            let same = resource.as_ref().is_none_or(|first| Arc::ptr_eq(first, own));
            let fit = if same { parcel.fit(&delivery, portion.spans, portion.bytes) } else { 0 };
            if fit == 0 {
                self.waiting.push_front((delivery, bytes));
                break;
            }
            resource.get_or_insert_with(|| Arc::clone(own));
            if fit < delivery.len() {
                // The rest keeps the place of the delivery, which counts as settled when the rest is.
                let rest = delivery.split_off(fit);
                let kept = delivery.approximate_bytes();
                self.waiting.push_front((rest, bytes.saturating_sub(kept)));
                bytes = kept;
            }
            self.waiting_spans -= delivery.len();
            self.waiting_bytes -= bytes;
            self.taken_bytes += bytes;
            parcel.push(delivery, bytes);
            if parcel.spans() >= portion.spans || parcel.bytes() >= portion.bytes {
                break;
            }
        }
        if self.waiting.is_empty() {
            self.since = None;
        }
        parcel
    }
}

/// Whichever ends first.
pub(super) async fn race<L: Future, R: Future>(left: L, right: R) -> Result<L::Output, R::Output> {
    let (mut left, mut right) = (pin!(left), pin!(right));
    poll_fn(|context| {
        if let Poll::Ready(value) = left.as_mut().poll(context) {
            return Poll::Ready(Ok(value));
        }
        right.as_mut().poll(context).map(Err)
    })
    .await
}
