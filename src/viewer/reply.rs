//! Answers: JSON that may be compressed, and errors in the shape of the contract.

use std::io::Write as _;

use axum::body::Body;
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::http::{Response, StatusCode};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::store::read::json::object;
use crate::store::read::{Json, ReadError};

/// Answers below this size are not worth compressing, bytes.
const SMALL: usize = 1_024;

/// Why a request is not answered.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) status: StatusCode,
    message: String,
    hint: String,
    at: Option<usize>,
    candidates: Vec<String>,
    of_store: bool,
}

impl Failure {
    pub(super) fn new(status: StatusCode, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { status, message: message.into(), hint: hint.into(), at: None, candidates: Vec::new(), of_store: false }
    }

    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message, "")
    }

    /// Something of ours went wrong. What exactly is nobody's business on the wire.
    pub(super) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "the server could not answer", "try again")
    }

    /// What it says, on one line.
    pub(super) fn sentence(&self) -> String {
        let mut sentence = self.message.clone();
        for more in self.candidates.iter().chain(Some(&self.hint).filter(|hint| !hint.is_empty())) {
            sentence.push_str("; ");
            sentence.push_str(more);
        }
        sentence
    }

    pub(super) fn is_of_store(&self) -> bool {
        self.of_store
    }

    pub(super) fn into_response(self) -> Response<Body> {
        struct Inner<'f>(&'f Failure);
        impl Json for Inner<'_> {
            fn write(&self, out: &mut String) {
                let mut object = crate::store::read::json::Object::new(out);
                object.put("message", &self.0.message);
                object.put("hint", &self.0.hint);
                if let Some(at) = self.0.at {
                    object.put("at", &at);
                }
                object.end();
            }
        }
        let mut text = String::new();
        if self.candidates.is_empty() {
            object!(&mut text, "error": Inner(&self));
        } else {
            object!(&mut text, "error": Inner(&self), "candidates": self.candidates);
        }
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = self.status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        let message = error.to_string();
        match error {
            ReadError::Filter(error) => {
                let mut failure = Self::new(StatusCode::BAD_REQUEST, error.message, error.hint);
                failure.at = Some(error.at);
                failure
            }
            ReadError::NotFound { .. } => Self::new(StatusCode::NOT_FOUND, message, "ids are in the list of traces"),
            ReadError::Ambiguous { candidates, .. } => {
                let mut failure = Self::new(StatusCode::NOT_FOUND, message, "write more of the id");
                failure.candidates = candidates;
                failure
            }
            ReadError::Slow => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, message, "choose a shorter time or a narrower filter")
            }
            ReadError::Parameter(message) => Self::bad(message),
            // Paths and what the system says stay on this side.
            ReadError::Store(_) => {
                let mut failure = Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "the store cannot be read",
                    "`ironspan doctor` says what is wrong with it",
                );
                failure.of_store = true;
                failure
            }
        }
    }
}

/// An answer as JSON, compressed where that is wanted. Called where blocking is allowed.
pub(super) fn json(text: String, gzip: bool) -> Response<Body> {
    let packed = if gzip && text.len() > SMALL { pack(text.as_bytes(), Compression::fast()) } else { None };
    let is_packed = packed.is_some();
    let mut response = Response::new(packed.map_or_else(|| Body::from(text), Body::from));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if is_packed {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// Compressed bytes.
pub(super) fn pack(bytes: &[u8], level: Compression) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), level);
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok()
}

/// Whether the other side takes gzip (RFC 9110, Accept-Encoding).
pub(super) fn takes_gzip(headers: &HeaderMap) -> bool {
    headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        value.split(',').any(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip") || name == "*");
            let refused =
                parts.any(|part| part.strip_prefix("q=").is_some_and(|q| q.parse::<f32>().is_ok_and(|q| q == 0.0)));
            named && !refused
        })
    })
}
