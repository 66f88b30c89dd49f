//! OTLP over gRPC: one unary call, framed here, over the same HTTP client as the other protocols.
//!
//! Not by a generated client: that takes the message by value and encodes and compresses it again for every attempt,
//! where a parcel's body is made once and kept; and a unary call is one frame there and one frame and trailers back.
//!
//! Sources: gRPC over HTTP2 protocol; OTLP specification, "OTLP/gRPC"; `google.rpc.RetryInfo`.

use std::time::{Duration, SystemTime};

use bytes::{BufMut, Bytes, BytesMut};
use http::Uri;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TE};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;

use super::client::{Content, Reply};
use super::compress::{encoding_name, gunzip};
use super::http::{RpcStatus, Verdict, failure};
use super::retry::{Class, clamp_retry_after};
use crate::config::{Compression, OtlpConfig, Problem};
use crate::json::read_base64;

const METHOD: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// The URL of the method on the endpoint's host.
///
/// # Errors
///
/// The endpoint has no host.
pub(super) fn uri(endpoint: &Uri) -> Result<Uri, Problem> {
    let mut parts = endpoint.clone().into_parts();
    parts.path_and_query = METHOD.parse().ok();
    Uri::from_parts(parts).map_err(|_| Problem::new("is not a URL", "write a URL such as http://localhost:4317"))
}

/// Headers of every request.
pub(super) fn headers(config: &OtlpConfig) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = vec![
        (CONTENT_TYPE, HeaderValue::from_static("application/grpc")),
        (TE, HeaderValue::from_static("trailers")),
        (HeaderName::from_static("grpc-accept-encoding"), HeaderValue::from_static("identity,gzip")),
    ];
    if let Some(name) = encoding_name(config.compression) {
        headers.push((HeaderName::from_static("grpc-encoding"), HeaderValue::from_static(name)));
    }
    headers
}

/// A message as gRPC sends it: compressed or not, length, bytes. `None` when the length does not fit its field.
pub(super) fn frame(message: &[u8], compression: Compression) -> Option<Bytes> {
    let mut framed = BytesMut::with_capacity(message.len() + 5);
    framed.put_u8(u8::from(compression != Compression::None));
    framed.put_u32(u32::try_from(message.len()).ok()?);
    framed.extend_from_slice(message);
    Some(framed.freeze())
}

/// What an answer means.
pub(super) fn verdict(reply: &Reply, now: SystemTime) -> Verdict {
    let of = |map: &HeaderMap| Some(map.get("grpc-status")?.to_str().ok()?.parse::<u32>().unwrap_or(UNKNOWN));
    // A call that fails at once has its trailers where the headers are.
    let end = reply.trailers.as_ref().filter(|map| of(map).is_some()).unwrap_or(&reply.headers);
    match (of(end), &reply.body) {
        (None, _) if !reply.status.is_success() => failure(reply, now),
        (Some(0), Content::Whole(body)) => accepted(reply, body),
        (None | Some(0), Content::TooLarge) => {
            refused(Class::Reject, None, "the answer is larger than the limit for answers")
        }
        (None | Some(0), Content::Broken(why)) => Verdict::transport(why.clone()),
        (None, Content::Whole(_)) => refused(Class::Reject, None, "the answer is not gRPC"),
        (Some(code), _) => failed(code, end),
    }
}

fn refused(class: Class, retry_after: Option<Duration>, why: &str) -> Verdict {
    Verdict::Failed { class, retry_after, why: why.to_owned() }
}

fn accepted(reply: &Reply, body: &Bytes) -> Verdict {
    // An empty answer, or one that cannot be read: the status has said yes.
    let message = unframe(body, &reply.headers);
    let answer = message.and_then(|bytes| ExportTraceServiceResponse::decode(bytes).ok());
    Verdict::accepted(answer.and_then(|answer| answer.partial_success))
}

fn unframe(body: &Bytes, headers: &HeaderMap) -> Option<Bytes> {
    let (&compressed, rest) = body.split_first()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let message = rest.get(..length)?;
    if compressed == 0 {
        return Some(body.slice_ref(message));
    }
    let is_gzip = headers.get("grpc-encoding").is_some_and(|name| name.as_bytes() == b"gzip");
    if is_gzip { gunzip(message, LARGEST_ANSWER).ok()? } else { None }
}

/// Of an answer that is compressed after all: it holds a number and a sentence.
const LARGEST_ANSWER: usize = 4 * 1024 * 1024;

const UNKNOWN: u32 = 2;

const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

