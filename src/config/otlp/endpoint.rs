//! From the text of an endpoint to the URL that requests go to.
//!
//! Source: OTLP exporter specification, "Endpoint URLs for OTLP/HTTP" and "Configuration options". Parsing is
//! `http::Uri`'s; what it lets through and a request cannot use (no host, a port of six digits, user names) is refused
//! here. No message shows user names, passwords or query strings.

use std::net::{Ipv4Addr, Ipv6Addr};

use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};

use crate::config::error::{Problem, quoted};

/// Appended to a base URL.
const TRACES_PATH: &str = "/v1/traces";

/// What becomes of the path in an HTTP endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// `v1/traces` is appended, whatever is there: `OTEL_EXPORTER_OTLP_ENDPOINT`.
    Base,
    /// Nothing is appended: `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`.
    AsIs,
    /// `v1/traces` is appended unless the path ends in it: what people write in code.
    Either,
}

/// The URL for OTLP over HTTP.
///
/// # Errors
///
/// Anything but an absolute http or https URL with a host and without user name.
pub fn http_url(text: &str, path: Path) -> Result<Uri, Problem> {
    const INSTEAD: &str = "write a URL such as http://localhost:4318";
    let Some((scheme, rest)) = text.split_once("://") else {
        let url = format!("http://{text}");
        let instead = match split(&url) {
            Ok(_) if !text.contains(['@', '?']) => format!("write {url} or https://{text}"),
            _ => String::from(INSTEAD),
        };
        return Err(fault(text, "has no scheme", &instead));
    };
    let scheme = http_scheme(scheme).ok_or_else(|| fault(text, "is neither http nor https", INSTEAD))?;
    let (authority, given) = split(&format!("{scheme}://{rest}")).map_err(|what| fault(text, what, INSTEAD))?;
    let bare = given.path().trim_end_matches('/');
    let wanted = match path {
        Path::AsIs => given.path().to_owned(),
        Path::Either if bare.ends_with(TRACES_PATH) => bare.to_owned(),
        Path::Base | Path::Either => format!("{bare}{TRACES_PATH}"),
    };
    let query = given.query().map(|query| format!("?{query}")).unwrap_or_default();
    join(scheme, authority, &format!("{wanted}{query}")).ok_or_else(|| fault(text, "is not a URL", INSTEAD))
}

/// The URL for OTLP over gRPC: scheme, host and port. `host:port` without scheme is https, or http when `insecure`; a
/// scheme beats `insecure`. A path is left out, since gRPC has its own.
///
/// # Errors
///
/// Anything but `host:port` or an http or https URL without user name.
pub fn grpc_url(text: &str, insecure: bool) -> Result<Uri, Problem> {
    const INSTEAD: &str = "write host:port or a URL such as http://localhost:4317";
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => {
            (http_scheme(scheme).ok_or_else(|| fault(text, "is neither http nor https", INSTEAD))?, rest)
        }
        None if insecure => (Scheme::HTTP, text),
        None => (Scheme::HTTPS, text),
    };
    let (authority, _) = split(&format!("{scheme}://{rest}")).map_err(|what| fault(text, what, INSTEAD))?;
    join(scheme, authority, "/").ok_or_else(|| fault(text, "is not a URL", INSTEAD))
}

fn http_scheme(text: &str) -> Option<Scheme> {
    if text.eq_ignore_ascii_case("http") {
        Some(Scheme::HTTP)
    } else if text.eq_ignore_ascii_case("https") {
        Some(Scheme::HTTPS)
    } else {
        None
    }
}

fn join(scheme: Scheme, authority: Authority, path: &str) -> Option<Uri> {
    Uri::builder().scheme(scheme).authority(authority).path_and_query(path).build().ok()
}

