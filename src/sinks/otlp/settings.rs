//! Stand-in for `config::otlp`, with the same fields.
#![allow(missing_docs, unreachable_pub, reason = "stand-in")]

use std::path::PathBuf;
use std::time::Duration;

use http::Uri;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    #[default]
    HttpProtobuf,
    HttpJson,
    Grpc,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    #[default]
    None,
    Gzip,
    Zstd,
}

#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

pub type Header = (String, Secret);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    pub ca: Option<PathBuf>,
    pub client_cert: Option<PathBuf>,
    pub client_key: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct OtlpConfig {
    pub protocol: Protocol,
    pub url: Uri,
    pub headers: Vec<Header>,
    pub compression: Compression,
    pub timeout: Option<Duration>,
    pub connect_timeout: Duration,
    pub tls: TlsFiles,
    pub max_request_bytes: usize,
    pub batch_bytes: usize,
    pub max_response_bytes: usize,
}

impl OtlpConfig {
    pub fn is_secure(&self) -> bool {
        self.url.scheme() == Some(&http::uri::Scheme::HTTPS)
    }
}

#[derive(Clone, Copy, Debug)]
pub struct BatchConfig {
    pub schedule_delay: Duration,
    pub max_export_batch_size: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub what: String,
    pub instead: String,
}

impl Problem {
    pub fn new(what: impl Into<String>, instead: impl Into<String>) -> Self {
        Self { what: what.into(), instead: instead.into() }
    }
}
