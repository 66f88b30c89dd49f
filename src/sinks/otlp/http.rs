//! OTLP over HTTP: how a request looks, and what its answer means.
//!
//! Source: OTLP specification, "OTLP/HTTP Request" and "OTLP/HTTP Response".

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse};
use prost::Message;

use super::client::{Content, Reply};
use super::compress::encoding_name;
use super::json;
use super::retry::{Class, classify, parse_retry_after};
use crate::config::{OtlpConfig, Protocol};

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The receiver has the spans, but for `rejected` of them; `message` is what it says about that.
    Accepted { rejected: usize, message: Option<String> },
    /// The receiver said yes, and the rest of its answer did not arrive.
    Unclear { why: String },
    /// Something else, for a reason.
    Failed { class: Class, retry_after: Option<Duration>, why: String },
}

impl Verdict {
    /// A failure below HTTP: nothing is known, so the request is repeated.
    pub(super) fn transport(why: impl Into<String>) -> Self {
        Self::Failed { class: Class::Retry, retry_after: None, why: why.into() }
    }

    /// What a partial success says: never retried (OTLP specification, "Partial Success").
    pub(super) fn accepted(partial: Option<ExportTracePartialSuccess>) -> Self {
        let partial = partial.unwrap_or_default();
        let rejected = usize::try_from(partial.rejected_spans).unwrap_or(0);
        Self::Accepted { rejected, message: (!partial.error_message.is_empty()).then_some(partial.error_message) }
    }
}

/// Headers of every request.
pub(super) fn headers(config: &OtlpConfig) -> Vec<(HeaderName, HeaderValue)> {
    // Exactly these: some receivers refuse a content type with parameters.
    let content_type = match config.protocol {
        Protocol::HttpJson => "application/json",
        Protocol::HttpProtobuf | Protocol::Grpc => "application/x-protobuf",
    };
    let mut headers = vec![(CONTENT_TYPE, HeaderValue::from_static(content_type))];
    if let Some(name) = encoding_name(config.compression) {
        headers.push((CONTENT_ENCODING, HeaderValue::from_static(name)));
    }
    headers
}

/// What an answer means.
pub(super) fn verdict(reply: &Reply, now: SystemTime) -> Verdict {
    if reply.status.is_success() {
        return match &reply.body {
            Content::Whole(body) => Verdict::accepted(partial_success(&reply.headers, body)),
            Content::Broken(why) => Verdict::Unclear { why: why.clone() },
            // OTLP exporter specification, "maximum response size": not retryable.
            Content::TooLarge => Verdict::Failed {
                class: Class::Reject,
                retry_after: None,
                why: "the answer is larger than the limit for answers".to_owned(),
            },
        };
    }
    failure(reply, now)
}

/// What a status other than 2xx means; for gRPC, too, where a proxy answers in its place.
pub(super) fn failure(reply: &Reply, now: SystemTime) -> Verdict {
    let header = reply.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let class = classify(reply.status);
    let mut why = format!("HTTP {}", reply.status);
    if reply.status.is_redirection() {
        why.push_str(" (redirects are not followed)");
    }
    if let Content::Whole(body) = &reply.body
        && let Some(message) = failure_message(&reply.headers, body)
    {
        why.push_str(": ");
        why.push_str(&message);
    }
    Verdict::Failed { class, retry_after: header.and_then(|text| parse_retry_after(text, now)), why }
}

fn is_json(headers: &HeaderMap) -> bool {
    media_type(headers).is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"))
}

fn media_type(headers: &HeaderMap) -> Option<&str> {
    headers.get(CONTENT_TYPE)?.to_str().ok()?.split(';').next().map(str::trim)
}

/// Absent, `null` and unreadable all mean plain success: the status has said so already.
fn partial_success(headers: &HeaderMap, body: &Bytes) -> Option<ExportTracePartialSuccess> {
    if !is_json(headers) {
        return ExportTraceServiceResponse::decode(body.clone()).ok()?.partial_success;
    }
    json::read_partial_success(body)
}

/// `google.rpc.Status`, of which HTTP uses the message alone.
#[derive(Clone, PartialEq, Message)]
pub(super) struct RpcStatus {
    #[prost(string, tag = "2")]
    pub(super) message: String,
    #[prost(message, repeated, tag = "3")]
    pub(super) details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Any {
    #[prost(string, tag = "1")]
    pub(super) type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) value: Vec<u8>,
}

fn failure_message(headers: &HeaderMap, body: &Bytes) -> Option<String> {
    let message = if is_json(headers) {
        let answer: serde_json::Value = serde_json::from_slice(body).ok()?;
        answer.get("message")?.as_str()?.to_owned()
    } else {
        match media_type(headers) {
            Some("application/x-protobuf") => RpcStatus::decode(body.clone()).ok()?.message,
            Some("text/plain") => String::from_utf8_lossy(body.get(..256).unwrap_or(body)).into_owned(),
            _ => return None,
        }
    };
    let message = message.trim();
    (!message.is_empty()).then(|| message.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests: a failure here is the finding")]
mod tests {
    use http::StatusCode;
    use proptest::prelude::*;

    use super::*;

    fn reply(status: u16, kind: &str, body: &[u8]) -> Reply {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, kind.parse().unwrap());
        let status = StatusCode::from_u16(status).unwrap();
        Reply { status, headers, body: Content::Whole(Bytes::copy_from_slice(body)), trailers: None }
    }

    #[test]
    fn partial_success_in_json_is_read_in_every_form_that_receivers_write() {
        for (body, rejected, message) in [
            ("", 0, None),
            ("{}", 0, None),
            ("null", 0, None),
            (r#"{"partialSuccess":null}"#, 0, None),
            (r#"{"partialSuccess":{}}"#, 0, None),
            (r#"{"partialSuccess":{"rejectedSpans":"3"}}"#, 3, None),
            (r#"{"partialSuccess":{"rejectedSpans":3,"errorMessage":"m"}}"#, 3, Some("m")),
            (r#"{"partialSuccess":{"rejectedSpans":null,"errorMessage":null}}"#, 0, None),
            (r#"{"partialSuccess":{"rejectedSpans":"x"}}"#, 0, None),
            (r#"{"partialSuccess":[1]}"#, 0, None),
        ] {
            let expected = Verdict::Accepted { rejected, message: message.map(str::to_owned) };
            let answer = reply(200, "application/json; charset=utf-8", body.as_bytes());
            assert_eq!(verdict(&answer, SystemTime::now()), expected, "{body}");
        }
    }

    #[test]
    fn every_success_counts_as_accepted() {
        for status in [200, 201, 202, 204, 299] {
            let accepted = Verdict::Accepted { rejected: 0, message: None };
            assert_eq!(verdict(&reply(status, "text/html", b"<html>"), SystemTime::now()), accepted);
        }
    }

    proptest! {
        #[test]
        fn any_answer_has_a_meaning(
            status in 200_u16..600,
            kind in prop_oneof![
                Just("application/json"), Just("application/x-protobuf"), Just("text/plain"), Just("text/html"), Just("")
            ],
            body in proptest::collection::vec(any::<u8>(), 0..400),
        ) {
            let answer = reply(status, kind, &body);
            let accepted = matches!(verdict(&answer, SystemTime::now()), Verdict::Accepted { .. });
            prop_assert_eq!(accepted, status < 300);
        }
    }
}
