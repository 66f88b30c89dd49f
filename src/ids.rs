//! Trace and span ids: the two types, their lowercase hex text, and the generators.
//!
//! A generator is a `fastrand` state per thread (under a nanosecond per draw; a system call costs 444), seeded from the
//! OS and seeded again in a forked child. Two switches replace it: ids straight from the OS, for micro-VMs restored
//! from a snapshot, whose clones share all memory; and counted ids, for tests. Both hide behind one relaxed byte.

use std::cell::Cell;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::str::FromStr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use crate::fork;

/// Why a text is no id: wrong length, or a character outside `0-9a-f`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} lowercase hex characters")]
pub struct ParseIdError {
    expected: usize,
}

/// Identifies a trace: 16 bytes, in network order. All zeros means "none".
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct TraceId([u8; 16]);

/// Identifies a span within its trace: 8 bytes, in network order. All zeros means "none".
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct SpanId([u8; 8]);

macro_rules! id_type {
    ($name:ident, $bytes:literal, $int:ty, $to_int:ident, $from_int:ident) => {
        impl $name {
            /// The id that stands for "none": all zeros.
            pub const INVALID: Self = Self([0; $bytes]);

            /// The id made of these bytes, most significant first. Zeros are accepted: see [`Self::is_valid`].
            #[inline]
            #[must_use]
            pub const fn from_bytes(bytes: [u8; $bytes]) -> Self {
                Self(bytes)
            }

            /// The bytes, most significant first, as OTLP carries them.
            #[inline]
            #[must_use]
            pub const fn to_bytes(self) -> [u8; $bytes] {
                self.0
            }

            /// The id as a number.
            #[inline]
            #[must_use]
            pub const fn $to_int(self) -> $int {
                <$int>::from_be_bytes(self.0)
            }

            /// The id with this number.
            #[inline]
            #[must_use]
            pub const fn $from_int(value: $int) -> Self {
                Self(value.to_be_bytes())
            }

            /// False for all zeros only (W3C Trace Context, trace-id and parent-id).
            #[inline]
            #[must_use]
            pub const fn is_valid(self) -> bool {
                self.$to_int() != 0
            }

            /// Appends the lowercase hex text, without the formatting machinery.
            pub fn push_hex(self, out: &mut String) {
                for byte in self.0 {
                    out.push(hex_digit(byte >> 4));
                    out.push(hex_digit(byte));
                }
            }

            /// The id written with any case of hex digits, or `None`. For formats that are laxer than W3C (B3, Jaeger).
            #[must_use]
            pub fn from_hex_any_case(text: &str) -> Option<Self> {
                let mut bytes = [0; $bytes];
                decode_hex(text.as_bytes(), &mut bytes, true).then_some(Self(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut text = [0_u8; $bytes * 2];
                for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
                    if let [high, low] = pair {
                        *high = hex_byte(byte >> 4);
                        *low = hex_byte(byte);
                    }
                }
                // Hex digits are ASCII, so the text always converts; the empty text only satisfies the types.
                f.pad(std::str::from_utf8(&text).unwrap_or_default())
            }
        }

        impl fmt::LowerHex for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            /// Reads exactly the text that `Display` writes: full length, lowercase. Zeros are accepted.
            ///
            /// # Errors
            ///
            /// [`ParseIdError`] for any other text.
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let mut bytes = [0; $bytes];
                if decode_hex(text.as_bytes(), &mut bytes, false) {
                    Ok(Self(bytes))
                } else {
                    Err(ParseIdError { expected: $bytes * 2 })
                }
            }
        }
    };
}

id_type!(TraceId, 16, u128, to_u128, from_u128);
id_type!(SpanId, 8, u64, to_u64, from_u64);

impl TraceId {
    /// The lower eight bytes: what ratio samplers look at.
    #[inline]
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is what is asked for")]
    pub const fn low_u64(self) -> u64 {
        self.to_u128() as u64
    }
}

const fn hex_byte(nibble: u8) -> u8 {
    let nibble = nibble & 0xf;
    if nibble < 10 { b'0' + nibble } else { b'a' - 10 + nibble }
}

const fn hex_digit(nibble: u8) -> char {
    hex_byte(nibble) as char
}

/// The value of one hex digit. W3C formats refuse upper case.
pub(crate) const fn hex_value(digit: u8, any_case: bool) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' if any_case => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Fills `out` from exactly twice as many hex digits; false, with `out` in any state, for other input.
pub(crate) fn decode_hex(text: &[u8], out: &mut [u8], any_case: bool) -> bool {
    if text.len() != out.len() * 2 {
        return false;
    }
    for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
        let &[high, low] = pair else { return false };
        let (Some(high), Some(low)) = (hex_value(high, any_case), hex_value(low, any_case)) else {
            return false;
        };
        *byte = high << 4 | low;
    }
    true
}

/// Bits of [`MODE`]. Zero, the normal case, is the per-thread generator.
const FROM_OS: u8 = 1;
const COUNTED: u8 = 2;

