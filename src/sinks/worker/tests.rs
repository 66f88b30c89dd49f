//! A local sink around a writer that the test holds by the hand.

#![allow(clippy::unwrap_used, reason = "a failing test may panic")]

use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::*;
use crate::sinks::testing::{Made, counts, delivery, eventually, ledger, patience, span};

/// What the writer did.
#[derive(Debug, PartialEq, Eq)]
enum Done {
    Began(String),
    Wrote(String),
    Finished,
}

/// Tells what it does, and waits for a permission before each write if there is a gate.
#[derive(Debug)]
struct Puppet {
    told: Sender<Done>,
    gate: Option<Receiver<()>>,
}

impl Writer for Puppet {
    fn write(&mut self, delivery: Delivery) -> Option<Again> {
        let name = delivery.spans().next().unwrap().name().to_owned();
        assert_ne!(name, "trap", "a fault of ours");
        self.told.send(Done::Began(name.clone())).unwrap();
        if let Some(gate) = &self.gate {
            gate.recv().unwrap();
        }
        delivery.delivered();
        self.told.send(Done::Wrote(name)).unwrap();
        None
    }

    fn finish(&mut self) {
        self.told.send(Done::Finished).unwrap();
    }
}

struct Stage {
    sink: LocalSink<Puppet>,
    destination: Arc<Destination>,
    ledger: &'static Ledger,
    done: Receiver<Done>,
    gate: Sender<()>,
}

fn stage(queue_limit: usize, gated: bool) -> Stage {
    let destination = Arc::new(Destination::new("file", queue_limit));
    let ledger = ledger();
    let (told, done) = unbounded();
    let (gate, gate_end) = unbounded();
    let writer = Puppet { told, gate: gated.then_some(gate_end) };
    let sink = LocalSink::new("ironspan-test", writer, Arc::clone(&destination), ledger);
    Stage { sink, destination, ledger, done, gate }
}

fn named(name: &str) -> Vec<Made> {
    vec![span(1, 0, name, 0, 1)]
}

impl Stage {
    fn send(&self, name: &str) {
        self.sink.accept(delivery(&named(name), &self.destination, self.ledger));
    }

    /// The next thing that the writer did.
    fn next(&self) -> Done {
        self.done.recv_deadline(patience()).unwrap()
    }

    /// Waits until everything accepted is settled.
    fn flush(&self) {
        let (token, settled) = FlushToken::pair();
        self.sink.flush(patience(), token);
        assert_eq!(settled.recv_deadline(patience()), Err(crossbeam_channel::RecvTimeoutError::Disconnected));
    }

    fn shutdown(&self, deadline: Instant) -> Receiver<()> {
        let (token, settled) = FlushToken::pair();
        self.sink.shutdown(deadline, token);
        settled
    }

    fn is_running(&self) -> bool {
        self.sink.0.lock().running
    }
}

fn has_ended(settled: &Receiver<()>) -> bool {
    settled.recv_deadline(patience()) == Err(crossbeam_channel::RecvTimeoutError::Disconnected)
}

fn wrote(names: &[&str]) -> Vec<Done> {
    names.iter().flat_map(|name| [Done::Began((*name).to_owned()), Done::Wrote((*name).to_owned())]).collect()
}

fn dropped(ledger: &Ledger, reason: DropReason) -> u64 {
    counts(ledger).dropped.get(reason as usize).copied().unwrap()
}

#[test]
fn deliveries_are_written_in_order_before_a_flush_is_done() {
    let stage = stage(1 << 20, false);
    for name in ["a", "b", "c"] {
        stage.send(name);
    }
    stage.flush();
    assert_eq!(stage.done.try_iter().collect::<Vec<_>>(), wrote(&["a", "b", "c"]));
    assert_eq!((counts(stage.ledger).delivered, counts(stage.ledger).pending), (3, 0));
}

#[test]
fn a_sink_that_was_never_used_starts_no_thread() {
    let stage = stage(1 << 20, false);
    stage.flush();
    assert!(has_ended(&stage.shutdown(patience())));
    assert!(!stage.is_running() && stage.sink.0.lock().thread.is_none());
    assert_eq!(stage.destination.health(), Health::Stopped);
    assert_eq!(stage.done.try_iter().count(), 0);
}

