//! When to try again, and what an answer means: total functions over statuses, `Retry-After` and clocks, without I/O.
//!
//! Sources: OTLP specification, "OTLP/HTTP Response", "OTLP/HTTP Throttling", "OTLP/gRPC Throttling"; RFC 9110, section
//! 10.2.3 (Retry-After).

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime};

use http::StatusCode;

/// The longest that a receiver can make us wait. A mistyped hour would otherwise lose what the queue cannot hold.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60);

/// What an answer without success means for the request that it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The receiver is busy or away: the same request again, later.
    Retry,
    /// The receiver does not know us: keep everything, try slowly.
    Pause,
    /// The request is too large: again in smaller parts.
    Split,
    /// Something in the request is wrong: find out what, and send the rest.
    Bisect,
    /// The receiver will never take it.
    Reject,
}

/// What an HTTP status other than 2xx means.
#[must_use]
pub fn classify(status: StatusCode) -> Class {
    match status.as_u16() {
        429 | 502 | 503 | 504 => Class::Retry,
        401 | 403 => Class::Pause,
        413 => Class::Split,
        // 422 is how validating web frameworks say 400.
        400 | 422 => Class::Bisect,
        // Redirects too: following one would carry credentials to wherever it points.
        _ => Class::Reject,
    }
}

/// The wait that a `Retry-After` header asks for: whole seconds or an HTTP date, at most 60 s. `None` for anything else
/// (negative, fractional, a date that has passed, garbage), so that the caller backs off as usual.
#[must_use]
pub fn parse_retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    // No date and no sensible number is longer; a number of a thousand digits is garbage.
    if text.is_empty() || text.len() > 64 {
        return None;
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let seconds = text.parse::<u64>().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER));
    }
    let wait = httpdate::parse_http_date(text).ok()?.duration_since(now).ok()?;
    Some(clamp_retry_after(wait))
}

/// A wait that the receiver asked for, within our limit.
#[must_use]
pub fn clamp_retry_after(wait: Duration) -> Duration {
    wait.min(LONGEST_RETRY_AFTER)
}

/// How fast a failing receiver is tried again.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Upper bound of the first wait; doubles with every failure.
    pub base: Duration,
    /// Upper bound of all waits.
    pub cap: Duration,
    /// The wait while the receiver refuses our credentials.
    pub pause: Duration,
    /// No window of this length sees more than [`Pace::REQUESTS`] requests while the receiver fails.
    pub window: Duration,
}

impl Pace {
    /// See [`Pace::window`].
    pub const REQUESTS: usize = 12;
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            base: Duration::from_secs(1),
            cap: Duration::from_secs(30),
            pause: Duration::from_secs(30),
            window: Duration::from_secs(60),
        }
    }
}

/// Exponential backoff with full jitter: each wait is uniform between nothing and a bound that doubles, so that many
/// processes whose receiver comes back do not come back together.
#[derive(Debug)]
pub struct Backoff {
    pace: Pace,
    random: fastrand::Rng,
    failures: u32,
    /// Beginnings of the last attempts since the last answer, at most [`Pace::REQUESTS`].
    attempts: VecDeque<Instant>,
}

impl Backoff {
    /// No failure yet. `seed` must differ between processes, forked ones too.
    #[must_use]
    pub fn new(pace: Pace, seed: u64) -> Self {
        Self { pace, random: fastrand::Rng::with_seed(seed), failures: 0, attempts: VecDeque::new() }
    }

    /// An attempt begins.
    pub fn attempt(&mut self, now: Instant) {
        if self.attempts.len() >= Pace::REQUESTS {
            self.attempts.pop_front();
        }
        self.attempts.push_back(now);
    }

    /// The receiver took a request, or refused it for what it holds: the next failure starts over.
    pub fn answered(&mut self) {
        self.failures = 0;
        self.attempts.clear();
    }

    /// An attempt failed: when to try again. A wait that the receiver asked for is never shortened, only spread.
    pub fn failed(&mut self, now: Instant, retry_after: Option<Duration>) -> Instant {
        let bound = self.pace.base.saturating_mul(1 << self.failures.min(16)).min(self.pace.cap);
        self.failures = self.failures.saturating_add(1);
        let wait = match retry_after {
            Some(asked) => asked + self.pace.base.mul_f64(self.random.f64()),
            None => bound.mul_f64(self.random.f64()),
        };
        (now + wait).max(self.earliest(now))
    }

    /// When to try again after credentials were refused.
    pub fn refused(&mut self, now: Instant) -> Instant {
        let jitter = self.pace.pause.mul_f64(self.random.f64() / 4.0);
        (now + self.pace.pause + jitter).max(self.earliest(now))
    }

    /// The first moment at which a request keeps to the window.
    #[must_use]
    pub fn earliest(&self, now: Instant) -> Instant {
        match self.attempts.front() {
            Some(&oldest) if self.attempts.len() >= Pace::REQUESTS => (oldest + self.pace.window).max(now),
            _ => now,
        }
    }
}

/// Extra requests that may be spent on finding bad spans: 20 for every 10,000 spans sent, never more than 20 at once.
/// Isolating one span among 512 takes at most 18, and a receiver that refuses everything costs one request a batch.
#[derive(Debug)]
pub struct BisectBudget {
    /// In units of 1/500 request; below zero after what could not be saved.
    units: i64,
}

impl Default for BisectBudget {
    /// A full budget.
    fn default() -> Self {
        Self { units: Self::MOST }
    }
}

impl BisectBudget {
    const REQUEST: i64 = 500;
    const MOST: i64 = 20 * Self::REQUEST;

    /// `spans` spans were sent for the first time.
    pub fn earn(&mut self, spans: usize) {
        self.units = self.units.saturating_add_unsigned(spans as u64).min(Self::MOST);
    }

