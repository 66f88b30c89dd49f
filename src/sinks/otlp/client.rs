//! The one HTTP client of the OTLP destination: HTTP/1.1, or HTTP/2 for gRPC, over hyper; it reports status, headers,
//! body and trailers as they are and leaves their meaning to [`super::http`] and [`super::grpc`].
//!
//! It follows no redirects, so credentials never leave for another host, and knows no proxies: `HTTP_PROXY` and its kin
//! are not read. Deadlines are the caller's, who drops the future: that cuts lookup, connection, upload and download
//! alike.

use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use http::{Extensions, Method, Request, StatusCode, Uri, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{HttpConnector, HttpInfo};
use hyper_util::rt::TokioExecutor;

use super::compress::gunzip;
use super::resolver::Resolver;
use crate::config::{OtlpConfig, Problem, Protocol, TlsFiles};

/// OTLP exporter specification, "User Agent": ours first, then the exporter's.
const AGENT: &str =
    concat!("ironspan/", env!("CARGO_PKG_VERSION"), " OTel-OTLP-Exporter-Rust/", env!("CARGO_PKG_VERSION"));

/// Of the body of a failure only one sentence is used.
const FAILURE_BODY: usize = 64 * 1024;
/// Nor is it waited for: the status says what to do.
const FAILURE_BODY_WAIT: Duration = Duration::from_secs(1);

#[cfg(feature = "tls")]
pub(super) type Connector = hyper_rustls::HttpsConnector<HttpConnector<Resolver>>;
#[cfg(not(feature = "tls"))]
pub(super) type Connector = HttpConnector<Resolver>;

/// What came back.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Content,
    pub(super) trailers: Option<HeaderMap>,
}

/// The body of a reply.
#[derive(Debug)]
pub(super) enum Content {
    /// All of it (of a failure: as much as was there in time), decompressed.
    Whole(Bytes),
    /// More than the limit.
    TooLarge,
    /// It ended early or cannot be decompressed.
    Broken(String),
}

/// Sends requests to one URL, one at a time.
pub(super) struct Client {
    hyper: legacy::Client<Connector, Full<Bytes>>,
    connector: Connector,
    protocol: Protocol,
    uri: Uri,
    headers: HeaderMap,
    max_response: usize,
    /// Our end of the connection that carried the last reply: how a connection that went stale is told from a new one.
    last: Option<SocketAddr>,
    /// Where certificates are read again, as they get renewed on disk; `None` when there are none.
    renewal: Option<Arc<OtlpConfig>>,
    /// Whether a success began to arrive for the request at hand.
    answered: bool,
}

// By hand: the headers hold credentials.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("protocol", &self.protocol).finish_non_exhaustive()
    }
}