/// The two parts of an absolute URL, or what is wrong with it.
fn split(url: &str) -> Result<(Authority, PathAndQuery), &'static str> {
    let parts = url.parse::<Uri>().map_err(|_| "is not a URL")?.into_parts();
    let authority = parts.authority.ok_or("has no host")?;
    if authority.as_str().contains('@') {
        return Err("has a user name; credentials go into the headers");
    }
    let host = authority.host();
    if host.is_empty() || host == "[]" {
        return Err("has no host");
    }
    if let Some(literal) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'))
        && literal.parse::<Ipv6Addr>().is_err()
    {
        return Err("has no valid IPv6 address between the brackets");
    }
    let port = authority.as_str().strip_prefix(host).unwrap_or_default();
    let valid = match port.strip_prefix(':') {
        // `parse` alone would let a plus sign through.
        Some(digits) => !digits.starts_with('+') && digits.parse::<u16>().is_ok_and(|port| port > 0),
        None => port.is_empty(),
    };
    if !valid {
        return Err("has a port that is not a number from 1 to 65535");
    }
    Ok((authority, parts.path_and_query.unwrap_or_else(|| PathAndQuery::from_static("/"))))
}

fn fault(text: &str, what: &str, instead: &str) -> Problem {
    Problem::new(format!("is {}, which {what}", quoted(&without_secrets(text))), instead)
}

/// The text of a URL with user name, password, query and fragment replaced by a mark. Works on text that is no URL, too.
pub(super) fn without_secrets(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").map_or(("", text), |(scheme, rest)| (scheme, rest));
    let (before_query, mark) = match rest.find(['?', '#']) {
        Some(at) => rest.split_at_checked(at).map_or((rest, ""), |(before, _)| (before, "?***")),
        None => (rest, ""),
    };
    // The last @ counts: a password with a slash or an @ in it must not be shown either.
    let (user, place) = before_query.rsplit_once('@').map_or(("", before_query), |(_, place)| ("***@", place));
    let separator = if scheme.is_empty() { "" } else { "://" };
    format!("{scheme}{separator}{user}{place}{mark}")
}

