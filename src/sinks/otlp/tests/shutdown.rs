//! Flushes and shutdowns against receivers that fail, hang or drip, and what is counted then.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::receiver::{Answer, PATIENCE, Receiver};
use super::rig::{BATCH, FAST, Rig, SLOW, config};
use crate::config::BatchConfig;
use crate::ledger::DropReason;
use crate::sinks::{Health, Sink};

/// Far less than [`PATIENCE`], far more than a request on the loopback interface.
const SHORT: Duration = Duration::from_millis(200);

#[test]
fn a_shutdown_sends_what_waits_and_ends_the_thread() {
    let receiver = Receiver::start(|_, _| Answer::status(200));
    let rig = Rig::new(&config(&receiver.url()));
    let names: Vec<String> = (0..2_000).map(|at| format!("span {at}")).collect();
    rig.send_named(names.iter().map(String::as_str));
    rig.shutdown(PATIENCE);
    assert_eq!(receiver.names(), names);
    assert_eq!(rig.tally(), (2_000, 0, 0, 0));
    assert_eq!(rig.destination.health(), Health::Stopped);
    assert!(!rig.worker.is_running());
}

#[test]
fn a_silent_receiver_holds_neither_a_flush_nor_the_shutdown() {
    let receiver = Receiver::start(|_, _| Answer::Silence);
    let rig = Rig::with(&config(&receiver.url()), &BATCH, SLOW, 64 << 20);
    rig.send_named(["a", "b"]);
    assert!(!rig.flush(SHORT));
    rig.send_named(["c"]);
    receiver.wait_for(1);
    rig.shutdown(SHORT);
    assert_eq!(rig.dropped(DropReason::Shutdown), 3);
    assert_eq!(rig.tally(), (0, 0, 3, 0));
    assert!(!rig.worker.is_running());
}

