//! What the receiver's answers lead to: retries, pauses, halves, shorter spans, rejections.

use std::collections::HashSet;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Wire;
use prost::Message;

use super::receiver::{Answer, PATIENCE, Receiver, Seen};
use super::rig::{BATCH, FAST, Rig, SLOW, config};
use crate::config::BatchConfig;
use crate::config::{OtlpConfig, Protocol};
use crate::ledger::DropReason;
use crate::sinks::otlp::retry::Pace;
use crate::sinks::otlp::testing;
use crate::sinks::{Health, Sink};

#[test]
fn busy_receivers_are_tried_again_until_they_accept() {
    for status in [429, 502, 503, 504] {
        let receiver = Receiver::start(move |_, number| Answer::status(if number < 3 { status } else { 200 }));
        let rig = Rig::new(&config(&receiver.url()));
        rig.send_named(["a", "b"]);
        rig.flush_all();
        assert_eq!(receiver.seen().len(), 4, "{status}");
        assert_eq!(receiver.connections(), 1, "{status}");
        assert_eq!(rig.tally(), (2, 0, 0, 0));
        assert_eq!(rig.destination.health(), Health::Healthy);
        assert_eq!(rig.destination.last_error(), Some(format!("HTTP {status} {}", reason(status))));
    }
}

fn reason(status: u16) -> &'static str {
    http::StatusCode::from_u16(status).unwrap().canonical_reason().unwrap()
}

#[test]
fn refusals_are_counted_and_never_sent_again() {
    for status in [301, 307, 308, 404, 405, 408, 415, 500, 501] {
        let other = Receiver::start(|_, _| Answer::status(200));
        let elsewhere = other.url();
        let receiver = Receiver::start(move |seen, _| {
            let refused = seen.names().iter().any(|name| name == "refused");
            if refused { Answer::with(status, "location", elsewhere.clone()) } else { Answer::status(200) }
        });
        let rig = Rig::new(&config(&receiver.url()));
        rig.send_named(["refused"; 3]);
        rig.flush_all();
        rig.send_named(["good"]);
        rig.flush_all();
        assert_eq!(receiver.seen().len(), 2, "{status}");
        assert_eq!(other.connections(), 0, "credentials stay with the host they were given for");
        assert_eq!(rig.tally(), (1, 3, 0, 0));
        assert!(rig.destination.last_error().unwrap().starts_with(&format!("HTTP {status}")));
    }
}

#[test]
fn a_refusal_of_credentials_pauses_and_keeps_everything() {
    for status in [401, 403] {
        let receiver = Receiver::start(move |_, number| Answer::status(if number == 0 { status } else { 200 }));
        let rig = Rig::new(&config(&receiver.url()));
        rig.send_named(["kept"]);
        rig.flush_all();
        assert_eq!(receiver.names(), ["kept", "kept"]);
        assert_eq!(rig.tally(), (1, 0, 0, 0));
    }
    let receiver = Receiver::start(|_, _| Answer::status(401));
    let rig = Rig::with(&config(&receiver.url()), &BATCH, SLOW, 64 << 20);
    rig.send_named(["kept"]);
    assert!(!rig.flush(Duration::from_millis(50)));
    rig.wait_for(Health::Paused);
    assert_eq!(rig.tally(), (0, 0, 0, 1));
}

#[test]
fn retry_after_is_never_cut_short_by_a_backoff_or_a_flush() {
    let receiver =
        Receiver::start(
            |_, number| {
                if number == 0 { Answer::with(429, "retry-after", "1") } else { Answer::status(200) }
            },
        );
    let rig = Rig::new(&config(&receiver.url()));
    rig.send_named(["a"]);
    for _ in 0..20 {
        rig.flush(Duration::from_millis(10));
    }
    rig.flush_all();
    let [first, second] = receiver.seen().try_into().unwrap();
    assert!(second.at - first.at >= Duration::from_secs(1));
    assert_eq!(rig.tally(), (1, 0, 0, 0));
}

