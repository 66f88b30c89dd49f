//! Durations as counts in bins that grow by 2 %: percentiles to within 1 %, and two sketches make one by addition.
//!
//! Nearest-rank percentiles over bins `floor(ln(d / 1 µs) / ln 1.02)`; what is under a microsecond is in the first bin.
//! As bytes: for each bin that has any, its distance from the one before and its count, as variable-length integers.

const GROWTH: f64 = 1.02;
/// The bin of `i64::MAX` nanoseconds is 1,852: nothing above it is believed.
const LAST: u16 = 2_000;

/// How often which duration occurred.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sketch {
    /// Counts of the bins from `first` on. Adding up thousands of sketches is the work here, and durations of one thing
    /// are near each other: so a place for each bin between the shortest and the longest.
    counts: Vec<u64>,
    first: u16,
    count: u64,
}

impl Sketch {
    /// Counts a duration, nanoseconds.
    pub fn add(&mut self, duration_ns: i64) {
        self.put(bin(duration_ns), 1);
    }

    /// Counts everything that `other` has counted.
    pub fn merge(&mut self, other: &Self) {
        other.bins().for_each(|(bin, count)| self.put(bin, count));
    }

    fn put(&mut self, bin: u16, count: u64) {
        if count == 0 {
            return;
        }
        if self.counts.is_empty() {
            self.first = bin;
        } else if bin < self.first {
            let more = usize::from(self.first - bin);
            self.counts.splice(0..0, std::iter::repeat_n(0, more));
            self.first = bin;
        }
        let place = usize::from(bin - self.first);
        if place >= self.counts.len() {
            self.counts.resize(place + 1, 0);
        }
        if let Some(known) = self.counts.get_mut(place) {
            *known = known.saturating_add(count);
        }
        self.count = self.count.saturating_add(count);
    }

    /// The bins that have counted anything.
    fn bins(&self) -> impl Iterator<Item = (u16, u64)> {
        (self.first..).zip(self.counts.iter().copied()).filter(|(_, count)| *count > 0)
    }

    /// Durations counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The duration that `percent` of 100 do not exceed; `None` without any.
    #[must_use]
    pub fn percentile(&self, percent: u64) -> Option<i64> {
        let rank = self.count.saturating_mul(percent).div_ceil(100).max(1);
        let mut passed = 0_u64;
        for (bin, count) in self.bins() {
            passed = passed.saturating_add(count);
            if passed >= rank {
                return Some(middle(bin));
            }
        }
        None
    }

    /// As bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut before = 0;
        for (bin, count) in self.bins() {
            write(u64::from(bin - before), &mut bytes);
            write(count, &mut bytes);
            before = bin;
        }
        bytes
    }

    /// From bytes; what is damaged ends it.
    #[must_use]
    pub fn from_bytes(mut bytes: &[u8]) -> Self {
        let mut sketch = Self::default();
        sketch.merge_bytes(&mut bytes);
        sketch
    }

    /// Counts what the bytes hold, without a sketch in between.
    pub fn merge_bytes(&mut self, bytes: &mut &[u8]) {
        let mut bin = 0_u64;
        while let (Some(step), Some(count)) = (read(bytes), read(bytes)) {
            bin = bin.saturating_add(step);
            let Some(bin) = u16::try_from(bin).ok().filter(|bin| *bin <= LAST) else { return };
            self.put(bin, count);
        }
    }
}

fn bin(duration_ns: i64) -> u16 {
    #[allow(clippy::cast_precision_loss, reason = "a bin is 2 % wide")]
    let microseconds = duration_ns.max(1_000) as f64 / 1e3;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1,852")]
    let bin = (microseconds.ln() / GROWTH.ln()).floor() as u16;
    bin
}

/// The geometric middle of a bin, nanoseconds.
fn middle(bin: u16) -> i64 {
    #[allow(clippy::cast_possible_truncation, reason = "casts of doubles saturate")]
    let nanos = (1e3 * GROWTH.powf(f64::from(bin) + 0.5)).round() as i64;
    nanos
}

fn write(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(u8::try_from(number & 0x7F).unwrap_or(0) | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).unwrap_or(0));
}

fn read(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::cast_precision_loss, reason = "a failing test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::read::metrics::percentile;

    proptest! {
        #[test]
        fn percentiles_are_within_one_percent(
            durations in proptest::collection::vec(1_000_i64..10_000_000_000_000, 1..300), at in 0_usize..300,
        ) {
            let mut one = Sketch::default();
            let mut two = Sketch::default();
            for (index, duration) in durations.iter().enumerate() {
                if index < at { one.add(*duration) } else { two.add(*duration) }
            }
            one.merge(&Sketch::from_bytes(&two.to_bytes()));
            prop_assert_eq!(one.count(), durations.len() as u64);
            for percent in [50, 95, 99] {
                let exact = percentile(&mut durations.clone(), percent).unwrap() as f64;
                let sketched = one.percentile(u64::try_from(percent).unwrap()).unwrap() as f64;
                prop_assert!((sketched / exact - 1.0).abs() <= 0.0101, "{percent}: {sketched} for {exact}");
            }
        }

        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let sketch = Sketch::from_bytes(&bytes);
            prop_assert_eq!(sketch.percentile(50).is_some(), sketch.count() > 0);
        }
    }

    #[test]
    fn nothing_has_no_percentile_and_extremes_have_bins() {
        assert_eq!(Sketch::default().percentile(50), None);
        for extreme in [i64::MIN, 0, i64::MAX] {
            let mut sketch = Sketch::default();
            sketch.add(extreme);
            assert_eq!(Sketch::from_bytes(&sketch.to_bytes()), sketch);
        }
    }
}