/// Whether the URL's host is this machine: `localhost` (RFC 6761, section 6.3) or a loopback address.
#[must_use]
pub fn is_loopback(url: &Uri) -> bool {
    let Some(host) = url.host() else { return false };
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = bare.parse::<Ipv4Addr>() {
        return address.is_loopback();
    }
    if let Ok(address) = bare.parse::<Ipv6Addr>() {
        return address.is_loopback() || address.to_ipv4_mapped().is_some_and(|mapped| mapped.is_loopback());
    }
    let name = bare.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failing test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::error::ConfigError;

    fn sentence(result: Result<Uri, Problem>) -> String {
        ConfigError::new("endpoint", result.unwrap_err()).to_string()
    }

    #[test]
    fn the_post_url_follows_the_specification() {
        for (text, path, expected) in [
            ("http://c:4318", Path::Base, "http://c:4318/v1/traces"),
            ("http://c:4318/", Path::Base, "http://c:4318/v1/traces"),
            ("http://c:4318/my/", Path::Base, "http://c:4318/my/v1/traces"),
            ("http://c:4318/my", Path::Base, "http://c:4318/my/v1/traces"),
            ("http://c:4318/v1/traces", Path::Base, "http://c:4318/v1/traces/v1/traces"),
            ("http://c:4318", Path::AsIs, "http://c:4318/"),
            ("http://c:4318/v1/traces", Path::AsIs, "http://c:4318/v1/traces"),
            ("https://c/x/", Path::AsIs, "https://c/x/"),
            ("https://c", Path::Base, "https://c/v1/traces"),
            ("http://c/my?tenant=1", Path::Base, "http://c/my/v1/traces?tenant=1"),
            ("http://c/my?tenant=1", Path::AsIs, "http://c/my?tenant=1"),
            ("HTTP://c:4318", Path::Base, "http://c:4318/v1/traces"),
            ("http://[::1]:4318", Path::Base, "http://[::1]:4318/v1/traces"),
            ("http://[2001:db8::1]/x", Path::AsIs, "http://[2001:db8::1]/x"),
            ("http://c:4318", Path::Either, "http://c:4318/v1/traces"),
            ("http://c/api/public/otel/", Path::Either, "http://c/api/public/otel/v1/traces"),
            ("http://c/otel/v1/traces/", Path::Either, "http://c/otel/v1/traces"),
            ("http://c:4318#frag", Path::Base, "http://c:4318/v1/traces"),
        ] {
            assert_eq!(http_url(text, path).unwrap().to_string(), expected, "{text} {path:?}");
        }
    }

    #[test]
    fn without_a_port_the_scheme_decides() {
        for (text, port) in [("http://c", None), ("https://c", None), ("http://c:4318", Some(4318))] {
            assert_eq!(http_url(text, Path::Base).unwrap().port_u16(), port);
        }
    }

    #[test]
    fn grpc_takes_host_and_port_or_a_url() {
        for (text, insecure, expected) in [
            ("c:4317", false, "https://c:4317/"),
            ("c:4317", true, "http://c:4317/"),
            ("http://c:4317", false, "http://c:4317/"),
            ("https://c:4317", true, "https://c:4317/"),
            ("https://c:4317/some/path?x=1", false, "https://c:4317/"),
            ("[::1]:4317", true, "http://[::1]:4317/"),
            ("c", false, "https://c/"),
        ] {
            assert_eq!(grpc_url(text, insecure).unwrap().to_string(), expected, "{text} {insecure}");
        }
    }

    #[test]
    fn what_a_request_cannot_use_is_refused_in_words() {
        for (text, words) in [
            ("localhost:4318", "which has no scheme; write http://localhost:4318 or https://localhost:4318"),
            ("collector", "write http://collector or https://collector"),
            ("", "has no scheme; write a URL such as"),
            ("ftp://c", "is neither http nor https"),
            ("unix:///run/otel.sock", "is neither http nor https"),
            ("http://", "is not a URL"),
            ("http:///v1/traces", "not a URL"),
            ("http://:4318", "has no host"),
            ("http://c:99999", "port that is not a number"),
            ("http://c:0", "port that is not a number"),
            ("http://c:", "port that is not a number"),
            ("http://c:+80", "port that is not a number"),
            ("http://c:4318:4318", "is not a URL"),
            ("http://[::zz]:1", "IPv6"),
            ("http://[::1", "is not a URL"),
            ("http://c d", "is not a URL"),
        ] {
            let message = sentence(http_url(text, Path::Base));
            assert!(message.contains(words), "{text}: {message}");
        }
        assert!(sentence(grpc_url("dns:///c:4317", false)).contains("neither http nor https"));
        assert!(sentence(grpc_url("c:port", false)).contains("port that is not"));
    }

    #[test]
    fn secrets_in_a_url_are_refused_and_not_shown() {
        for text in [
            "http://me:geheim@c:4318",
            "http://geheim@c",
            "ftp://me:geheim@c",
            "me:geheim@c:4318",
            "http://me:ge/heim@c",
            "htp://c/?api-key=geheim",
            "c/?api-key=geheim",
        ] {
            let message = sentence(http_url(text, Path::Base));
            assert!(!message.contains("heim"), "{message}");
        }
        assert!(sentence(http_url("http://me:geheim@c", Path::Base)).contains("credentials go into the headers"));
    }

    #[test]
    fn this_machine_is_recognised() {
        for text in [
            "http://localhost",
            "http://LOCALHOST.:1",
            "http://a.localhost",
            "http://127.0.0.1",
            "http://127.8.8.8",
            "http://[::1]",
            "http://[::ffff:127.0.0.1]",
        ] {
            assert!(is_loopback(&http_url(text, Path::Base).unwrap()), "{text}");
        }
        for text in
            ["http://c", "http://10.0.0.1", "http://localhost.example.com", "http://[2001:db8::1]", "http://0.0.0.0"]
        {
            assert!(!is_loopback(&http_url(text, Path::Base).unwrap()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_gives_an_absolute_url(text in any::<String>(), insecure in any::<bool>()) {
            for url in [http_url(&text, Path::Base), http_url(&text, Path::Either), grpc_url(&text, insecure)].into_iter().flatten() {
                prop_assert!(url.scheme().is_some() && url.host().is_some_and(|host| !host.is_empty()));
            }
        }

        #[test]
        fn any_url_like_text_is_refused_or_gives_an_absolute_url(text in "https?://[a-z@:\\[\\]0-9.%/?#]{0,30}") {
            if let Ok(url) = http_url(&text, Path::Base) {
                prop_assert!(url.path().ends_with("/v1/traces"));
                prop_assert!(url.host().is_some_and(|host| !host.is_empty()));
            }
        }
    }
}
