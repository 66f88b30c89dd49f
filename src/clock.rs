//! Ticks for spans, and their way back to wall time.
//!
//! A span is stamped with raw ticks: the processor's time-stamp counter where it is invariant (11 ns a reading), else
//! the operating system's monotonic clock (28 ns). The collector takes a fresh anchor per drain and turns ticks into
//! Unix nanoseconds from it, so end times carry no drift and durations are monotonic whatever the wall clock does.
//! `fastant` does the same, but calibrates in a constructor when the library is loaded, and importing must do nothing.

#![allow(unsafe_code, reason = "reading the counter and the clock are the two system primitives this file wraps")]

use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

/// Which source [`ticks`] reads: 0 not decided, 1 counter, 2 operating system, 3 by hand (tests).
static SOURCE: AtomicU8 = AtomicU8::new(0);
/// The first anchor: counter and monotonic nanoseconds, for the counter's rate.
static FIRST_TICKS: AtomicU64 = AtomicU64::new(0);
static FIRST_NANOS: AtomicU64 = AtomicU64::new(0);
/// Unix nanoseconds of the clock driven by hand.
static MANUAL: AtomicI64 = AtomicI64::new(0);

/// Nanoseconds of the operating system's monotonic clock.
fn monotonic() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec, and CLOCK_MONOTONIC exists on every supported system.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    #[allow(clippy::useless_conversion, reason = "the fields' types differ between systems")]
    let (seconds, nanos) = (i64::from(time.tv_sec), i64::from(time.tv_nsec));
    (seconds * 1_000_000_000 + nanos).cast_unsigned()
}

/// Unix nanoseconds of the wall clock.
fn wall() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

#[cfg(target_arch = "x86_64")]
fn counter() -> u64 {
    // SAFETY: every x86-64 processor has the instruction.
    unsafe { core::arch::x86_64::_rdtsc() }
}

#[cfg(not(target_arch = "x86_64"))]
fn counter() -> u64 {
    monotonic()
}

/// Whether the counter runs at one rate on all cores: the processor says so (`CPUID` 8000'0007h, EDX bit 8), and the
/// kernel has not found otherwise.
#[cfg(target_arch = "x86_64")]
fn counter_is_usable() -> bool {
    if core::arch::x86_64::__cpuid(0x8000_0000).eax < 0x8000_0007
        || core::arch::x86_64::__cpuid(0x8000_0007).edx & (1 << 8) == 0
    {
        return false;
    }
    // Where the kernel keeps no such file, the processor's word stands.
    std::fs::read_to_string("/sys/devices/system/clocksource/clocksource0/available_clocksource")
        .map_or(true, |sources| sources.split_whitespace().any(|source| source == "tsc"))
}

#[cfg(not(target_arch = "x86_64"))]
fn counter_is_usable() -> bool {
    false
}

/// Counter and monotonic clock read together: the best of a few tries, so that a preempted one does not count.
fn paired() -> (u64, u64) {
    let mut best = (u64::MAX, 0, 0);
    for _ in 0..4 {
        let before = counter();
        let nanos = monotonic();
        let after = counter();
        let width = after.wrapping_sub(before);
        if width < best.0 {
            best = (width, before.wrapping_add(width / 2), nanos);
        }
    }
    (best.1, best.2)
}

#[cold]
fn decide() -> u8 {
    let source = if counter_is_usable() { 1 } else { 2 };
    let (ticks, nanos) = paired();
    FIRST_TICKS.store(ticks, Relaxed);
    FIRST_NANOS.store(nanos, Relaxed);
    // Two threads may decide at once: both find the same source, and either anchor serves.
    SOURCE.store(source, Relaxed);
    source
}

/// The time now, in ticks of no fixed unit.
#[inline]
#[must_use]
pub fn ticks() -> u64 {
    match SOURCE.load(Relaxed) {
        1 => counter(),
        2 => monotonic(),
        3 => MANUAL.load(Relaxed).cast_unsigned(),
        _ => match decide() {
            1 => counter(),
            _ => monotonic(),
        },
    }
}

/// Drives the clock by hand from now on, at `unix_nano`; `None` gives it back to the machine. For tests of traced
/// programs (`ironspan.testing.ManualClock`).
pub fn set_manual(unix_nano: Option<i64>) {
    if let Some(nanos) = unix_nano {
        MANUAL.store(nanos, Relaxed);
        SOURCE.store(3, Relaxed);
    } else {
        SOURCE.store(0, Relaxed);
    }
}

/// One moment in ticks and in wall time, and the length of a tick.
#[derive(Clone, Copy, Debug)]
pub struct Anchor {
    ticks: u64,
    unix_nano: i64,
    nanos_per_tick: f64,
}

impl Anchor {
    /// An anchor at this moment.
    #[must_use]
    pub fn now() -> Self {
        match SOURCE.load(Relaxed) {
            1 => {
                let (ticks, nanos) = paired();
                let unix_nano = wall();
                let passed_ticks = ticks.wrapping_sub(FIRST_TICKS.load(Relaxed));
                let passed_nanos = nanos.saturating_sub(FIRST_NANOS.load(Relaxed));
                #[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
                let nanos_per_tick = if passed_ticks == 0 { 1.0 } else { passed_nanos as f64 / passed_ticks as f64 };
                Self { ticks, unix_nano, nanos_per_tick }
            }
            2 => Self { ticks: monotonic(), unix_nano: wall(), nanos_per_tick: 1.0 },
            3 => {
                let nanos = MANUAL.load(Relaxed);
                Self { ticks: nanos.cast_unsigned(), unix_nano: nanos, nanos_per_tick: 1.0 }
            }
            _ => {
                decide();
                Self { ticks: ticks(), unix_nano: wall(), nanos_per_tick: 1.0 }
            }
        }
    }

    /// Nanoseconds between two readings, never negative.
    #[must_use]
    pub fn nanos_between(&self, start: u64, end: u64) -> u64 {
        self.nanos(end.wrapping_sub(start).cast_signed().max(0))
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "differences are far below 2^52 ticks, and not negative"
    )]
    fn nanos(&self, ticks: i64) -> u64 {
        (ticks as f64 * self.nanos_per_tick) as u64
    }

    /// Unix nanoseconds of a reading.
    #[must_use]
    pub fn unix_nano(&self, ticks: u64) -> u64 {
        let back = self.ticks.wrapping_sub(ticks).cast_signed();
        let nanos = if back >= 0 {
            self.unix_nano.saturating_sub_unsigned(self.nanos(back))
        } else {
            self.unix_nano.saturating_add_unsigned(self.nanos(-back))
        };
        nanos.max(0).cast_unsigned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_become_wall_time_and_durations() {
        let start = ticks();
        let wall_before = wall();
        while wall() - wall_before < 2_000_000 {}
        let end = ticks();
        let anchor = Anchor::now();
        let length = anchor.nanos_between(start, end);
        assert!((1_900_000..200_000_000).contains(&length), "2 ms were measured as {length} ns");
        let began = anchor.unix_nano(start).cast_signed();
        assert!((began - wall_before).abs() < 1_000_000_000, "the start is off by {} ns", began - wall_before);
    }

    #[test]
    fn an_end_before_its_start_has_no_length() {
        let anchor = Anchor::now();
        assert_eq!(anchor.nanos_between(1_000, 10), 0);
    }
}