#[test]
fn a_shutdown_cuts_every_kind_of_stall_at_its_deadline() {
    let drip =
        |bytes: &'static [u8]| Receiver::start(move |_, _| Answer::Drip(bytes.to_vec(), Duration::from_millis(10)));
    for receiver in [
        drip(b"HTTP/1.1 2"),
        drip(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n"),
        drip(b"HTTP/1.1 503 Busy\r\ncontent-length: 1000000\r\n\r\n"),
        drip(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n"),
    ] {
        let rig = Rig::with(&config(&receiver.url()), &BATCH, SLOW, 64 << 20);
        rig.send_named(["a"]);
        rig.shutdown(SHORT);
        assert_eq!(rig.tally(), (0, 0, 1, 0));
    }
    // A listener that accepts no connection: its queue is full and the packets go nowhere.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let rig = Rig::new(&config(&format!("http://{}/", listener.local_addr().unwrap())));
    rig.send_named(["a"]);
    rig.shutdown(SHORT);
    assert_eq!(rig.tally(), (0, 0, 1, 0));
}

#[test]
fn a_shutdown_during_a_backoff_makes_one_attempt_and_no_more() {
    let receiver = Receiver::start(|_, _| Answer::status(503));
    let rig = Rig::with(&config(&receiver.url()), &BatchConfig { max_export_batch_size: 1, ..BATCH }, SLOW, 64 << 20);
    rig.send_named(["a", "b", "c"]);
    receiver.wait_for(1);
    rig.shutdown(PATIENCE);
    assert_eq!(receiver.names(), ["a", "a"]);
    assert_eq!(rig.dropped(DropReason::Shutdown), 3);
    assert_eq!(rig.counts().pending, 0);

    let receiver = Receiver::start(|_, number| Answer::status(if number == 0 { 503 } else { 200 }));
    let rig = Rig::with(&config(&receiver.url()), &BATCH, SLOW, 64 << 20);
    rig.send_named(["a", "b"]);
    assert!(!rig.flush(Duration::from_millis(10)));
    receiver.wait_for(1);
    rig.shutdown(PATIENCE);
    assert_eq!(rig.tally(), (2, 0, 0, 0));
}

#[test]
fn a_shutdown_does_not_ask_before_the_receiver_allows_it() {
    let receiver = Receiver::start(|_, _| Answer::with(429, "retry-after", "60"));
    let rig = Rig::new(&config(&receiver.url()));
    rig.send_named(["a"]);
    assert!(!rig.flush(Duration::from_millis(10)));
    receiver.wait_for(1);
    rig.wait_for(Health::Retrying);
    assert!(rig.shutdown(Duration::from_secs(20)) < Duration::from_secs(20), "waiting would be in vain");
    assert_eq!(receiver.seen().len(), 1);
    assert_eq!(rig.tally(), (0, 0, 1, 0));
}

#[test]
fn a_shutdown_waits_for_the_receiver_where_the_time_allows_it() {
    let receiver =
        Receiver::start(
            |_, number| {
                if number == 0 { Answer::with(503, "retry-after", "1") } else { Answer::status(200) }
            },
        );
    let rig = Rig::new(&config(&receiver.url()));
    rig.send_named(["a"]);
    assert!(!rig.flush(Duration::from_millis(10)));
    receiver.wait_for(1);
    rig.wait_for(Health::Retrying);
    rig.shutdown(PATIENCE);
    let [first, second] = receiver.seen().try_into().unwrap();
    assert!(second.at - first.at >= Duration::from_secs(1));
    assert_eq!(rig.tally(), (1, 0, 0, 0));
}

#[test]
fn a_shutdown_splits_and_bisects_as_ever() {
    let receiver = Receiver::start(|seen, _| {
        Answer::status(if seen.names().iter().any(|name| name == "bad") { 400 } else { 200 })
    });
    let rig = Rig::new(&config(&receiver.url()));
    rig.send_named(["a", "bad", "b", "c"]);
    rig.shutdown(PATIENCE);
    assert_eq!(rig.tally(), (3, 1, 0, 0));
}

#[test]
fn a_thousand_flushes_at_a_dead_receiver_are_not_done_and_are_forgotten() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let rig = Rig::new(&config(&url));
    rig.send_named(["a"]);
    for _ in 0..1_000 {
        assert!(!rig.flush(Duration::from_micros(100)));
    }
    let began = Instant::now();
    loop {
        assert!(!rig.flush(Duration::ZERO));
        if rig.sink.waiting_flushes() < 1_000 {
            break;
        }
        assert!(began.elapsed() < PATIENCE);
        std::thread::park_timeout(Duration::from_millis(20));
    }
    rig.shutdown(SHORT);
    assert_eq!(rig.tally(), (0, 0, 1, 0));
}

#[test]
fn shutdowns_from_many_threads_are_all_answered() {
    let receiver = Receiver::start(|_, _| Answer::Silence);
    let rig = Rig::new(&config(&receiver.url()));
    rig.send_named(["a"]);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| rig.shutdown(SHORT));
        }
    });
    rig.shutdown(SHORT);
    assert_eq!(rig.tally(), (0, 0, 1, 0));
}

#[test]
fn deliveries_race_a_shutdown_and_every_span_is_counted_once() {
    for round in 0..20 {
        let receiver =
            Receiver::start(move |_, number| Answer::status(if number % 3 == round % 3 { 503 } else { 200 }));
        let rig =
            Rig::with(&config(&receiver.url()), &BatchConfig { max_export_batch_size: 7, ..BATCH }, FAST, 64 << 20);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..25).for_each(|_| rig.send_named(["a", "b", "c"])));
            }
            scope.spawn(|| {
                rig.flush(Duration::from_millis(1));
                rig.shutdown(Duration::from_millis(5));
            });
        });
        let counts = rig.counts();
        assert_eq!((counts.created, counts.pending), (300, 0), "round {round}");
        rig.sink.resume();
        assert!(!rig.worker.is_running());
    }
}
