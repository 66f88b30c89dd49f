//! Parking around a fork: the thread goes, requests in flight stay. What a real fork does to the rest is tested from
//! Python; here the parent's side is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use super::receiver::{Answer, PATIENCE, Receiver};
use super::rig::{BATCH, Rig, SLOW, config};
use crate::sinks::Sink;
use crate::sinks::otlp::testing;

fn park(rig: &Rig) {
    rig.sink.park(Instant::now() + PATIENCE);
}

#[test]
fn a_request_in_flight_survives_parking_untouched() {
    let release = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&release);
    let receiver = Receiver::start(move |_, _| {
        let deadline = Instant::now() + PATIENCE;
        while !gate.load(SeqCst) && Instant::now() < deadline {
            std::thread::yield_now();
        }
        Answer::status(200)
    });
    let rig = Rig::with(&config(&receiver.url()), &BATCH, SLOW, 64 << 20);
    rig.send_named(["in flight"]);
    assert!(!rig.flush(Duration::from_millis(1)));
    receiver.wait_for(1);
    for _ in 0..10 {
        park(&rig);
        assert!(!rig.worker.is_running(), "joined");
        assert_eq!(rig.tally(), (0, 0, 0, 1));
        rig.sink.resume();
        assert!(rig.worker.is_running());
    }
    release.store(true, SeqCst);
    rig.flush_all();
    assert_eq!(receiver.names(), ["in flight"], "sent once");
    assert_eq!(receiver.connections(), 1);
    assert_eq!(rig.tally(), (1, 0, 0, 0));
}

#[test]
fn what_comes_while_parked_waits_and_goes_out_afterwards() {
    let receiver = Receiver::start(|_, _| Answer::status(200));
    let rig = Rig::new(&config(&receiver.url()));
    park(&rig);
    rig.send(testing::named(0, ["first"]));
    assert!(!rig.flush(Duration::from_millis(10)));
    assert!(!rig.worker.is_running());
    rig.sink.resume();
    rig.flush_all();
    park(&rig);
    rig.send(testing::named(1, ["second"]));
    rig.sink.resume();
    rig.flush_all();
    assert_eq!(receiver.names(), ["first", "second"]);
    assert_eq!(rig.tally(), (2, 0, 0, 0));
}

#[test]
fn parking_and_resuming_more_often_than_needed_is_harmless() {
    let receiver = Receiver::start(|_, _| Answer::status(200));
    let rig = Rig::new(&config(&receiver.url()));
    rig.sink.resume();
    park(&rig);
    park(&rig);
    rig.sink.resume();
    rig.sink.resume();
    assert!(!rig.worker.is_running(), "nothing was ever sent");
    rig.send_named(["a"]);
    park(&rig);
    park(&rig);
    rig.sink.resume();
    rig.flush_all();
    rig.shutdown(PATIENCE);
    park(&rig);
    rig.sink.resume();
    assert!(!rig.worker.is_running());
    assert_eq!(rig.tally(), (1, 0, 0, 0));
}

#[test]
fn a_shutdown_while_parked_takes_effect_on_resuming() {
    let receiver = Receiver::start(|_, _| Answer::status(200));
    let rig = Rig::new(&config(&receiver.url()));
    rig.send_named(["a"]);
    park(&rig);
    let (token, done) = crate::sinks::FlushToken::pair();
    rig.sink.shutdown(Instant::now() + PATIENCE, token);
    assert!(done.recv_timeout(Duration::from_millis(10)).is_err_and(|error| error.is_timeout()));
    rig.sink.resume();
    assert!(done.recv_timeout(PATIENCE).is_err_and(|error| error.is_disconnected()));
    assert_eq!(rig.tally(), (1, 0, 0, 0));
}

#[test]
fn parking_races_deliveries_and_loses_nothing() {
    let receiver = Receiver::start(|_, _| Answer::status(200));
    let rig = Rig::new(&config(&receiver.url()));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..200 {
                rig.send_named(["a"]);
            }
        });
        scope.spawn(|| {
            for _ in 0..100 {
                park(&rig);
                rig.sink.resume();
            }
        });
        scope.spawn(|| {
            for _ in 0..50 {
                rig.flush(Duration::from_millis(1));
            }
        });
    });
    rig.flush_all();
    assert_eq!(rig.tally(), (200, 0, 0, 0));
    assert_eq!(receiver.names().len(), 200, "and repeats nothing");
}