#[test]
fn a_retry_after_that_makes_no_sense_means_the_usual_backoff() {
    for text in ["-1", "1e99", "abc", "Sun, 06 Nov 1994 08:49:37 GMT", &"x".repeat(10_240), ""] {
        let text = text.to_owned();
        let receiver = Receiver::start(move |_, number| {
            if number == 0 { Answer::with(429, "retry-after", text.clone()) } else { Answer::status(200) }
        });
        let rig = Rig::new(&config(&receiver.url()));
        rig.send_named(["a"]);
        rig.flush_all();
        assert_eq!(receiver.seen().len(), 2);
        assert_eq!(rig.tally(), (1, 0, 0, 0));
        assert_eq!(rig.ledger.internal_errors.load(std::sync::atomic::Ordering::Relaxed), 0);
    }
}

#[test]
fn a_flush_tries_again_before_the_backoff_ends_but_keeps_the_pace() {
    let receiver = Receiver::start(|_, _| Answer::status(503));
    let rig = Rig::with(&config(&receiver.url()), &BATCH, SLOW, 64 << 20);
    rig.send_named(["a"]);
    for flushes in 1..=Pace::REQUESTS {
        assert!(!rig.flush(Duration::from_millis(5)));
        receiver.wait_for(flushes);
    }
    for _ in 0..50 {
        assert!(!rig.flush(Duration::from_millis(1)));
    }
    assert_eq!(receiver.seen().len(), Pace::REQUESTS, "at most twelve requests in a minute");
    assert_eq!(rig.tally(), (0, 0, 0, 1));
}

fn partial(rejected: i64, message: &str) -> Vec<u8> {
    let partial_success =
        Some(ExportTracePartialSuccess { rejected_spans: rejected, error_message: message.to_owned() });
    ExportTraceServiceResponse { partial_success }.encode_to_vec()
}

#[test]
fn a_partial_success_is_counted_and_not_retried() {
    let protobuf = Receiver::start(|_, _| Answer::body(200, "application/x-protobuf", partial(3, "no\nname")));
    let rig = Rig::new(&config(&protobuf.url()));
    // Two deliveries in one request: the count is shared out over both.
    rig.send_named(["a", "b"]);
    rig.send_named(["c", "d"]);
    rig.flush_all();
    assert_eq!(rig.tally(), (1, 3, 0, 0));
    assert_eq!(protobuf.seen().len(), 1);
    assert_eq!(rig.destination.last_error().as_deref(), Some("accepted with a remark (3 spans rejected): no\\nname"));

    let body = r#"{"partialSuccess":{"rejectedSpans":"1","errorMessage":"too old"}}"#;
    let json = Receiver::start(move |_, _| Answer::body(200, "application/json; charset=utf-8", body));
    let rig = Rig::new(&OtlpConfig { protocol: Protocol::HttpJson, ..config(&json.url()) });
    rig.send_named(["a", "b"]);
    rig.flush_all();
    assert_eq!(rig.tally(), (1, 1, 0, 0));
}

#[test]
fn a_partial_success_that_says_too_much_or_nothing_is_kept_in_bounds() {
    for (answer, expected) in [
        (partial(99, ""), (0, 2, 0, 0)),
        (partial(-5, ""), (2, 0, 0, 0)),
        (partial(0, "slow down"), (2, 0, 0, 0)),
        (b"\xff\xff no protobuf".to_vec(), (2, 0, 0, 0)),
    ] {
        let receiver = Receiver::start(move |_, _| Answer::body(200, "application/x-protobuf", answer.clone()));
        let rig = Rig::new(&config(&receiver.url()));
        rig.send_named(["a", "b"]);
        rig.flush_all();
        assert_eq!(rig.tally(), expected);
        assert_eq!(receiver.seen().len(), 1);
    }
}

