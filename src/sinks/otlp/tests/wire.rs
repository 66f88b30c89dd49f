//! Faults below the meaning of HTTP: connections that fail, lie, stall or go stale.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use super::receiver::{Answer, PATIENCE, Receiver};
use super::rig::{BATCH, FAST, Rig, SLOW, config};
use crate::config::OtlpConfig;
use crate::sinks::Health;

fn with_timeout(url: &str, milliseconds: u64) -> OtlpConfig {
    OtlpConfig { timeout: Some(Duration::from_millis(milliseconds)), ..config(url) }
}

#[test]
fn a_connection_that_went_stale_is_replaced_at_once_and_in_silence() {
    let receiver = Receiver::start(|_, _| Answer::ReplyAndClose { status: 200, headers: Vec::new(), body: Vec::new() });
    // A single wait of this pace would make the test fail.
    let rig = Rig::with(&config(&receiver.url()), &BATCH, SLOW, 64 << 20);
    for round in 0..50 {
        rig.send_named(["a"]);
        assert!(rig.flush(PATIENCE), "round {round}: {:?}", rig.destination.last_error());
    }
    assert_eq!(rig.tally(), (50, 0, 0, 0));
    assert_eq!(receiver.connections(), 50);
    assert_eq!(rig.destination.last_error(), None);
}

#[test]
fn a_kept_connection_that_is_closed_under_a_request_is_replaced_at_once() {
    // The receiver reads the second request of a connection and closes without an answer, as one whose idle timer ran
    // out at that moment.
    let receiver = Receiver::start(|_, number| if number == 1 { Answer::Close } else { Answer::status(200) });
    let rig = Rig::with(&config(&receiver.url()), &BATCH, SLOW, 64 << 20);
    for _ in 0..3 {
        rig.send_named(["a"]);
        rig.flush_all();
    }
    assert_eq!(rig.tally(), (3, 0, 0, 0));
    assert_eq!((receiver.seen().len(), receiver.connections()), (4, 2));
    assert_eq!(rig.destination.last_error(), None);
}

#[test]
fn a_lost_acknowledgement_repeats_one_batch_and_loses_none() {
    let receiver = Receiver::start(|_, number| if number % 10 == 3 { Answer::Close } else { Answer::status(200) });
    let rig = Rig::new(&config(&receiver.url()));
    for _ in 0..100 {
        rig.send_named(["a"]);
        rig.flush_all();
    }
    assert_eq!(rig.tally(), (100, 0, 0, 0));
    let repeated = receiver.seen().len() - 100;
    assert!((10..=12).contains(&repeated), "{repeated}");
}

#[test]
fn answers_that_are_no_http_are_failures_and_nothing_worse() {
    let header_flood = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x-header: y\r\n".repeat(10_000));
    let long_header = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(1 << 20));
    for bytes in [
        b"".to_vec(),
        b"garbage garbage garbage\r\n\r\n".to_vec(),
        b"hello, this is HTTP/0.9".to_vec(),
        b"HTTP/9.9 200 OK\r\n\r\n".to_vec(),
        b"HTTP/1.1 99999 OK\r\n\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello".to_vec(),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\nbad header line\r\n\r\n".to_vec(),
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\n\r\n".to_vec(),
        b"\x00\xff\xfe\x80".repeat(1_000),
        header_flood.into_bytes(),
        long_header.into_bytes(),
    ] {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned();
        let receiver = Receiver::start(
            move |_, number| if number == 0 { Answer::Raw(bytes.clone()) } else { Answer::status(200) },
        );
        let rig = Rig::new(&with_timeout(&receiver.url(), 5_000));
        rig.send_named(["a"]);
        rig.flush_all();
        let (delivered, rejected, dropped, _) = rig.tally();
        assert_eq!((delivered + rejected, dropped), (1, 0), "{shown}");
        assert_eq!(rig.ledger.internal_errors.load(Relaxed), 0, "{shown}");
    }
}