static MODE: AtomicU8 = AtomicU8::new(0);
static NEXT_TRACE: AtomicU64 = AtomicU64::new(1);
static NEXT_SPAN: AtomicU64 = AtomicU64::new(1);

/// Takes every id from the operating system (about 450 ns each) instead of a seeded generator.
///
/// For processes whose memory is cloned without a fork, such as micro-VMs restored from one snapshot: there, seeded
/// generators of all clones would give the same ids.
pub fn set_os_entropy(on: bool) {
    set_mode(FROM_OS, on);
}

/// Counts ids instead of drawing them: `Some(first)` starts both the trace and the span counter at `first` (zero counts
/// as one), `None` goes back. For tests, process-wide; wins over [`set_os_entropy`].
pub fn set_incremental(first: Option<u64>) {
    if let Some(first) = first {
        NEXT_TRACE.store(first, Ordering::Relaxed);
        NEXT_SPAN.store(first, Ordering::Relaxed);
    }
    set_mode(COUNTED, first.is_some());
}

fn set_mode(bit: u8, on: bool) {
    if on {
        MODE.fetch_or(bit, Ordering::Relaxed);
    } else {
        MODE.fetch_and(!bit, Ordering::Relaxed);
    }
}

/// Per-thread generator. Plain cells in a const initialiser: no lazy flag, no destructor, hence also usable while the
/// thread is torn down.
struct Generator {
    /// State of the `fastrand` generator.
    state: Cell<u64>,
    /// Mixed into the upper half of trace ids. All `fastrand` states lie on one cycle of 2^64 steps, so that with very
    /// many processes two can run into the same stretch; the second seed keeps their trace ids apart even then.
    key: Cell<u64>,
    /// Epoch of the seeds plus one; 0 before the first use.
    seeded: Cell<u64>,
}

thread_local! {
    static GENERATOR: Generator =
        const { Generator { state: Cell::new(0), key: Cell::new(0), seeded: Cell::new(0) } };
}

impl Generator {
    #[inline]
    fn ready(&self) {
        let now = u64::from(fork::epoch()) + 1;
        if self.seeded.get() != now {
            self.seed(now);
        }
    }

    #[cold]
    fn seed(&self, now: u64) {
        self.state.set(os_u64());
        self.key.set(os_u64());
        self.seeded.set(now);
    }

    #[inline]
    fn draw(&self) -> u64 {
        let mut random = fastrand::Rng::with_seed(self.state.get());
        let value = random.u64(..);
        self.state.set(random.get_seed());
        value
    }
}

/// A new trace id, never zero. Its lower 64 bits are uniformly random, so the W3C Level 2 random flag may be set, unless
/// ids are counted.
#[inline]
#[must_use]
pub fn generate_trace_id() -> TraceId {
    if MODE.load(Ordering::Relaxed) != 0 {
        return special_trace_id();
    }
    let drawn = GENERATOR.try_with(|generator| {
        generator.ready();
        let (high, low) = (generator.draw() ^ generator.key.get(), generator.draw());
        u128::from(high) << 64 | u128::from(low)
    });
    match drawn {
        Ok(value) if value != 0 => TraceId::from_u128(value),
        _ => os_trace_id(),
    }
}

/// A new span id, never zero.
#[inline]
#[must_use]
pub fn generate_span_id() -> SpanId {
    if MODE.load(Ordering::Relaxed) != 0 {
        return special_span_id();
    }
    let drawn = GENERATOR.try_with(|generator| {
        generator.ready();
        generator.draw()
    });
    match drawn {
        Ok(value) if value != 0 => SpanId::from_u64(value),
        _ => os_span_id(),
    }
}

/// Whether new trace ids deserve the random flag: always, except while they are counted.
#[inline]
#[must_use]
pub fn trace_ids_are_random() -> bool {
    MODE.load(Ordering::Relaxed) & COUNTED == 0
}

#[cold]
fn special_trace_id() -> TraceId {
    if MODE.load(Ordering::Relaxed) & COUNTED != 0 {
        TraceId::from_u128(u128::from(count(&NEXT_TRACE)))
    } else {
        os_trace_id()
    }
}

#[cold]
fn special_span_id() -> SpanId {
    if MODE.load(Ordering::Relaxed) & COUNTED != 0 { SpanId::from_u64(count(&NEXT_SPAN)) } else { os_span_id() }
}

/// The next number, skipping zero at the start and when the counter wraps.
fn count(counter: &AtomicU64) -> u64 {
    match counter.fetch_add(1, Ordering::Relaxed) {
        0 => counter.fetch_add(1, Ordering::Relaxed).max(1),
        value => value,
    }
}

#[cold]
fn os_trace_id() -> TraceId {
    let low = os_u64().max(1);
    TraceId::from_u128(u128::from(os_u64()) << 64 | u128::from(low))
}

#[cold]
fn os_span_id() -> SpanId {
    SpanId::from_u64(os_u64().max(1))
}