fn failed(code: u32, end: &HeaderMap) -> Verdict {
    let message = end.get("grpc-message").map(|text| percent_decode(text.as_bytes())).unwrap_or_default();
    let retry_after = end.get("grpc-status-details-bin").and_then(|text| retry_info(text.as_bytes()));
    let name = CODES.get(code as usize).copied().unwrap_or("UNKNOWN");
    // The words of grpc-go, grpc-java, grpcio and tonic for a message over the server's limit. There is no code for it:
    // tonic's OUT_OF_RANGE would otherwise be sent again for ever.
    let too_large = ["larger than max", "length too large", "exceeds maximum size"];
    let class = match name {
        "RESOURCE_EXHAUSTED" | "OUT_OF_RANGE" if too_large.iter().any(|words| message.contains(words)) => Class::Split,
        "CANCELLED" | "DEADLINE_EXCEEDED" | "ABORTED" | "OUT_OF_RANGE" | "UNAVAILABLE" | "DATA_LOSS" => Class::Retry,
        "RESOURCE_EXHAUSTED" if retry_after.is_some() => Class::Retry,
        "UNAUTHENTICATED" | "PERMISSION_DENIED" => Class::Pause,
        "INVALID_ARGUMENT" => Class::Bisect,
        _ => Class::Reject,
    };
    let separator = if message.is_empty() { "" } else { ": " };
    refused(class, retry_after, &format!("gRPC {name}{separator}{message}"))
}

/// The wait that a `google.rpc.Status` in `grpc-status-details-bin` asks for.
fn retry_info(base64: &[u8]) -> Option<Duration> {
    #[derive(Clone, PartialEq, Message)]
    struct RetryInfo {
        #[prost(message, optional, tag = "1")]
        retry_delay: Option<Span>,
    }
    /// `google.protobuf.Duration`.
    #[derive(Clone, PartialEq, Message)]
    struct Span {
        #[prost(int64, tag = "1")]
        seconds: i64,
        #[prost(int32, tag = "2")]
        nanos: i32,
    }
    let status = RpcStatus::decode(read_base64(base64)?.as_slice()).ok()?;
    let any = status.details.iter().find(|any| any.type_url.ends_with("/google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(any.value.as_slice()).ok()?.retry_delay?;
    let seconds = Duration::from_secs(u64::try_from(delay.seconds).ok()?);
    let nanos = Duration::from_nanos(u64::try_from(delay.nanos).ok()?);
    Some(clamp_retry_after(seconds.saturating_add(nanos)))
}

/// gRPC over HTTP2 protocol, Percent-Encoded; lenient, as it asks for.
fn percent_decode(text: &[u8]) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        let escaped = tail.get(..2).filter(|_| byte == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        if let Some(value) = escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            out.push(value);
            rest = tail.get(2..).unwrap_or_default();
        } else {
            out.push(byte);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests: a failure here is the finding")]
mod tests {
    use http::StatusCode;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn messages_are_percent_decoded_and_what_is_no_escape_stays() {
        for (text, expected) in [("a%20b", "a b"), ("100%", "100%"), ("%zz%4", "%zz%4"), ("%C3%A9%ff", "é\u{fffd}")] {
            assert_eq!(percent_decode(text.as_bytes()), expected);
        }
    }

    #[test]
    fn the_url_of_the_method_keeps_scheme_host_and_port() {
        let url = |text: &str| uri(&text.parse().unwrap()).unwrap().to_string();
        assert_eq!(url("http://c:4317/"), format!("http://c:4317{METHOD}"));
        assert_eq!(url("https://[::1]:1/x?y"), format!("https://[::1]:1{METHOD}"));
    }

    proptest! {
        #[test]
        fn any_answer_has_a_meaning(
            status in 200_u16..600,
            code in proptest::option::of("[0-9a-z-]{0,4}"),
            message in "[ -~]{0,40}",
            details in proptest::collection::vec(any::<u8>(), 0..60),
            body in proptest::collection::vec(any::<u8>(), 0..60),
            in_trailers in any::<bool>(),
        ) {
            let mut map = HeaderMap::new();
            if let Some(code) = code {
                map.insert("grpc-status", code.parse().unwrap());
            }
            map.insert("grpc-message", message.parse().unwrap());
            if let Ok(value) = HeaderValue::from_bytes(&details) {
                map.insert("grpc-status-details-bin", value);
            }
            let (headers, trailers) = if in_trailers { (HeaderMap::new(), Some(map)) } else { (map, None) };
            let status = StatusCode::from_u16(status).unwrap();
            let reply = Reply { status, headers, body: Content::Whole(body.into()), trailers };
            if let Verdict::Failed { retry_after: Some(wait), .. } = verdict(&reply, SystemTime::now()) {
                prop_assert!(wait <= Duration::from_secs(60));
            }
        }
    }
}