impl Client {
    /// A client for `config`. Reads the TLS files; connects to nothing yet.
    ///
    /// # Errors
    ///
    /// Certificates that cannot be used, headers that HTTP does not allow, TLS in a build without it.
    pub(super) fn new(config: &OtlpConfig) -> Result<Self, Problem> {
        let connector = connector(config, tcp(config))?;
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        for (name, secret) in &config.headers {
            let bad = |_| Problem::new(format!("has a header {name:?} that HTTP does not allow"), "correct it");
            let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|error| bad(error.into()))?;
            let mut value = HeaderValue::from_str(secret.expose()).map_err(|error| bad(http::Error::from(error)))?;
            value.set_sensitive(true);
            headers.insert(parsed, value);
        }
        // Last, so that no header of the user's stands in for those that say how the body is to be read.
        headers.extend(match config.protocol {
            Protocol::Grpc => super::grpc::headers(config),
            Protocol::HttpProtobuf | Protocol::HttpJson => super::http::headers(config),
        });
        Ok(Self {
            hyper: pool(connector.clone(), config.protocol),
            connector,
            protocol: config.protocol,
            uri: match config.protocol {
                Protocol::Grpc => super::grpc::uri(&config.url)?,
                Protocol::HttpProtobuf | Protocol::HttpJson => config.url.clone(),
            },
            headers,
            max_response: config.max_response_bytes,
            last: None,
            renewal: (config.tls != TlsFiles::default()).then(|| Arc::new(config.clone())),
            answered: false,
        })
    }

    /// The same client without connections.
    pub(super) fn fresh(&self) -> Self {
        Self {
            hyper: pool(self.connector.clone(), self.protocol),
            connector: self.connector.clone(),
            protocol: self.protocol,
            uri: self.uri.clone(),
            headers: self.headers.clone(),
            max_response: self.max_response,
            last: None,
            renewal: self.renewal.clone(),
            answered: false,
        }
    }

    /// Whether the status of the last request was a success, even if nothing more arrived.
    pub(super) fn answered(&self) -> bool {
        self.answered
    }

    /// Posts `body`.
    ///
    /// A kept connection that turns out to be closed is replaced at once and in silence, once: receivers close idle
    /// connections whenever they like.
    ///
    /// # Errors
    ///
    /// One line about what failed below HTTP.
    pub(super) async fn post(&mut self, body: Bytes) -> Result<Reply, String> {
        self.answered = false;
        let mut again = true;
        loop {
            let mut request = Request::new(Full::new(body.clone()));
            *request.method_mut() = Method::POST;
            self.uri.clone_into(request.uri_mut());
            self.headers.clone_into(request.headers_mut());
            if self.protocol == Protocol::Grpc {
                *request.version_mut() = Version::HTTP_2;
            }
            match self.hyper.request(request).await {
                Ok(response) => {
                    self.last = local_address(response.extensions());
                    return Ok(self.read(response).await);
                }
                Err(error) if again && self.is_stale(&error) => again = false,
                Err(error) => {
                    self.renew();
                    return Err(chain(&error));
                }
            }
        }
    }

    /// Reads certificates and keys again after a failure: they expire, and are renewed on disk. A file that cannot be
    /// used, as while it is being written, leaves everything as it was.
    fn renew(&mut self) {
        if let Some(config) = &self.renewal
            && let Ok(connector) = connector(config, tcp(config))
        {
            self.hyper = pool(connector.clone(), self.protocol);
            self.connector = connector;
        }
    }

    fn is_stale(&self, error: &legacy::Error) -> bool {
        let mut extensions = Extensions::new();
        if let Some(info) = error.connect_info() {
            info.get_extras(&mut extensions);
        }
        !error.is_connect() && self.last.is_some() && self.last == local_address(&extensions)
    }

    async fn read(&mut self, response: http::Response<Incoming>) -> Reply {
        let (parts, mut body) = response.into_parts();
        let success = parts.status.is_success();
        // Under gRPC the status of HTTP says nothing.
        self.answered = success && self.protocol != Protocol::Grpc;
        let mut reply = Reply { status: parts.status, headers: parts.headers, body: Content::TooLarge, trailers: None };
        reply.body = if success {
            read_body(&mut body, self.max_response, &mut reply.trailers).await
        } else {
            let reading = read_body(&mut body, FAILURE_BODY, &mut reply.trailers);
            tokio::time::timeout(FAILURE_BODY_WAIT, reading).await.unwrap_or(Content::TooLarge)
        };
        if let Content::Whole(bytes) = &reply.body
            && reply.headers.get(CONTENT_ENCODING).is_some_and(|name| name.as_bytes().eq_ignore_ascii_case(b"gzip"))
        {
            reply.body = match gunzip(bytes, self.max_response) {
                Ok(Some(bytes)) => Content::Whole(bytes),
                Ok(None) => Content::TooLarge,
                Err(error) => Content::Broken(error.to_string()),
            };
        }
        reply
    }
}

fn tcp(config: &OtlpConfig) -> HttpConnector<Resolver> {
    let mut tcp = HttpConnector::new_with_resolver(Resolver::default());
    tcp.set_connect_timeout(Some(config.connect_timeout));
    tcp.set_nodelay(true);
    tcp.enforce_http(false);
    tcp
}

fn pool(connector: Connector, protocol: Protocol) -> legacy::Client<Connector, Full<Bytes>> {
    let mut builder = legacy::Client::builder(TokioExecutor::new());
    builder.pool_max_idle_per_host(1);
    #[cfg(feature = "grpc")]
    builder.http2_only(protocol == Protocol::Grpc);
    #[cfg(not(feature = "grpc"))]
    let _ = protocol;
    builder.build(connector)
}

#[cfg(feature = "tls")]
fn connector(config: &OtlpConfig, http: HttpConnector<Resolver>) -> Result<Connector, Problem> {
    super::tls::connector(config, http)
}

#[cfg(not(feature = "tls"))]
fn connector(config: &OtlpConfig, http: HttpConnector<Resolver>) -> Result<Connector, Problem> {
    if config.is_secure() {
        return Err(Problem::new("is an https URL, and this build has no TLS", "write an http URL"));
    }
    Ok(http)
}

async fn read_body(body: &mut Incoming, limit: usize, trailers: &mut Option<HeaderMap>) -> Content {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        match frame.map(hyper::body::Frame::into_data) {
            Ok(Ok(data)) if bytes.len() + data.len() > limit => return Content::TooLarge,
            Ok(Ok(data)) => bytes.extend_from_slice(&data),
            Ok(Err(frame)) => *trailers = frame.into_trailers().ok(),
            Err(error) => return Content::Broken(chain(&error)),
        }
    }
    Content::Whole(bytes.freeze())
}

fn local_address(extensions: &Extensions) -> Option<SocketAddr> {
    extensions.get::<HttpInfo>().map(HttpInfo::local_addr)
}

/// An error and its causes in one line, without repetitions.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        next = cause.source();
    }
    line
}