#[test]
fn random_bytes_for_an_answer_never_break_the_sender() {
    let random = std::sync::Mutex::new(fastrand::Rng::with_seed(0x1207));
    let receiver = Receiver::start(move |_, number| {
        let mut random = random.lock().unwrap();
        if number % 4 == 3 {
            return Answer::status(200);
        }
        let mut bytes =
            b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 12\r\n\r\n\x0a\x0a\x08\x01"
                .to_vec();
        for _ in 0..random.usize(1..12) {
            let at = random.usize(..bytes.len());
            bytes[at] = random.u8(..);
        }
        bytes.truncate(random.usize(..=bytes.len()));
        Answer::Raw(bytes)
    });
    let rig = Rig::new(&with_timeout(&receiver.url(), 5_000));
    for _ in 0..250 {
        rig.send_named(["a"]);
        rig.flush_all();
    }
    let (delivered, rejected, dropped, pending) = rig.tally();
    assert_eq!((delivered + rejected, dropped, pending), (250, 0, 0));
    assert_eq!(rig.ledger.internal_errors.load(Relaxed), 0);
}

#[test]
fn a_storm_of_interim_answers_ends_with_the_deadline() {
    let storm = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(20_000);
    let receiver =
        Receiver::start(move |_, number| if number == 0 { Answer::Raw(storm.clone()) } else { Answer::status(200) });
    let rig = Rig::new(&with_timeout(&receiver.url(), 5_000));
    rig.send_named(["a"]);
    rig.flush_all();
    assert_eq!(rig.tally(), (1, 0, 0, 0));
}

#[test]
fn an_answer_that_drips_is_cut_at_the_deadline() {
    let head = b"HTTP/1.1 503 Busy\r\ncontent-length: 1000000\r\n\r\n".to_vec();
    let receiver = Receiver::start(move |_, number| match number {
        0 => Answer::Drip(b"HTTP/1.1 20".to_vec(), Duration::from_millis(10)),
        1 => Answer::Drip(head.clone(), Duration::from_millis(10)),
        _ => Answer::status(200),
    });
    let rig = Rig::new(&with_timeout(&receiver.url(), 100));
    rig.send_named(["a"]);
    rig.flush_all();
    // A machine under load may need another attempt for the good answer, too.
    assert!(receiver.seen().len() >= 3);
    assert_eq!(rig.tally(), (1, 0, 0, 0));
}

