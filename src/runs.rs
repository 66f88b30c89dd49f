//! Open runs of callback frameworks: a framework says "run 7 began below run 3" and later "run 7 ended", and this table
//! is the memory between the two calls. It knows keys, who is below whom, and when something last happened; what stands
//! for a run (a span and more) is the caller's.
//!
//! The table is bounded: the quietest runs leave when it is full, idle ones when their time is over, and of those that
//! ended only the last are remembered, so that work which outlives its run is still placed.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

/// Open runs at most.
pub const CAP: usize = 10_000;
/// Ended runs that are remembered.
const REMEMBERED: usize = 1_024;
/// Seconds between two looks for idle runs, at most; one costs about a millisecond for a full table.
const LOOK_EVERY: f64 = 60.0;
/// Longer chains of parents than this are a loop made by broken ids.
const DEEPEST: usize = 1_000;

/// What a framework calls a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RunKey {
    /// A UUID, or another number.
    Number(u128),
    /// A text, by 128 bits of hash.
    Text(u64, u64),
    /// Anything else that has a hash.
    Other(isize),
}

impl RunKey {
    /// The key of a text.
    #[must_use]
    pub fn text(text: &[u8]) -> Self {
        static HASHERS: LazyLock<[RandomState; 2]> = LazyLock::new(|| [RandomState::new(), RandomState::new()]);
        let [first, second] = &*HASHERS;
        Self::Text(first.hash_one(text), second.hash_one(text))
    }
}

#[derive(Debug)]
struct Entry<T> {
    value: T,
    parent: Option<RunKey>,
    /// Seconds, on the caller's clock: when something last happened in this very run.
    touched: f64,
}

#[derive(Debug)]
struct Past<T> {
    entry: Entry<T>,
    /// Tells the entry from an earlier one of the same key.
    turn: u64,
}

/// The open runs and the last that ended.
#[derive(Debug)]
pub struct Runs<T> {
    open: HashMap<RunKey, Entry<T>>,
    ended: HashMap<RunKey, Past<T>>,
    order: VecDeque<(RunKey, u64)>,
    turn: u64,
    cap: usize,
    next_look: f64,
}

impl<T> Runs<T> {
    /// An empty table for `cap` open runs.
    #[must_use]
    pub fn new(cap: usize) -> Self {
        Self {
            open: HashMap::new(),
            ended: HashMap::new(),
            order: VecDeque::new(),
            turn: 0,
            cap: cap.max(1),
            next_look: 0.0,
        }
    }

    /// Open runs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether no run is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// The open run of that key.
    #[must_use]
    pub fn get(&self, key: RunKey) -> Option<&T> {
        self.open.get(&key).map(|entry| &entry.value)
    }

    /// The run of that key, open or one of the last to end.
    #[must_use]
    pub fn find(&self, key: RunKey) -> Option<&T> {
        self.entry(key).map(|entry| &entry.value)
    }

    fn entry(&self, key: RunKey) -> Option<&Entry<T>> {
        self.open.get(&key).or_else(|| self.ended.get(&key).map(|past| &past.entry))
    }

