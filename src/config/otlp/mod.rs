//! Everything an OTLP exporter has to know, from an exporter object in code or from `OTEL_EXPORTER_OTLP_*`.
//!
//! An argument beats the variable for traces, and that beats the general variable. An exporter object with an endpoint
//! of its own takes only timeout and compression from the environment: headers and certificates in there belong to the
//! endpoint in there, and must not reach another host.
//!
//! Source: OTLP exporter specification, "Configuration options".

mod endpoint;
mod headers;
mod resolve;
pub mod tls;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use http::Uri;

pub use self::endpoint::{Path, grpc_url, http_url, is_loopback};
pub use self::headers::{Header, Secret, parse_headers};
pub(super) use self::resolve::{FromEnvironment, endpoint_is_set};
pub use self::tls::TlsFiles;
use super::choice::Dialect;
use super::env::{Environment, Reader};
use super::error::{ConfigError, Warning};

/// How spans travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// Protobuf in HTTP requests.
    #[default]
    HttpProtobuf,
    /// JSON in HTTP requests; not every receiver takes it.
    HttpJson,
    /// gRPC.
    Grpc,
}

impl Protocol {
    const CHOICES: [(&str, Self); 3] =
        [("http/protobuf", Self::HttpProtobuf), ("http/json", Self::HttpJson), ("grpc", Self::Grpc)];
}

/// How request bodies are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip; every receiver takes it.
    Gzip,
    /// Zstandard: faster and smaller, beyond the specification; collectors take it, many other receivers do not.
    Zstd,
}

impl Compression {
    const CHOICES: [(&str, Self); 3] = [("none", Self::None), ("gzip", Self::Gzip), ("zstd", Self::Zstd)];
}

/// What an exporter object in code says; what is `None` comes from the environment or is the default.
#[derive(Clone, Default)]
pub struct OtlpOptions {
    /// Base URL, or the full URL ending in `/v1/traces`; for gRPC `host:port` or a URL.
    pub endpoint: Option<String>,
    /// The exact URL for traces; nothing is appended. Not together with `endpoint`.
    pub traces_endpoint: Option<String>,
    /// `http/protobuf`, `http/json` or `grpc`.
    pub protocol: Option<String>,
    /// Headers of each request. Values are secrets and never printed.
    pub headers: Option<Vec<(String, String)>>,
    /// `none`, `gzip` or `zstd`. Default: none on loopback, otherwise gzip.
    pub compression: Option<String>,
    /// Seconds for one batch over all attempts; 0 is no limit. Default 10.
    pub timeout: Option<f64>,
    /// PEM file of certificates to trust instead of the system's.
    pub certificate: Option<PathBuf>,
    /// PEM file of our certificate.
    pub client_certificate: Option<PathBuf>,
    /// PEM file of its key.
    pub client_key: Option<PathBuf>,
    /// Whether gRPC to an endpoint without scheme goes without TLS. Default false.
    pub insecure: Option<bool>,
    /// Whether credentials in headers may travel over plain http to another machine. Default false.
    pub allow_plain_credentials: Option<bool>,
    /// Attribute names for this destination: `genai`, `openinference`, `langfuse`, `openllmetry`.
    pub dialects: Option<Vec<String>>,
}

/// A resolved OTLP destination.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct OtlpConfig {
    /// How spans travel.
    pub protocol: Protocol,
    /// Where requests go. For gRPC only scheme, host and port count. The scheme says whether TLS is used.
    pub url: Uri,
    /// Lower-case names and secret values.
    pub headers: Vec<Header>,
    /// Compression of request bodies.
    pub compression: Compression,
    /// Deadline for one batch over all attempts; `None` waits for ever.
    pub timeout: Option<Duration>,
    /// Deadline for one connection attempt.
    pub connect_timeout: Duration,
    /// PEM files.
    pub tls: TlsFiles,
    /// Whether credentials may travel in the clear.
    pub allow_plain_credentials: bool,
    /// A request over this many bytes before compression is not sent.
    pub max_request_bytes: usize,
    /// Batches are cut near this many bytes.
    pub batch_bytes: usize,
    /// A response over this many bytes after decompression is an error.
    pub max_response_bytes: usize,
    /// Attribute names for this destination; `None` means those of the whole configuration.
    pub dialects: Option<Vec<Dialect>>,
}

impl OtlpConfig {
    /// The receiver at `url`, by OTLP over HTTP, for a command that was told a URL and not for a program that runs. The
    /// rest comes from the variables, but `headers`, where there are any, stand for those in there. Headers and
    /// certificates of the variables are left out, with a warning, where the endpoint in there is another host's.
    ///
    /// # Errors
    ///
    /// A URL or a header that cannot be used, a credential that would travel in the clear, certificates that cannot be
    /// read.
    pub fn receiver(
        url: &str,
        headers: &[(String, String)],
        environment: &dyn Environment,
    ) -> Result<(Self, Vec<Warning>), ConfigError> {
        let mut reader = Reader::new(environment);
        let config = FromEnvironment::read(&mut reader).receiver(url, headers, &mut reader)?;
        Ok((config, reader.into_warnings()))
    }

    /// Where requests go, without what may hold a key.
    #[must_use]
    pub fn shown_url(&self) -> String {
        endpoint::without_secrets(&self.url.to_string())
    }

    /// Whether requests are encrypted.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.url.scheme() == Some(&http::uri::Scheme::HTTPS)
    }

    /// Whether the receiver is on this machine, as far as its name says.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.url)
    }
}

// By hand, since a query string may hold a key. Header values hide themselves.
impl fmt::Debug for OtlpConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtlpConfig")
            .field("protocol", &self.protocol)
            .field("url", &endpoint::without_secrets(&self.url.to_string()))
            .field("headers", &self.headers)
            .field("compression", &self.compression)
            .field("timeout", &self.timeout)
            .field("tls", &self.tls)
            .field("allow_plain_credentials", &self.allow_plain_credentials)
            .field("dialects", &self.dialects)
            .finish_non_exhaustive()
    }
}

// By hand: headers are plain text here, and an endpoint may hold a password.
impl fmt::Debug for OtlpOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |url: &Option<String>| url.as_deref().map(endpoint::without_secrets);
        let names = |headers: &Vec<(String, String)>| headers.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        f.debug_struct("OtlpOptions")
            .field("endpoint", &shown(&self.endpoint))
            .field("traces_endpoint", &shown(&self.traces_endpoint))
            .field("protocol", &self.protocol)
            .field("headers", &self.headers.as_ref().map(names))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
