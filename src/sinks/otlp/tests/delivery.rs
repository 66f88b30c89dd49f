//! What arrives, in how many requests, and when.

use std::time::Duration;

use super::receiver::{Answer, PATIENCE, Receiver};
use super::rig::{BATCH, FAST, Rig, SLOW, config};
use crate::config::{BatchConfig, Compression, OtlpConfig, Protocol};
use crate::ledger::DropReason;
use crate::sinks::otlp::testing;
use crate::sinks::{Health, Sink};

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("span {number}")).collect()
}

#[test]
fn spans_arrive_as_protobuf_with_exact_headers() {
    let receiver = Receiver::start(|_, _| Answer::status(200));
    let rig = Rig::new(&config(&receiver.url()));
    assert_eq!(rig.destination.health(), Health::Unknown);
    rig.send_named(["first", "second"]);
    rig.flush_all();

    let [request] = receiver.seen().try_into().unwrap();
    assert_eq!(request.names(), ["first", "second"]);
    assert_eq!(request.start, "POST /v1/traces HTTP/1.1");
    assert_eq!(request.header("content-type"), Some("application/x-protobuf"));
    assert_eq!(request.header("content-encoding"), None);
    assert_eq!(request.header("accept-encoding"), None);
    assert_eq!(request.header("authorization"), Some("Bearer secret"));
    assert_eq!(request.header("host"), Some(receiver.address.to_string().as_str()));
    let agent = format!("ironspan/{0} OTel-OTLP-Exporter-Rust/{0}", env!("CARGO_PKG_VERSION"));
    assert_eq!(request.header("user-agent"), Some(agent.as_str()));
    assert_eq!(rig.tally(), (2, 0, 0, 0));
    assert_eq!(rig.destination.health(), Health::Healthy);
    assert_eq!(rig.destination.last_error(), None);
}

