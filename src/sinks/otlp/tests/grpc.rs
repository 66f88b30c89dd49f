//! gRPC against a receiver built on h2 alone: frames and trailers are written out here, so that a mistake in ours is not
//! mirrored by the same mistake on the other side.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Response};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::trace::v1::TracesData;
use prost::Message;

use super::receiver::{PATIENCE, spans};
use super::rig::{BATCH, Rig, SLOW, config};
use crate::config::{Compression, OtlpConfig, Protocol};
use crate::ledger::DropReason;
use crate::sinks::Health;

#[derive(Clone, Debug)]
struct Call {
    at: Instant,
    path: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Call {
    /// The message of the one frame.
    fn message(&self) -> Vec<u8> {
        let (head, message) = self.body.split_at(5);
        assert_eq!(u32::from_be_bytes(head[1..].try_into().unwrap()) as usize, message.len());
        if head[0] == 0 {
            return message.to_vec();
        }
        assert_eq!(self.headers["grpc-encoding"], "gzip");
        let mut plain = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(message), &mut plain).unwrap();
        plain
    }

    fn names(&self) -> Vec<String> {
        let data = TracesData::decode(self.message().as_slice()).unwrap();
        spans(data).into_iter().map(|span| span.name).collect()
    }
}

enum Answer {
    /// A message and trailers.
    Message(Vec<u8>, Vec<(&'static str, String)>),
    /// Trailers alone, where the headers are.
    TrailersOnly(Vec<(&'static str, String)>),
    /// An answer of HTTP, as from a proxy.
    Http(u16),
    /// The stream is reset.
    Reset,
    /// Half a message and no trailers.
    Broken,
    /// Nothing.
    Silence,
}

impl Answer {
    fn ok() -> Self {
        Self::Message(vec![0; 5], vec![("grpc-status", "0".to_owned())])
    }

    fn code(code: u32, message: &str) -> Self {
        Self::TrailersOnly(vec![("grpc-status", code.to_string()), ("grpc-message", message.to_owned())])
    }

    /// A failure with `google.rpc.RetryInfo`: hand-made protobuf, unpadded base64.
    fn busy(code: u32, seconds: u8) -> Self {
        let kind = b"type.googleapis.com/google.rpc.RetryInfo";
        let info = [0x0a, 2, 0x08, seconds];
        let any = [&[0x0a, u8::try_from(kind.len()).unwrap()], kind.as_slice(), &[0x12, 4], &info].concat();
        let status =
            [&[0x08, u8::try_from(code).unwrap(), 0x1a, u8::try_from(any.len()).unwrap()], any.as_slice()].concat();
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let bits = status.iter().map(|byte| format!("{byte:08b}")).collect::<Vec<_>>().concat();
        let digits = bits.as_bytes().chunks(6).map(|six| {
            let padded = format!("{:0<6}", std::str::from_utf8(six).unwrap());
            alphabet[usize::from_str_radix(&padded, 2).unwrap()] as char
        });
        Self::TrailersOnly(vec![("grpc-status", code.to_string()), ("grpc-status-details-bin", digits.collect())])
    }
}

fn map(pairs: &[(&'static str, String)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

struct Receiver {
    address: SocketAddr,
    calls: Arc<Mutex<Vec<Call>>>,
    stop: Arc<tokio::sync::Notify>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop.notify_one();
    }
}

impl Receiver {
    fn start(respond: impl Fn(&Call, usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let calls: Arc<Mutex<Vec<Call>>> = Arc::default();
        let (log, respond) = (Arc::clone(&calls), Arc::new(respond));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let (log, respond) = (Arc::clone(&log), Arc::clone(&respond));
                tokio::spawn(async move {
                    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
                    while let Some(Ok((request, reply))) = connection.accept().await {
                        let (log, respond) = (Arc::clone(&log), Arc::clone(&respond));
                        tokio::spawn(serve(request, reply, log, respond));
                    }
                });
            }
        });
        let stop = Arc::new(tokio::sync::Notify::new());
        let stopped = Arc::clone(&stop);
        std::thread::spawn(move || runtime.block_on(stopped.notified()));
        Self { address, calls, stop }
    }

    fn config(&self) -> OtlpConfig {
        OtlpConfig { protocol: Protocol::Grpc, ..config(&format!("http://{}/", self.address)) }
    }

    fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    fn names(&self) -> Vec<String> {
        self.calls().iter().flat_map(Call::names).collect()
    }

    fn wait_for(&self, calls: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.calls.lock().unwrap().len() < calls {
            assert!(Instant::now() < deadline);
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }
}

async fn serve(
    request: http::Request<h2::RecvStream>,
    mut reply: h2::server::SendResponse<Bytes>,
    log: Arc<Mutex<Vec<Call>>>,
    respond: Arc<impl Fn(&Call, usize) -> Answer>,
) {
    let (parts, mut stream) = request.into_parts();
    let mut call =
        Call { at: Instant::now(), path: parts.uri.path().to_owned(), headers: parts.headers, body: Vec::new() };
    while let Some(Ok(data)) = stream.data().await {
        call.body.extend_from_slice(&data);
        let _ = stream.flow_control().release_capacity(data.len());
    }
    let number = {
        let mut log = log.lock().unwrap();
        log.push(call.clone());
        log.len() - 1
    };
    let head = |status: u16| Response::builder().status(status).header("content-type", "application/grpc");
    match respond(&call, number) {
        Answer::Message(message, trailers) => {
            let mut body = reply.send_response(head(200).body(()).unwrap(), false).unwrap();
            body.send_data(message.into(), false).unwrap();
            body.send_trailers(map(&trailers)).unwrap();
        }
        Answer::TrailersOnly(trailers) => {
            let mut response = head(200).body(()).unwrap();
            response.headers_mut().extend(map(&trailers));
            reply.send_response(response, true).unwrap();
        }
        Answer::Http(status) => {
            reply.send_response(head(status).body(()).unwrap(), true).unwrap();
        }
        Answer::Reset => reply.send_reset(h2::Reason::INTERNAL_ERROR),
        Answer::Broken => {
            let mut body = reply.send_response(head(200).body(()).unwrap(), false).unwrap();
            body.send_data(Bytes::from_static(&[0, 0, 0, 0, 99, 1]), false).unwrap();
            body.send_reset(h2::Reason::INTERNAL_ERROR);
        }
        Answer::Silence => std::future::pending().await,
    }
}

#[test]
fn spans_arrive_by_the_export_method_with_the_metadata() {
    let receiver = Receiver::start(|_, _| Answer::ok());
    let rig = Rig::new(&receiver.config());
    rig.send_named(["first", "second"]);
    rig.flush_all();
    let [call] = receiver.calls().try_into().unwrap();
    assert_eq!(call.path, "/opentelemetry.proto.collector.trace.v1.TraceService/Export");
    assert_eq!(call.names(), ["first", "second"]);
    assert_eq!(call.headers["content-type"], "application/grpc");
    assert_eq!(call.headers["te"], "trailers");
    assert_eq!(call.headers["authorization"], "Bearer secret");
    assert!(call.headers["user-agent"].to_str().unwrap().starts_with("ironspan/"));
    assert!(call.headers.get("content-encoding").is_none());
    assert_eq!(rig.tally(), (2, 0, 0, 0));
    assert_eq!(rig.destination.health(), Health::Healthy);
}

#[test]
fn messages_are_compressed_once_for_all_attempts() {
    let receiver = Receiver::start(|_, number| if number == 0 { Answer::code(14, "away") } else { Answer::ok() });
    let rig = Rig::new(&OtlpConfig { compression: Compression::Gzip, ..receiver.config() });
    rig.send_named(["same name"; 100]);
    rig.flush_all();
    let [first, second] = receiver.calls().try_into().unwrap();
    assert_eq!(first.names().len(), 100);
    assert!(first.body.len() < first.message().len() / 2);
    assert_eq!(first.body, second.body);
    assert_eq!(rig.tally(), (100, 0, 0, 0));
}

#[test]
fn a_large_message_passes_the_flow_control() {
    let receiver = Receiver::start(|_, _| Answer::ok());
    let rig = Rig::new(&receiver.config());
    let name = "n".repeat(3 << 20);
    rig.send_named([name.as_str()]);
    rig.flush_all();
    assert_eq!(receiver.names(), [name]);
}

#[test]
fn partial_success_is_counted() {
    for compressed in [false, true] {
        let receiver = Receiver::start(move |_, _| {
            let partial_success =
                Some(ExportTracePartialSuccess { rejected_spans: 1, error_message: "too old".to_owned() });
            let message = ExportTraceServiceResponse { partial_success }.encode_to_vec();
            // A response that is compressed has to say so in its headers; without that it is not read.
            let flag = u8::from(compressed);
            let length = u32::try_from(message.len()).unwrap().to_be_bytes();
            Answer::Message([&[flag], length.as_slice(), &message].concat(), vec![("grpc-status", "0".to_owned())])
        });
        let rig = Rig::new(&receiver.config());
        rig.send_named(["a", "b"]);
        rig.flush_all();
        assert_eq!(rig.tally(), if compressed { (2, 0, 0, 0) } else { (1, 1, 0, 0) });
        assert_eq!(receiver.calls().len(), 1);
    }
}

#[test]
fn codes_are_retried_as_the_specification_says() {
    for code in [1, 4, 10, 11, 14, 15] {
        let receiver =
            Receiver::start(move |_, number| if number < 2 { Answer::code(code, "wait") } else { Answer::ok() });
        let rig = Rig::new(&receiver.config());
        rig.send_named(["a"]);
        rig.flush_all();
        assert_eq!((receiver.calls().len(), rig.tally()), (3, (1, 0, 0, 0)), "code {code}");
    }
    for code in [2, 3, 5, 6, 8, 9, 12, 13, 99] {
        let receiver = Receiver::start(move |_, _| Answer::code(code, "no"));
        let rig = Rig::new(&receiver.config());
        rig.send_named(["a"]);
        rig.flush_all();
        assert_eq!((receiver.calls().len(), rig.tally()), (1, (0, 1, 0, 0)), "code {code}");
    }
    for code in [7, 16] {
        let receiver = Receiver::start(move |_, _| Answer::code(code, "who"));
        let rig = Rig::with(&receiver.config(), &BATCH, SLOW, 64 << 20);
        rig.send_named(["a"]);
        assert!(!rig.flush(Duration::from_millis(100)));
        receiver.wait_for(1);
        assert_eq!(rig.tally(), (0, 0, 0, 1), "code {code}");
    }
}

#[test]
fn retry_info_is_obeyed_and_makes_exhaustion_retryable() {
    let receiver = Receiver::start(|_, number| if number == 0 { Answer::busy(8, 1) } else { Answer::ok() });
    let rig = Rig::new(&receiver.config());
    rig.send_named(["a"]);
    rig.flush_all();
    let [first, second] = receiver.calls().try_into().unwrap();
    assert!(second.at - first.at >= Duration::from_secs(1));
    assert_eq!(rig.tally(), (1, 0, 0, 0));
}

#[test]
fn messages_over_the_receivers_limit_are_halved_whatever_words_it_uses() {
    for (code, words) in [
        (8, "grpc: received message larger than max (5000 vs. 2000)"),
        (8, "gRPC message exceeds maximum size 2000: 5000"),
        (11, "Error, decoded message length too large: found 5000 bytes, the limit is: 2000 bytes"),
    ] {
        let receiver = Receiver::start(
            move |call, _| {
                if call.body.len() > 2_000 { Answer::code(code, words) } else { Answer::ok() }
            },
        );
        let rig = Rig::new(&receiver.config());
        let name = "n".repeat(500);
        rig.send_named([name.as_str(); 8]);
        rig.flush_all();
        assert_eq!(rig.tally(), (8, 0, 0, 0), "{words}");
        assert_eq!(rig.dropped(DropReason::TooLarge), 0);
    }
}

#[test]
fn a_bad_span_is_found() {
    let receiver = Receiver::start(|call, _| {
        if call.names().iter().any(|name| name == "bad") { Answer::code(3, "invalid%20span") } else { Answer::ok() }
    });
    let rig = Rig::new(&receiver.config());
    rig.send_named(["a", "b", "bad", "c", "d"]);
    rig.flush_all();
    assert_eq!(rig.tally(), (4, 1, 0, 0));
    assert_eq!(rig.destination.last_error().as_deref(), Some("gRPC INVALID_ARGUMENT: invalid span"));
}

#[test]
fn proxies_and_broken_streams_are_failures_that_are_retried_or_not() {
    let twice =
        |answer: fn() -> Answer| Receiver::start(move |_, number| if number < 2 { answer() } else { Answer::ok() });
    for (receiver, requests, tally) in [
        (twice(|| Answer::Http(503)), 3, (1, 0, 0, 0)),
        (twice(|| Answer::Reset), 3, (1, 0, 0, 0)),
        (twice(|| Answer::Broken), 3, (1, 0, 0, 0)),
        (twice(|| Answer::Http(404)), 1, (0, 1, 0, 0)),
        (twice(|| Answer::Http(200)), 1, (0, 1, 0, 0)),
        (twice(|| Answer::Message(Vec::new(), vec![("grpc-status", "what".to_owned())])), 1, (0, 1, 0, 0)),
        (twice(|| Answer::Message(b"junk junk".to_vec(), vec![("grpc-status", "0".to_owned())])), 1, (1, 0, 0, 0)),
    ] {
        let rig = Rig::new(&receiver.config());
        rig.send_named(["a"]);
        rig.flush_all();
        assert_eq!((receiver.calls().len(), rig.tally()), (requests, tally), "{:?}", rig.destination.last_error());
    }
}

#[test]
fn a_silent_receiver_holds_neither_the_deadline_nor_the_shutdown() {
    let receiver = Receiver::start(|_, number| if number == 0 { Answer::Silence } else { Answer::ok() });
    let rig = Rig::new(&OtlpConfig { timeout: Some(Duration::from_millis(100)), ..receiver.config() });
    rig.send_named(["a"]);
    rig.flush_all();
    assert_eq!(receiver.calls().len(), 2);
    assert_eq!(rig.tally(), (1, 0, 0, 0));

    let receiver = Receiver::start(|_, _| Answer::Silence);
    let rig = Rig::new(&receiver.config());
    rig.send_named(["a"]);
    rig.shutdown(Duration::from_millis(100));
    assert_eq!(rig.tally(), (0, 0, 1, 0));
}