#[test]
fn a_blocked_writer_stops_nobody_and_what_exceeds_the_limit_is_dropped() {
    let one = delivery(&named("x"), &Arc::new(Destination::new("x", 0)), ledger()).approximate_bytes();
    let stage = stage(2 * one, true);
    stage.send("a");
    assert_eq!(stage.next(), Done::Began("a".into()));
    for name in ["b", "c", "d"] {
        stage.send(name);
    }
    assert_eq!(dropped(stage.ledger, DropReason::QueueFull), 2);
    for _ in 0..2 {
        stage.gate.send(()).unwrap();
    }
    stage.flush();
    assert_eq!(counts(stage.ledger).delivered, 2);
    assert_eq!(stage.done.try_iter().last(), Some(Done::Wrote("b".into())));
}

#[test]
fn a_delivery_larger_than_the_limit_passes_alone() {
    let stage = stage(1, false);
    stage.send("a");
    stage.flush();
    stage.send("b");
    stage.flush();
    assert_eq!(counts(stage.ledger).delivered, 2);
}

#[test]
fn shutdown_writes_what_waits_and_ends_the_thread() {
    let stage = stage(1 << 20, false);
    stage.send("a");
    stage.send("b");
    assert!(has_ended(&stage.shutdown(patience())));
    let mut expected = wrote(&["a", "b"]);
    expected.push(Done::Finished);
    assert_eq!(stage.done.try_iter().collect::<Vec<_>>(), expected);
    assert!(!stage.is_running());
    assert_eq!(stage.destination.health(), Health::Stopped);

    stage.send("late");
    assert!(has_ended(&stage.shutdown(patience())));
    assert_eq!((dropped(stage.ledger, DropReason::Shutdown), counts(stage.ledger).delivered), (1, 2));
}

#[test]
fn what_is_not_written_by_the_deadline_is_dropped() {
    let stage = stage(1 << 20, true);
    stage.send("a");
    assert_eq!(stage.next(), Done::Began("a".into()));
    stage.send("b");
    stage.send("c");
    let settled = stage.shutdown(Instant::now());
    stage.gate.send(()).unwrap();
    assert!(has_ended(&settled));
    assert_eq!(stage.done.try_iter().collect::<Vec<_>>(), [Done::Wrote("a".into())]);
    assert_eq!((dropped(stage.ledger, DropReason::Shutdown), counts(stage.ledger).delivered), (2, 1));
}

#[test]
fn a_fault_costs_its_delivery_and_not_the_thread() {
    let stage = stage(1 << 20, false);
    stage.send("trap");
    stage.send("b");
    stage.flush();
    assert_eq!(stage.done.try_iter().collect::<Vec<_>>(), wrote(&["b"]));
    assert_eq!((dropped(stage.ledger, DropReason::Internal), counts(stage.ledger).delivered), (1, 1));
    assert_eq!(stage.ledger.internal_errors.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[test]
fn the_thread_leaves_for_a_fork_and_goes_on_after_it() {
    let stage = stage(1 << 20, false);
    stage.send("a");
    stage.flush();
    stage.sink.park(patience());
    assert!(!stage.is_running() && stage.sink.0.lock().thread.is_none());
    stage.send("b");
    assert!(!stage.is_running());
    assert_eq!(counts(stage.ledger).pending, 1);
    stage.sink.resume();
    stage.flush();
    assert_eq!(stage.done.try_iter().collect::<Vec<_>>(), wrote(&["a", "b"]));
}

#[test]
fn a_fork_does_not_wait_for_a_writer_that_is_stuck() {
    let stage = stage(1 << 20, true);
    stage.send("a");
    assert_eq!(stage.next(), Done::Began("a".into()));
    stage.sink.park(Instant::now() + Duration::from_millis(5));
    assert!(stage.is_running());
    stage.sink.resume();
    stage.send("b");
    for _ in 0..2 {
        stage.gate.send(()).unwrap();
    }
    stage.flush();
    assert_eq!(counts(stage.ledger).delivered, 2);
}

#[test]
fn a_shutdown_during_a_fork_is_done_after_it() {
    let stage = stage(1 << 20, false);
    stage.send("a");
    stage.sink.park(patience());
    let settled = stage.shutdown(patience());
    assert!(!stage.is_running());
    stage.sink.resume();
    assert!(has_ended(&settled));
    assert_eq!(counts(stage.ledger).delivered, 1);
    eventually("stopped", || stage.destination.health() == Health::Stopped);
}

#[test]
fn flushes_that_nobody_waits_for_do_not_pile_up() {
    let stage = stage(1 << 20, true);
    stage.send("a");
    assert_eq!(stage.next(), Done::Began("a".into()));
    for _ in 0..100 {
        let (token, _) = FlushToken::pair();
        stage.sink.flush(Instant::now(), token);
    }
    assert!(stage.sink.0.lock().jobs.len() <= 1);
    stage.gate.send(()).unwrap();
    stage.flush();
    assert_eq!(counts(stage.ledger).delivered, 1);
}