/// Eight random bytes from the operating system. Where it refuses (a sandbox without the call), a hash of what differs
/// between processes, threads and moments: ids that may be guessed, but that do not repeat.
fn os_u64() -> u64 {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let mut bytes = [0; 8];
    if getrandom::getrandom(&mut bytes).is_ok() {
        return u64::from_ne_bytes(bytes);
    }
    RandomState::new().hash_one((
        std::process::id(),
        std::thread::current().id(),
        std::time::SystemTime::now(),
        CALLS.fetch_add(1, Ordering::Relaxed),
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_are_valid_and_do_not_repeat_within_and_across_threads() {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                std::thread::spawn(|| {
                    (0..20_000).map(|_| (generate_trace_id(), generate_span_id())).collect::<Vec<_>>()
                })
            })
            .collect();
        let ids: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert!(ids.iter().all(|(trace, span)| trace.is_valid() && span.is_valid()));
        let traces: HashSet<_> = ids.iter().map(|(trace, _)| trace.low_u64()).collect();
        let spans: HashSet<_> = ids.iter().map(|(_, span)| *span).collect();
        assert_eq!((traces.len(), spans.len()), (80_000, 80_000));
    }

    /// Each bit of 4096 fair draws is set 2048 times, give or take 32; ten deviations never happen by chance.
    #[test]
    fn every_bit_of_a_trace_id_is_set_half_of_the_time() {
        let mut set = [0_u32; 128];
        for _ in 0..4096 {
            let id = generate_trace_id().to_u128();
            for (bit, count) in set.iter_mut().enumerate() {
                *count += u32::from(id >> bit & 1 == 1);
            }
        }
        assert!(set.iter().all(|count| (1728..=2368).contains(count)), "{set:?}");
    }

    #[test]
    fn another_epoch_seeds_the_generator_again() {
        let generator = Generator { state: Cell::new(0), key: Cell::new(0), seeded: Cell::new(0) };
        generator.ready();
        let (copied, key) = (generator.state.get(), generator.key.get());
        generator.ready();
        assert_eq!(generator.state.get(), copied, "the same epoch keeps the state");
        generator.seeded.set(u64::from(fork::epoch()));
        generator.ready();
        assert_ne!(generator.state.get(), copied);
        assert_ne!(generator.key.get(), key);
    }

    #[test]
    fn ids_are_drawn_while_the_thread_is_torn_down() {
        struct DrawsOnDrop(std::sync::mpsc::Sender<SpanId>);
        impl Drop for DrawsOnDrop {
            fn drop(&mut self) {
                // The receiver waits for this value; a closed channel fails the test there.
                let _ = self.0.send(generate_span_id());
            }
        }
        thread_local! {
            static LATE: std::cell::RefCell<Option<DrawsOnDrop>> = const { std::cell::RefCell::new(None) };
        }
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            LATE.with(|late| *late.borrow_mut() = Some(DrawsOnDrop(sender)));
        })
        .join()
        .unwrap();
        assert!(receiver.recv().unwrap().is_valid());
    }

    #[test]
    fn os_ids_are_valid_and_differ() {
        assert!(os_trace_id().is_valid() && os_span_id().is_valid());
        assert_ne!(os_trace_id(), os_trace_id());
        assert_ne!(os_span_id(), os_span_id());
    }

    #[test]
    fn text_is_lowercase_hex_with_leading_zeros() {
        let trace = TraceId::from_u128(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        assert_eq!(trace.to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(format!("{trace:x}"), trace.to_string());
        assert_eq!(format!("{:?}", SpanId::from_u64(0xab)), "SpanId(00000000000000ab)");
        assert_eq!(trace.low_u64(), 0x8448_eb21_1c80_319c);
        assert_eq!(trace.to_bytes().first(), Some(&0x0a));
    }

    #[test]
    fn only_the_printed_form_parses() {
        let good = "b7ad6b7169203331";
        assert_eq!(good.parse::<SpanId>().unwrap().to_u64(), 0xb7ad_6b71_6920_3331);
        for bad in
            ["", "b7ad6b716920333", "b7ad6b71692033311", "B7ad6b7169203331", "b7ad6b716920333g", " 7ad6b7169203331"]
        {
            assert!(bad.parse::<SpanId>().is_err(), "{bad:?}");
        }
        assert_eq!("x".parse::<TraceId>().unwrap_err().to_string(), "expected 32 lowercase hex characters");
        assert!(!"0000000000000000".parse::<SpanId>().unwrap().is_valid());
        assert_eq!(SpanId::from_hex_any_case("B7AD6b7169203331"), good.parse().ok());
    }

    proptest! {
        #[test]
        fn text_round_trips(trace: [u8; 16], span: [u8; 8]) {
            let (trace, span) = (TraceId::from_bytes(trace), SpanId::from_bytes(span));
            let mut text = String::new();
            trace.push_hex(&mut text);
            prop_assert_eq!(&text, &trace.to_string());
            prop_assert_eq!(text.parse(), Ok(trace));
            prop_assert_eq!(span.to_string().parse(), Ok(span));
            prop_assert_eq!(TraceId::from_hex_any_case(&text.to_uppercase()), Some(trace));
        }

        #[test]
        fn any_text_that_parses_prints_the_same(text in "[0-9a-fA-F]{14,18}") {
            if let Ok(id) = text.parse::<SpanId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