#[test]
fn spans_arrive_as_json() {
    let receiver = Receiver::start(|_, _| Answer::body(200, "application/json", r#"{"partialSuccess":null}"#));
    let rig = Rig::new(&OtlpConfig { protocol: Protocol::HttpJson, ..config(&receiver.url()) });
    rig.send_named(["first"]);
    rig.flush_all();
    assert_eq!(receiver.seen()[0].header("content-type"), Some("application/json"));
    assert_eq!(receiver.names(), ["first"]);
    assert_eq!(rig.tally(), (1, 0, 0, 0));
}

#[test]
fn bodies_are_compressed_and_the_same_bytes_are_sent_again() {
    let ways = [
        Compression::Gzip,
        #[cfg(feature = "zstd")]
        Compression::Zstd,
    ];
    for compression in ways {
        let receiver = Receiver::start(|_, number| Answer::status(if number == 0 { 503 } else { 200 }));
        let rig = Rig::new(&OtlpConfig { compression, ..config(&receiver.url()) });
        rig.send_named(["same name"; 100]);
        rig.flush_all();
        let [first, second] = receiver.seen().try_into().unwrap();
        assert_eq!(first.names().len(), 100);
        assert!(first.body.len() < first.plain().len() / 2);
        assert_eq!(first.body, second.body);
        assert_eq!(rig.tally(), (100, 0, 0, 0));
    }
}

#[test]
fn small_deliveries_share_a_request_and_large_ones_are_cut() {
    let receiver = Receiver::start(|_, _| Answer::status(200));
    let batch = BatchConfig { max_export_batch_size: 10, ..BATCH };
    let rig = Rig::with(&config(&receiver.url()), &batch, FAST, 64 << 20);
    let names = numbered(37);
    for part in names[..9].chunks(3) {
        rig.send_named(part.iter().map(String::as_str));
    }
    assert_eq!(receiver.seen().len(), 0, "nine spans wait for company");
    rig.send_named(names[9..].iter().map(String::as_str));
    rig.flush_all();
    let sizes: Vec<_> = receiver.seen().iter().map(|seen| seen.names().len()).collect();
    assert_eq!(sizes, [10, 10, 10, 7]);
    assert_eq!(receiver.names(), names, "in order");
    assert_eq!(receiver.connections(), 1, "the connection is kept");
    assert_eq!(rig.tally(), (37, 0, 0, 0));
}

#[test]
fn requests_are_cut_by_bytes_and_a_large_span_goes_alone() {
    let receiver = Receiver::start(|_, _| Answer::status(200));
    let rig = Rig::new(&OtlpConfig { batch_bytes: 10_000, ..config(&receiver.url()) });
    let names: Vec<String> = [4_000, 4_000, 4_000, 20_000, 100].map(|size| "n".repeat(size)).into();
    rig.send_named(names.iter().map(String::as_str));
    rig.flush_all();
    let sizes: Vec<_> = receiver.seen().iter().map(|seen| seen.names().len()).collect();
    assert_eq!(sizes, [2, 1, 1, 1]);
    assert_eq!(receiver.names(), names);
}

#[test]
fn spans_are_sent_without_a_flush_when_the_delay_has_passed() {
    let receiver = Receiver::start(|_, _| Answer::status(200));
    let batch = BatchConfig { schedule_delay: Duration::from_millis(20), ..BATCH };
    let rig = Rig::with(&config(&receiver.url()), &batch, FAST, 64 << 20);
    rig.send_named(["first"]);
    receiver.wait_for(1);
    rig.flush_all();
    assert_eq!(receiver.names(), ["first"]);
}

#[test]
fn a_flush_sends_even_if_nobody_has_time_to_wait_for_it() {
    let receiver = Receiver::start(|_, _| Answer::status(200));
    let rig = Rig::new(&config(&receiver.url()));
    rig.send_named(["a"]);
    rig.flush(Duration::ZERO);
    receiver.wait_for(1);
    rig.send_named(["b"]);
    rig.flush_all();
    assert_eq!(receiver.names(), ["a", "b"]);
}

#[test]
fn a_full_portion_is_sent_without_a_flush() {
    let receiver = Receiver::start(|_, _| Answer::status(200));
    let rig = Rig::with(&config(&receiver.url()), &BatchConfig { max_export_batch_size: 3, ..BATCH }, FAST, 64 << 20);
    rig.send_named(["a", "b", "c"]);
    receiver.wait_for(1);
    rig.flush_all();
    assert_eq!(rig.tally(), (3, 0, 0, 0));
}

#[test]
fn a_flush_with_nothing_to_send_is_done_at_once_and_starts_nothing() {
    let receiver = Receiver::start(|_, _| Answer::status(200));
    let rig = Rig::new(&config(&receiver.url()));
    assert!(rig.flush(PATIENCE));
    assert!(rig.shutdown(PATIENCE) < PATIENCE);
    assert_eq!(receiver.connections(), 0);
}

#[test]
fn the_newest_delivery_is_dropped_when_the_queue_holds_its_bytes() {
    let receiver = Receiver::start(|_, number| if number == 0 { Answer::Silence } else { Answer::status(200) });
    let batch = BatchConfig { max_export_batch_size: 1, ..BATCH };
    let rig = Rig::with(&config(&receiver.url()), &batch, SLOW, 5_000);
    let name = "n".repeat(1_000);
    rig.send_named([name.as_str()]);
    receiver.wait_for(1);
    // In flight and waiting count together: with a thousand bytes each and some around them, four fit.
    for _ in 0..10 {
        rig.send_named([name.as_str()]);
    }
    assert_eq!(rig.dropped(DropReason::QueueFull), 7);
    assert_eq!(rig.counts().pending, 4);
    rig.shutdown(Duration::ZERO);
    assert_eq!(rig.dropped(DropReason::Shutdown), 4);
    assert_eq!(rig.counts().pending, 0);
}

#[test]
fn deliveries_after_the_shutdown_are_counted_and_nothing_is_sent() {
    let receiver = Receiver::start(|_, _| Answer::status(200));
    let rig = Rig::new(&config(&receiver.url()));
    rig.send_named(["early"]);
    rig.shutdown(PATIENCE);
    rig.send_named(["late"]);
    assert!(rig.flush(PATIENCE));
    rig.shutdown(PATIENCE);
    assert_eq!(receiver.names(), ["early"]);
    assert_eq!(rig.tally(), (1, 0, 1, 0));
    assert_eq!(rig.dropped(DropReason::Shutdown), 1);
    assert_eq!(rig.destination.health(), Health::Stopped);
}

#[test]
fn a_destination_that_hangs_does_not_hold_up_another_on_the_same_thread() {
    let silent = Receiver::start(|_, _| Answer::Silence);
    let healthy = Receiver::start(|_, _| Answer::status(200));
    let first = Rig::new(&config(&silent.url()));
    let mut second = Rig::new(&config(&healthy.url()));
    second.sink = crate::sinks::otlp::OtlpSink::with_pace(
        &config(&healthy.url()),
        &BATCH,
        std::sync::Arc::clone(&second.destination),
        &first.worker,
        FAST,
    )
    .unwrap();
    first.send_named(["stuck"]);
    assert!(!first.flush(Duration::from_millis(20)));
    silent.wait_for(1);
    second.send(testing::named(0, ["a", "b"]));
    second.flush_all();
    assert_eq!(healthy.names(), ["a", "b"]);

    let (token, done) = crate::sinks::FlushToken::pair();
    first.sink.shutdown(std::time::Instant::now(), token);
    second.shutdown(PATIENCE);
    assert!(done.recv_timeout(PATIENCE).is_err_and(|error| error.is_disconnected()));
    assert_eq!((first.tally(), second.tally()), ((0, 0, 1, 0), (2, 0, 0, 0)));
}
