//! Who may ask what: everything that is not expected is refused, before anything else looks at it.
//!
//! `Host` has to be a name of this server (a page elsewhere whose name was rebound to loopback has another), `Origin` this
//! server's own, changes need a header that no form can send, and where there is a token, data needs it.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode, Uri, request};

use super::reply::Failure;

/// For every answer, errors too.
const HEADERS: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
         font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

#[derive(Debug)]
pub(super) struct Guard {
    hosts: HashSet<String>,
    /// Any address of this machine will do: it listens on all.
    any_address: Option<u16>,
    token: Option<String>,
}

impl Guard {
    pub(super) fn new(address: SocketAddr, names: &[String], token: Option<&str>) -> Self {
        let port = address.port();
        let mut hosts = HashSet::new();
        let mut add = |name: &str| {
            hosts.insert(format!("{}:{port}", name.to_ascii_lowercase()));
            if port == 80 {
                hosts.insert(name.to_ascii_lowercase());
            }
        };
        let ip = |address: IpAddr| match address {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        };
        if address.ip().is_loopback() || address.ip().is_unspecified() {
            ["localhost", "127.0.0.1", "[::1]"].into_iter().for_each(&mut add);
        }
        add(&ip(address.ip()));
        for name in names {
            add(name);
        }
        let any_address = address.ip().is_unspecified().then_some(port);
        Self { hosts, any_address, token: token.map(str::to_owned) }
    }

    /// Refuses what is not expected.
    pub(super) fn check(&self, request: &request::Parts) -> Result<(), Failure> {
        let host = self.host(&request.headers, &request.uri)?;
        let is_api = request.uri.path().starts_with("/api/");
        let own = |origin: &HeaderValue| origin.as_bytes() == ["http://", host].concat().as_bytes();
        let origins: Vec<&HeaderValue> = request.headers.get_all(header::ORIGIN).iter().collect();
        let refuse = |message: &str| Err(Failure::new(StatusCode::FORBIDDEN, message, "open the page of this server"));
        if !origins.iter().all(|origin| own(origin)) || origins.len() > 1 {
            return refuse("requests from other pages are not answered");
        }
        // A browser says where a request comes from even when it sends no Origin.
        let site = request.headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
        if is_api && site.is_some_and(|site| !matches!(site, b"same-origin" | b"none")) {
            return refuse("requests from other pages are not answered");
        }
        if !matches!(request.method, Method::GET | Method::HEAD) {
            Self::check_change(request, origins.len() == 1)?;
        }
        if is_api { self.check_token(&request.headers) } else { Ok(()) }
    }

    fn host<'h>(&self, headers: &'h HeaderMap, uri: &Uri) -> Result<&'h str, Failure> {
        let refuse = || {
            let hint = "use the address that `ironspan view` printed";
            Failure::new(StatusCode::FORBIDDEN, "this server does not go by that name", hint)
        };
        let mut hosts = headers.get_all(header::HOST).iter();
        let host = hosts.next().and_then(|host| host.to_str().ok()).ok_or_else(refuse)?;
        let lower = host.to_ascii_lowercase();
        let is_address = || {
            let address = lower.parse::<SocketAddr>().ok();
            self.any_address.is_some_and(|port| address.is_some_and(|address| address.port() == port))
        };
        let known = self.hosts.contains(&lower) || is_address();
        // RFC 9112: with an absolute target both have to be the same.
        let same = uri.authority().is_none_or(|authority| authority.as_str().eq_ignore_ascii_case(host));
        if known && same && hosts.next().is_none() { Ok(host) } else { Err(refuse()) }
    }

    fn check_change(request: &request::Parts, has_origin: bool) -> Result<(), Failure> {
        // The routes refuse other methods by name.
        if !matches!(request.method, Method::POST | Method::DELETE) {
            return Ok(());
        }
        let marked = request.headers.get("x-ironspan").is_some_and(|mark| mark.as_bytes() == b"1");
        if !marked || !has_origin {
            let hint = "send `X-Ironspan: 1` and the server's own `Origin`";
            return Err(Failure::new(StatusCode::FORBIDDEN, "changes come from the server's own page", hint));
        }
        let kind = request.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let mut parts = kind.split(';').map(|part| part.trim().to_ascii_lowercase());
        let is_json = parts.next().is_some_and(|kind| kind == "application/json");
        let utf8 = parts.all(|part| matches!(part.as_str(), "charset=utf-8" | "charset=\"utf-8\""));
        if is_json && utf8 {
            return Ok(());
        }
        let hint = "send `Content-Type: application/json`";
        Err(Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "only JSON is read", hint))
    }

    fn check_token(&self, headers: &HeaderMap) -> Result<(), Failure> {
        let Some(token) = &self.token else { return Ok(()) };
        let given = headers.get(header::AUTHORIZATION).map_or(&[][..], HeaderValue::as_bytes);
        let given = given.strip_prefix(b"Bearer ").unwrap_or_default();
        // In time that does not depend on how much of it is right.
        let differs = token.bytes().zip(given.iter().chain(std::iter::repeat(&0))).fold(0, |acc, (a, b)| acc | (a ^ b));
        if differs == 0 && given.len() == token.len() {
            return Ok(());
        }
        let hint = "open the address that `ironspan view` printed, with its #token";
        Err(Failure::new(StatusCode::UNAUTHORIZED, "the token is missing or wrong", hint))
    }
}

/// Adds what every answer has.
pub(super) fn seal(headers: &mut HeaderMap) {
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}
