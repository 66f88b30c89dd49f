//! Panics, failures and stalls of our own, each in a process of its own: the variable that asks for them is read once.

use std::process::Command;
use std::time::Duration;

use super::receiver::{Answer, PATIENCE, Receiver};
use super::rig::{BATCH, FAST, Rig, config};
use crate::config::BatchConfig;
use crate::ledger::DropReason;

/// Runs an ignored test of this file with a failpoint set.
fn run(test: &str, failpoint: &str) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("sinks::otlp::tests::failpoints::{test}"), "--include-ignored", "--test-threads=1"])
        .env("IRONSPAN_FAILPOINT", failpoint)
        .output()
        .unwrap();
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && report.contains("1 passed"), "{report}");
}

#[test]
fn panics_cost_what_was_in_hand_and_never_the_thread() {
    run("child_with_panics", "otlp.send:panic");
}

#[test]
#[ignore = "runs in a process of its own, started by the test above"]
fn child_with_panics() {
    let receiver = Receiver::start(|_, _| Answer::status(200));
    let rig = Rig::with(&config(&receiver.url()), &BatchConfig { max_export_batch_size: 2, ..BATCH }, FAST, 64 << 20);
    for round in 1..=3 {
        rig.send_named(["a", "b", "c"]);
        rig.flush_all();
        assert_eq!(rig.dropped(DropReason::Internal), 3 * round);
    }
    assert!(rig.worker.is_running());
    assert!(rig.ledger.internal_errors.load(std::sync::atomic::Ordering::Relaxed) >= 6);
    rig.send_named(["d"]);
    rig.shutdown(PATIENCE);
    assert_eq!(rig.tally(), (0, 0, 10, 0));
    assert_eq!(receiver.seen().len(), 0);
}

#[test]
fn failures_are_retried_until_the_shutdown() {
    run("child_with_failures", "otlp.send:error");
}

#[test]
#[ignore = "runs in a process of its own, started by the test above"]
fn child_with_failures() {
    let receiver = Receiver::start(|_, _| Answer::status(200));
    let rig = Rig::new(&config(&receiver.url()));
    rig.send_named(["a"]);
    assert!(!rig.flush(Duration::from_millis(50)));
    assert_eq!(rig.tally(), (0, 0, 0, 1));
    rig.shutdown(PATIENCE);
    assert_eq!(rig.dropped(DropReason::Shutdown), 1);
}

#[test]
fn a_stall_of_the_thread_delays_and_loses_nothing() {
    run("child_with_stalls", "otlp.send:delay");
}

#[test]
#[ignore = "runs in a process of its own, started by the test above"]
fn child_with_stalls() {
    let receiver = Receiver::start(|_, _| Answer::status(200));
    let rig = Rig::new(&config(&receiver.url()));
    rig.send_named(["a"]);
    rig.flush_all();
    rig.send_named(["b"]);
    rig.shutdown(PATIENCE);
    assert_eq!(rig.tally(), (2, 0, 0, 0));
}