    /// The keys of the runs above one, nearest first, as far as they are known.
    pub fn above(&self, parent: Option<RunKey>) -> impl Iterator<Item = RunKey> + '_ {
        let mut next = parent;
        (1..DEEPEST).map_while(move |_| {
            let key = next?;
            next = self.entry(key)?.parent;
            Some(key)
        })
    }

    /// Whether `upper` is the run of the key `lower`, or above it.
    #[must_use]
    pub fn is_within(&self, lower: RunKey, upper: RunKey) -> bool {
        self.above(Some(lower)).any(|key| key == upper)
    }

    /// Whether it is time to look for idle runs, or there is no room for one more.
    #[must_use]
    pub fn wants_sweep(&self, now: f64) -> bool {
        self.open.len() >= self.cap || now >= self.next_look
    }

    /// Notes that something happens in a run.
    pub fn touch(&mut self, key: RunKey, now: f64) {
        if let Some(entry) = self.open.get_mut(&key) {
            entry.touched = now;
        }
    }

    /// Enters a run that has begun. Returns what stood under its key.
    pub fn open(&mut self, key: RunKey, parent: Option<RunKey>, value: T, now: f64) -> Option<T> {
        self.open.insert(key, Entry { value, parent, touched: now }).map(|before| before.value)
    }

    /// Takes out a run that ended.
    pub fn close(&mut self, key: RunKey) -> Option<T> {
        self.open.remove(&key).map(|entry| entry.value)
    }

    /// Remembers a run that ended, for what starts below it later. Returns what is forgotten for it.
    #[must_use]
    pub fn remember(&mut self, key: RunKey, parent: Option<RunKey>, value: T) -> [Option<T>; 2] {
        self.turn += 1;
        let past = Past { entry: Entry { value, parent, touched: 0.0 }, turn: self.turn };
        let before = self.ended.insert(key, past).map(|past| past.entry.value);
        self.order.push_back((key, self.turn));
        let mut oldest = None;
        if self.order.len() > REMEMBERED
            && let Some((key, turn)) = self.order.pop_front()
            && self.ended.get(&key).is_some_and(|past| past.turn == turn)
        {
            oldest = self.ended.remove(&key).map(|past| past.entry.value);
        }
        [before, oldest]
    }

    /// The keys of all open runs.
    #[must_use]
    pub fn keys(&self) -> Vec<RunKey> {
        self.open.keys().copied().collect()
    }

    /// Every value, open or remembered.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.open.values().map(|entry| &entry.value).chain(self.ended.values().map(|past| &past.entry.value))
    }

    /// The runs to give up now: those in which, and below which, nothing happened for `idle` seconds, and the quietest
    /// eighth when the table is full.
    #[must_use]
    pub fn sweep(&mut self, now: f64, idle: f64) -> Vec<RunKey> {
        self.next_look = now + (idle / 4.0).min(LOOK_EVERY);
        // What happens in a run happens in every run above it.
        let mut last: HashMap<RunKey, f64> = HashMap::with_capacity(self.open.len());
        for (key, entry) in &self.open {
            for key in std::iter::once(*key).chain(self.above(entry.parent)) {
                let seen = last.entry(key).or_insert(f64::NEG_INFINITY);
                if *seen >= entry.touched {
                    break;
                }
                *seen = entry.touched;
            }
        }
        let mut quiet: Vec<_> = last.into_iter().filter(|(key, _)| self.open.contains_key(key)).collect();
        quiet.sort_by(|(_, one), (_, other)| one.total_cmp(other));
        let surplus = match self.open.len().checked_sub(self.cap) {
            Some(over) => over + (self.cap / 8).max(1),
            None => 0,
        };
        let gone = quiet.iter().enumerate().take_while(|(at, (_, last))| *at < surplus || now - last > idle);
        gone.map(|(_, (key, _))| *key).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(value: u128) -> RunKey {
        RunKey::Number(value)
    }

    #[test]
    fn a_run_is_found_until_it_is_closed_and_remembered_after() {
        let mut runs = Runs::new(8);
        assert_eq!(runs.open(number(1), None, "one", 0.0), None);
        assert_eq!(runs.get(number(1)), Some(&"one"));
        assert_eq!(runs.close(number(1)), Some("one"));
        assert_eq!(runs.close(number(1)), None);
        assert_eq!(runs.remember(number(1), None, "one"), [None, None]);
        assert_eq!((runs.get(number(1)), runs.find(number(1))), (None, Some(&"one")));
    }

    #[test]
    fn what_ended_first_is_forgotten_first_and_a_key_that_came_again_is_not() {
        let mut runs = Runs::new(8);
        for turn in 0..=REMEMBERED as u128 {
            let forgotten = runs.remember(number(turn), None, turn);
            assert_eq!(forgotten, [None, (turn == REMEMBERED as u128).then_some(0)]);
        }
        assert_eq!(runs.remember(number(1), None, 7), [Some(1), None]);
        assert_eq!(runs.find(number(1)), Some(&7));
    }

    #[test]
    fn a_loop_of_parents_ends() {
        let mut runs = Runs::new(8);
        runs.open(number(1), Some(number(2)), (), 0.0);
        runs.open(number(2), Some(number(1)), (), 0.0);
        assert_eq!(runs.above(Some(number(1))).count(), DEEPEST - 1);
        assert!(runs.is_within(number(1), number(2)));
        assert!(!runs.is_within(number(1), number(3)));
    }

    #[test]
    fn a_full_table_gives_up_the_quietest_but_not_what_works_below() {
        let mut runs = Runs::new(16);
        for value in 0..16_u8 {
            runs.open(number(u128::from(value)), None, (), f64::from(value));
        }
        runs.touch(number(0), 20.0);
        assert_eq!(runs.sweep(20.0, 1e9), [number(1), number(2)]);
    }

    #[test]
    fn idle_runs_are_given_up_after_their_time() {
        let mut runs = Runs::new(16);
        runs.open(number(1), None, (), 0.0);
        runs.open(number(2), Some(number(1)), (), 8.0);
        runs.open(number(3), None, (), 1.0);
        assert_eq!(runs.sweep(12.0, 10.0), [number(3)]);
        assert!(!runs.wants_sweep(14.4) && runs.wants_sweep(14.5));
    }

    #[test]
    fn equal_texts_are_one_key() {
        assert_eq!(RunKey::text(b"Engine.query-1"), RunKey::text(b"Engine.query-1"));
        assert_ne!(RunKey::text(b"Engine.query-1"), RunKey::text(b"Engine.query-2"));
    }
}
