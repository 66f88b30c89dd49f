//! Two traces side by side: which span of the one stands for which of the other.
//!
//! From the roots down: among the children of a matched pair, spans of the same kind and name are matched in their order
//! (longest common subsequence); what is left stands alone.

use super::json::{Json, object};
use super::trace::{Skeleton, SpanEntry, Trace};
use super::traces::TraceRow;
use super::{ReadError, Reader};
use crate::kind::Kind;

/// Pairs of children that are weighed against each other; beyond, they are matched first come, first served.
const WEIGHED: usize = 1 << 20;

/// A span of either trace, or one of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Steps below the root.
    pub depth: usize,
    /// What it is called.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Its index in the first trace.
    pub a: Option<usize>,
    /// Its index in the second.
    pub b: Option<usize>,
}

impl Json for Pair {
    fn write(&self, out: &mut String) {
        object!(out, "depth": self.depth, "name": self.name, "kind": self.kind, "a": self.a, "b": self.b);
    }
}

/// Two traces side by side.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// The first.
    pub a: TraceRow,
    /// The second.
    pub b: TraceRow,
    /// In the order of the first tree, with what only the second has in its place.
    pub rows: Vec<Pair>,
    /// The spans of the first.
    pub a_spans: Skeleton,
    /// The spans of the second.
    pub b_spans: Skeleton,
}

impl Json for Comparison {
    fn write(&self, out: &mut String) {
        object!(out, "a": self.a, "b": self.b, "rows": self.rows, "a_spans": self.a_spans, "b_spans": self.b_spans);
    }
}

impl Reader {
    /// Compares two traces, each named by the beginning of its id.
    ///
    /// # Errors
    ///
    /// As [`Reader::trace`].
    pub fn compare(&self, a: &str, b: &str) -> Result<Comparison, ReadError> {
        let (a, b) = (self.trace(a)?, self.trace(b)?);
        Ok(compare(a, b))
    }
}

fn compare(a: Trace, b: Trace) -> Comparison {
    let rows = align(&a.spans, &b.spans);
    Comparison { a: a.row, b: b.row, rows, a_spans: a.spans, b_spans: b.spans }
}

fn align(a: &Skeleton, b: &Skeleton) -> Vec<Pair> {
    let (a_children, b_children) = (a.children(), b.children());
    let none: &[usize] = &[];
    let of = |children: &'_ [Vec<usize>], index: Option<usize>| -> Vec<usize> {
        index.and_then(|index| children.get(index)).map_or(none, Vec::as_slice).to_vec()
    };
    let mut rows = Vec::with_capacity(a.spans.len().max(b.spans.len()));
    // Without recursion: a hostile trace is a chain of a hundred thousand.
    let mut stack: Vec<(usize, Option<usize>, Option<usize>)> = Vec::new();
    let push_children =
        |stack: &mut Vec<(usize, Option<usize>, Option<usize>)>, depth, left: Vec<usize>, right: Vec<usize>| {
            let pairs = matched(a, &left, b, &right);
            stack.extend(pairs.into_iter().rev().map(|(left, right)| (depth, left, right)));
        };
    push_children(&mut stack, 0, of(&a_children, Some(a.spans.len())), of(&b_children, Some(b.spans.len())));
    while let Some((depth, left, right)) = stack.pop() {
        let span = left.and_then(|index| a.spans.get(index)).map(|span| (span, a));
        let span = span.or_else(|| right.and_then(|index| b.spans.get(index)).map(|span| (span, b)));
        let Some((span, skeleton)) = span else { continue };
        rows.push(Pair { depth, name: skeleton.text(span.name).to_owned(), kind: span.kind, a: left, b: right });
        push_children(&mut stack, depth + 1, of(&a_children, left), of(&b_children, right));
    }
    rows
}

type Match = (Option<usize>, Option<usize>);