#[test]
fn a_receiver_that_says_yes_and_never_ends_its_answer_is_believed_the_third_time() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n".to_vec();
    let endless = Receiver::start(move |_, _| Answer::Drip(head.clone(), Duration::from_millis(10)));
    let broken = Receiver::start(|_, _| Answer::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort".to_vec()));
    let reset = Receiver::start(|_, _| Answer::Reset(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort".to_vec()));
    for receiver in [endless, broken, reset] {
        let rig = Rig::new(&with_timeout(&receiver.url(), 1_000));
        rig.send_named(["a"]);
        rig.flush_all();
        assert_eq!(rig.tally(), (1, 0, 0, 0));
        assert_eq!(receiver.names(), ["a"; 3]);
    }
}

#[test]
fn an_answer_over_the_limit_is_an_error_that_is_not_retried() {
    let packed = {
        use std::io::Write as _;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&vec![0; 5 << 20]).unwrap();
        encoder.finish().unwrap()
    };
    let bomb = Receiver::start(move |_, _| Answer::Reply {
        status: 200,
        headers: vec![("content-encoding", "gzip".to_owned())],
        body: packed.clone(),
    });
    let plain = Receiver::start(|_, _| Answer::Reply { status: 200, headers: Vec::new(), body: vec![0; 5 << 20] });
    for receiver in [bomb, plain] {
        let rig = Rig::new(&config(&receiver.url()));
        rig.send_named(["a"]);
        rig.flush_all();
        assert_eq!(receiver.seen().len(), 1);
        assert_eq!(rig.tally(), (0, 1, 0, 0));
        assert!(rig.destination.last_error().unwrap().contains("larger than the limit"));
    }
}

#[test]
fn an_answer_compressed_unasked_is_read() {
    let packed = {
        use std::io::Write as _;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(br#"{"partialSuccess":{"rejectedSpans":1}}"#).unwrap();
        encoder.finish().unwrap()
    };
    let receiver = Receiver::start(move |_, _| Answer::Reply {
        status: 200,
        headers: vec![("content-encoding", "gzip".to_owned()), ("content-type", "application/json".to_owned())],
        body: packed.clone(),
    });
    let rig = Rig::new(&config(&receiver.url()));
    rig.send_named(["a", "b"]);
    rig.flush_all();
    assert_eq!(rig.tally(), (1, 1, 0, 0));
}

#[test]
fn nobody_at_the_address_means_waiting_until_somebody_is() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let rig = Rig::new(&config(&format!("http://{address}/v1/traces")));
    rig.send_named(["a"]);
    assert!(!rig.flush(Duration::from_millis(50)));
    rig.wait_for(Health::Retrying);
    assert!(rig.destination.last_error().unwrap().contains("onnection refused"), "{:?}", rig.destination.last_error());
    assert_eq!(rig.tally(), (0, 0, 0, 1));
    let listener = TcpListener::bind(address).unwrap();
    let receiver =
        Receiver::start_over(listener, Box::new(|stream| Some(Box::new(stream))), |_, _| Answer::status(200));
    rig.flush_all();
    assert_eq!(receiver.names(), ["a"]);
    assert_eq!(rig.tally(), (1, 0, 0, 0));
}

#[test]
fn localhost_is_this_machine_by_either_family_and_without_a_lookup() {
    let v4 = Receiver::start(|_, _| Answer::status(200));
    let mut receivers = vec![v4];
    // Machines without IPv6 exist.
    if let Ok(listener) = TcpListener::bind("[::1]:0") {
        let wrap = |stream| Some(Box::new(stream) as Box<dyn super::receiver::Stream>);
        receivers.push(Receiver::start_over(listener, Box::new(wrap), |_, _| Answer::status(200)));
    }
    for receiver in receivers {
        for host in ["localhost", "LOCALHOST", "otel.localhost"] {
            let rig = Rig::new(&config(&format!("http://{host}:{}/v1/traces", receiver.address.port())));
            rig.send_named(["a"]);
            rig.flush_all();
            assert_eq!(rig.tally(), (1, 0, 0, 0), "{host}");
        }
        assert_eq!(receiver.names(), ["a"; 3]);
    }
}

#[test]
fn a_name_that_does_not_exist_is_a_failure_that_is_retried() {
    let rig = Rig::new(&config("http://no-such-host.invalid:4318/v1/traces"));
    rig.send_named(["a"]);
    assert!(!rig.flush(Duration::from_millis(200)));
    rig.shutdown(Duration::from_millis(200));
    assert_eq!(rig.tally(), (0, 0, 1, 0));
}

#[test]
fn proxies_in_the_environment_are_not_used() {
    // `HTTP_PROXY` cannot be set here without affecting other tests; that nothing reads it shows in the request's form.
    let receiver = Receiver::start(|_, _| Answer::status(200));
    let rig = Rig::new(&config(&receiver.url()));
    rig.send_named(["a"]);
    rig.flush_all();
    assert_eq!(receiver.seen()[0].start, "POST /v1/traces HTTP/1.1", "not the absolute form that proxies get");
}

#[test]
fn a_receiver_that_answers_before_it_has_read_the_body_is_understood() {
    let refuse = Arc::new(AtomicBool::new(true));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let refusing = Arc::clone(&refuse);
    let server = std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        let mut answered = 0;
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut start = [0; 1024];
            let _ = stream.read(&mut start).unwrap();
            if !refusing.load(Relaxed) {
                return answered;
            }
            answered += 1;
            stream.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
            // Drain, so that the answer is not overtaken by a reset.
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        }
        answered
    });
    let rig = Rig::with(&config(&format!("http://{address}/")), &BATCH, FAST, 64 << 20);
    let name = "n".repeat(3 << 20);
    rig.send_named([name.as_str()]);
    rig.flush_all();
    let (_, _, dropped, _) = rig.tally();
    assert_eq!(dropped, 1);
    refuse.store(false, Relaxed);
    let mut last = std::net::TcpStream::connect(address).unwrap();
    std::io::Write::write_all(&mut last, b"x").unwrap();
    assert!(server.join().unwrap() > 1);
}