    /// Whether there is enough for an extra request.
    #[must_use]
    pub fn is_left(&self) -> bool {
        self.units >= Self::REQUEST
    }

    /// An extra request is sent. Beyond the budget that happens only for halves that were cut off before, and is paid
    /// back by later spans.
    pub fn spend(&mut self) {
        self.units = self.units.saturating_sub(Self::REQUEST);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests: a failure here is the finding")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn retry_after_is_obeyed_clamped_or_ignored() {
        let now = at(784_111_777); // Sun, 06 Nov 1994 08:49:37 GMT
        let seconds = |count| Some(Duration::from_secs(count));
        for (text, expected) in [
            ("2", seconds(2)),
            (" 2 ", seconds(2)),
            ("0", seconds(0)),
            ("3600", seconds(60)),
            ("99999999999999999999999999", seconds(60)),
            ("Sun, 06 Nov 1994 08:49:40 GMT", seconds(3)),
            ("Sunday, 06-Nov-94 08:49:40 GMT", seconds(3)),
            ("Sun Nov  6 08:49:40 1994", seconds(3)),
            ("Sun, 06 Nov 1994 09:49:37 GMT", seconds(60)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("1e99", None),
            ("abc", None),
            ("", None),
            ("١", None),
        ] {
            assert_eq!(parse_retry_after(text, now), expected, "{text}");
        }
        assert_eq!(parse_retry_after(&"9".repeat(10_240), now), None);
    }

    #[test]
    fn statuses_are_classified_as_the_specification_says() {
        let class = |code| classify(StatusCode::from_u16(code).unwrap());
        for code in [429, 502, 503, 504] {
            assert_eq!(class(code), Class::Retry, "{code}");
        }
        for code in [300, 301, 302, 303, 307, 308, 402, 404, 405, 406, 408, 409, 415, 500, 501, 505, 999] {
            assert_eq!(class(code), Class::Reject, "{code}");
        }
        assert_eq!([class(401), class(403)], [Class::Pause; 2]);
        assert_eq!([class(400), class(422)], [Class::Bisect; 2]);
        assert_eq!(class(413), Class::Split);
    }

    /// Attempts in the first `minutes` against a receiver that always fails, without `Retry-After`.
    fn attempts(seed: u64, minutes: u32) -> Vec<Instant> {
        let mut backoff = Backoff::new(Pace::default(), seed);
        let start = Instant::now();
        let (mut now, mut times) = (start, Vec::new());
        while now < start + Duration::from_secs(60) * minutes {
            times.push(now);
            backoff.attempt(now);
            now = backoff.failed(now, None);
        }
        times
    }

    #[test]
    fn a_failing_receiver_sees_at_most_twelve_requests_in_any_minute() {
        for seed in 0..2_000 {
            let times = attempts(seed, 5);
            for (first, last) in times.iter().zip(times.iter().skip(Pace::REQUESTS)) {
                assert!(*last - *first >= Duration::from_secs(60), "seed {seed}");
            }
            assert!(times.len() > 5, "seed {seed}: {}", times.len());
        }
    }

    #[test]
    fn waits_of_different_processes_do_not_coincide() {
        let first = attempts(1, 5);
        let second = attempts(2, 5);
        let gap = |left: &Instant, right: &Instant| (*left).max(*right) - (*left).min(*right);
        let close = second
            .iter()
            .skip(1)
            .filter(|time| first.iter().skip(1).any(|other| gap(time, other) < Duration::from_millis(50)));
        assert!(close.count() <= 3);
    }

    #[test]
    fn an_answer_starts_the_backoff_over() {
        let mut backoff = Backoff::new(Pace::default(), 3);
        let now = Instant::now();
        (0..20).for_each(|_| {
            backoff.attempt(now);
            backoff.failed(now, None);
        });
        assert!(backoff.earliest(now) > now);
        backoff.answered();
        assert_eq!(backoff.earliest(now), now);
        backoff.attempt(now);
        assert!(backoff.failed(now, None) <= now + Duration::from_secs(1));
    }

    #[test]
    fn finding_one_bad_span_fits_the_budget_and_more_is_earned_by_sending() {
        let spend_all = |budget: &mut BisectBudget| {
            let mut spent = 0;
            while budget.is_left() {
                budget.spend();
                spent += 1;
            }
            spent
        };
        let mut budget = BisectBudget::default();
        assert_eq!(spend_all(&mut budget), 20);
        budget.earn(10_000);
        assert_eq!(spend_all(&mut budget), 20);
        budget.earn(512);
        assert_eq!(spend_all(&mut budget), 1);
        budget.spend();
        budget.earn(500);
        assert!(!budget.is_left(), "what was spent beyond the budget is paid back first");
    }

    proptest! {
        #[test]
        fn any_retry_after_gives_a_bounded_wait_or_none(text in any::<String>(), now in 0_u64..10_000_000_000) {
            prop_assert!(parse_retry_after(&text, at(now)).is_none_or(|wait| wait <= LONGEST_RETRY_AFTER));
        }

        #[test]
        fn a_wait_that_was_asked_for_is_never_cut_short(
            asked in proptest::option::of(0_u64..=60), failures in 0_u32..40, seed in any::<u64>()
        ) {
            let mut backoff = Backoff::new(Pace::default(), seed);
            let now = Instant::now();
            for _ in 0..failures {
                backoff.failed(now, None);
            }
            let asked = asked.map(Duration::from_secs);
            let next = backoff.failed(now, asked);
            prop_assert!(next >= now + asked.unwrap_or_default());
            prop_assert!(next <= now + asked.unwrap_or_default() + Duration::from_secs(30));
        }
    }
}