/// Pairs children of two matched spans.
fn matched(a: &Skeleton, left: &[usize], b: &Skeleton, right: &[usize]) -> Vec<Match> {
    fn key(skeleton: &Skeleton, index: usize) -> Option<(Kind, &str)> {
        let span: &SpanEntry = skeleton.spans.get(index)?;
        Some((span.kind, skeleton.text(span.name)))
    }
    let left_keys: Vec<_> = left.iter().map(|index| key(a, *index)).collect();
    let right_keys: Vec<_> = right.iter().map(|index| key(b, *index)).collect();
    let pairs = if left.len().saturating_mul(right.len()) <= WEIGHED {
        longest_common(&left_keys, &right_keys)
    } else {
        first_come(&left_keys, &right_keys)
    };
    let mut out = Vec::with_capacity(left.len().max(right.len()));
    let (mut next_left, mut next_right) = (0, 0);
    let upto = |next: &mut usize, end: usize, side: &[usize], out: &mut Vec<Match>, is_left: bool| {
        for index in side.iter().take(end).skip(*next) {
            out.push(if is_left { (Some(*index), None) } else { (None, Some(*index)) });
        }
        *next = end;
    };
    for (at_left, at_right) in pairs {
        upto(&mut next_left, at_left, left, &mut out, true);
        upto(&mut next_right, at_right, right, &mut out, false);
        out.push((left.get(at_left).copied(), right.get(at_right).copied()));
        (next_left, next_right) = (at_left + 1, at_right + 1);
    }
    upto(&mut next_left, left.len(), left, &mut out, true);
    upto(&mut next_right, right.len(), right, &mut out, false);
    out
}

fn longest_common<K: PartialEq>(left: &[K], right: &[K]) -> Vec<(usize, usize)> {
    let width = right.len() + 1;
    // lengths[i * width + j]: the longest common subsequence of left[i..] and right[j..].
    let mut lengths = vec![0_u32; (left.len() + 1) * width];
    let at = |lengths: &[u32], i: usize, j: usize| lengths.get(i * width + j).copied().unwrap_or(0);
    for (i, one) in left.iter().enumerate().rev() {
        for (j, other) in right.iter().enumerate().rev() {
            let length = if one == other {
                at(&lengths, i + 1, j + 1) + 1
            } else {
                at(&lengths, i + 1, j).max(at(&lengths, i, j + 1))
            };
            if let Some(place) = lengths.get_mut(i * width + j) {
                *place = length;
            }
        }
    }
    let mut pairs = Vec::new();
    let (mut i, mut j) = (0, 0);
    while let (Some(one), Some(other)) = (left.get(i), right.get(j)) {
        if one == other {
            pairs.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if at(&lengths, i + 1, j) >= at(&lengths, i, j + 1) {
            i += 1;
        } else {
            j += 1;
        }
    }
    pairs
}

/// The n-th of a name with the n-th of that name, as far as the order allows.
fn first_come<K: PartialEq + Eq + std::hash::Hash>(left: &[K], right: &[K]) -> Vec<(usize, usize)> {
    let mut places: std::collections::HashMap<&K, std::collections::VecDeque<usize>> = std::collections::HashMap::new();
    for (index, key) in right.iter().enumerate() {
        places.entry(key).or_default().push_back(index);
    }
    let mut pairs = Vec::new();
    let mut after = 0;
    for (index, key) in left.iter().enumerate() {
        let Some(queue) = places.get_mut(key) else { continue };
        while queue.front().is_some_and(|place| *place < after) {
            queue.pop_front();
        }
        if let Some(place) = queue.pop_front() {
            pairs.push((index, place));
            after = place + 1;
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_children_are_matched_in_order() {
        let (left, right) = (["plan", "search", "answer"], ["plan", "search", "search", "check", "answer"]);
        assert_eq!(longest_common(&left, &right), [(0, 0), (1, 1), (2, 4)]);
        assert_eq!(first_come(&left, &right), [(0, 0), (1, 1), (2, 4)]);
        assert_eq!(longest_common::<&str>(&[], &right), []);
    }
}