#[test]
fn the_message_of_a_failure_is_told_in_one_line_without_control_characters() {
    let status = |text: &str| [&[0x12, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    for (kind, body) in [
        ("application/x-protobuf", status("bad\u{1b}[31m\nspan")),
        ("application/json", br#"{"code":3,"message":"bad\u001b[31m\nspan"}"#.to_vec()),
        ("text/plain", b"bad\x1b[31m\nspan".to_vec()),
    ] {
        let receiver = Receiver::start(move |_, _| Answer::body(500, kind, body.clone()));
        let rig = Rig::new(&config(&receiver.url()));
        rig.send_named(["a"]);
        rig.flush_all();
        let error = rig.destination.last_error().unwrap();
        assert_eq!(error, "HTTP 500 Internal Server Error: bad\\u{1b}[31m\\nspan", "{kind}");
    }
}

#[test]
fn one_bad_span_in_ten_thousand_is_found_and_all_others_arrive() {
    for bad in [0, 1, 4_711, 9_999] {
        let receiver = Receiver::start(|seen, _| {
            Answer::status(if seen.names().iter().any(|name| name == "bad") { 400 } else { 200 })
        });
        let rig = Rig::new(&config(&receiver.url()));
        let names: Vec<String> =
            (0..10_000).map(|at| if at == bad { "bad".to_owned() } else { format!("span {at}") }).collect();
        rig.send_named(names.iter().map(String::as_str));
        rig.flush_all();
        assert_eq!(rig.tally(), (9_999, 1, 0, 0));
        let requests = receiver.seen().len();
        let needed = 10_000_usize.div_ceil(512);
        assert!(requests <= needed + 20, "{requests} requests");
        let alone = receiver.seen().iter().filter(|seen| seen.names() == ["bad"]).count();
        assert_eq!(alone, 1, "once it is found it is not sent again");
    }
}

#[test]
fn a_receiver_that_refuses_everything_costs_about_a_request_per_batch() {
    let receiver = Receiver::start(|_, _| Answer::status(400));
    let rig = Rig::new(&config(&receiver.url()));
    let names = vec!["bad"; 10_000];
    rig.send_named(names);
    rig.flush_all();
    assert_eq!(rig.tally(), (0, 10_000, 0, 0));
    let requests = receiver.seen().len();
    // The budget, what it earns meanwhile, and the halves that were cut off when it ended.
    assert!(requests <= 20 + 20 + 20 + 10, "{requests} requests");
}

#[test]
fn several_bad_spans_do_not_take_the_good_ones_along_while_the_budget_lasts() {
    let receiver = Receiver::start(|seen, _| {
        Answer::status(if seen.names().iter().any(|name| name.starts_with("bad")) { 400 } else { 200 })
    });
    let rig = Rig::new(&config(&receiver.url()));
    let names: Vec<String> =
        (0..16).map(|at| if at == 3 || at == 12 { format!("bad {at}") } else { format!("good {at}") }).collect();
    rig.send_named(names.iter().map(String::as_str));
    rig.flush_all();
    assert_eq!(rig.tally(), (14, 2, 0, 0));
}

#[test]
fn a_request_that_is_too_large_is_halved_and_later_ones_are_made_smaller() {
    let receiver = Receiver::start(|seen, _| Answer::status(if seen.body.len() > 1 << 20 { 413 } else { 200 }));
    let rig = Rig::new(&config(&receiver.url()));
    let names: Vec<String> = (0..80).map(|at| format!("{at:05} {}", "n".repeat(100_000))).collect();
    for part in names.chunks(40) {
        rig.send_named(part.iter().map(String::as_str));
        rig.flush_all();
    }
    assert_eq!(rig.tally(), (80, 0, 0, 0));
    let seen = receiver.seen();
    let accepted: Vec<_> = seen.iter().filter(|seen| seen.body.len() <= 1 << 20).flat_map(Seen::names).collect();
    assert_eq!(accepted, names, "each once, in order");
    let refused: Vec<_> = seen.iter().map(|seen| seen.body.len() > 1 << 20).collect();
    assert!(refused.iter().filter(|&&refused| refused).count() <= 6, "{refused:?}");
    assert!(!refused[refused.len() / 2..].contains(&true), "the second half of the requests knows the limit");
}

#[test]
fn a_single_span_that_is_too_large_arrives_shortened_with_a_mark() {
    let receiver = Receiver::start(|seen, _| Answer::status(if seen.body.len() > 1 << 20 { 413 } else { 200 }));
    let rig = Rig::new(&config(&receiver.url()));
    let large = testing::one(testing::head(9), |tape| {
        tape.str("input");
        tape.str(&"x".repeat(5 << 20));
        tape.str("model");
        tape.str("m");
    });
    rig.send_named(["small"]);
    rig.send(large);
    rig.send_named(["small"]);
    rig.flush_all();
    assert_eq!(rig.tally(), (3, 0, 0, 0));
    let accepted: Vec<_> =
        receiver.seen().iter().filter(|seen| seen.body.len() <= 1 << 20).flat_map(Seen::spans).collect();
    assert_eq!(accepted.len(), 3);
    let span = accepted.iter().find(|span| span.name == "step").unwrap();
    let value = |key: &str| {
        span.attributes
            .iter()
            .find(|pair| pair.key == key)
            .and_then(|pair| pair.value.clone())
            .and_then(|any| any.value)
    };
    assert_eq!(value("ironspan.truncated"), Some(Wire::BoolValue(true)));
    assert_eq!(value("model"), Some(Wire::StringValue("m".to_owned())));
    let Some(Wire::StringValue(input)) = value("input") else { panic!("a text") };
    assert!(input.len() > 1 << 18 && input.len() < 1 << 20, "{}", input.len());
    let marks = accepted.iter().filter(|span| span.attributes.iter().any(|pair| pair.key == "ironspan.truncated"));
    assert_eq!(marks.count(), 1);
}

#[test]
fn a_span_over_our_own_limit_is_shortened_before_it_is_sent() {
    let receiver = Receiver::start(|_, _| Answer::status(200));
    let rig = Rig::new(&OtlpConfig { max_request_bytes: 10_000, ..config(&receiver.url()) });
    rig.send(testing::one(testing::head(9), |tape| {
        tape.str("input");
        tape.str(&"x".repeat(50_000));
    }));
    rig.flush_all();
    assert_eq!(rig.tally(), (1, 0, 0, 0));
    let [seen] = receiver.seen().try_into().unwrap();
    assert!(seen.body.len() <= 10_000 && seen.body.len() > 3_000, "{}", seen.body.len());
}

#[test]
fn a_span_that_stays_too_large_however_short_is_counted_as_such() {
    let receiver = Receiver::start(|_, _| Answer::status(413));
    let rig = Rig::new(&config(&receiver.url()));
    rig.send_named(["a", "b"]);
    rig.flush_all();
    assert_eq!(rig.dropped(DropReason::TooLarge), 2);
    assert_eq!(rig.counts().pending, 0);
    assert!(receiver.seen().len() < 12);
}

#[test]
fn what_is_sent_again_keeps_its_ids() {
    let receiver = Receiver::start(|_, number| if number == 0 { Answer::Close } else { Answer::status(200) });
    let rig = Rig::new(&config(&receiver.url()));
    rig.send_named(["a", "b", "c"]);
    rig.flush_all();
    let ids: Vec<HashSet<_>> =
        receiver.seen().iter().map(|seen| seen.spans().into_iter().map(|span| span.span_id).collect()).collect();
    assert_eq!(ids.len(), 2);
    assert_eq!(ids[0], ids[1]);
    assert_eq!(rig.tally(), (3, 0, 0, 0));
}

#[test]
fn the_queue_waits_behind_a_receiver_that_is_away_and_then_goes_out_in_order() {
    let receiver = Receiver::start(|_, number| Answer::status(if number < 5 { 503 } else { 200 }));
    let rig = Rig::with(&config(&receiver.url()), &BatchConfig { max_export_batch_size: 2, ..BATCH }, FAST, 64 << 20);
    let names: Vec<String> = (0..20).map(|at| format!("span {at}")).collect();
    for name in &names {
        rig.send_named([name.as_str()]);
    }
    rig.flush_all();
    assert_eq!(receiver.names()[10..], names);
    assert_eq!(rig.tally(), (20, 0, 0, 0));
    rig.sink.flush(std::time::Instant::now() + PATIENCE, crate::sinks::FlushToken::pair().0);
}
