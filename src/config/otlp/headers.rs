//! Request headers of an OTLP destination: parsing, checks, and the type that keeps their values out of sight.

use std::fmt;

use http::HeaderName;

use crate::config::env::{Escapes, parse_list, percent_decode};
use crate::config::error::{Problem, quoted};

/// Headers of one destination; more is a mistake, and a request has to stay below the receivers' header limits.
const MAX_HEADERS: usize = 64;

/// Bytes of one value; servers refuse header blocks of more than 8 to 16 KiB.
const MAX_VALUE_BYTES: usize = 8192;

/// Headers that say how the body is framed or encoded. They are ours: another value makes requests unreadable.
const RESERVED: [&str; 11] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// Text that must not be seen: it has no `Display`, and `Debug` shows a mark.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the request and nothing else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A header name in lower case, and its value.
pub type Header = (String, Secret);

/// Headers as in `OTEL_EXPORTER_OTLP_HEADERS`: `name=value,name=value`, values percent-decoded (a percent sign that
/// begins no escape stays). Bad items are left out and told; no problem shows a value. Of equal names the last counts.
///
/// Source: OTLP exporter specification, "Specifying headers via environment variables".
#[must_use]
pub fn parse_headers(text: &str) -> (Vec<Header>, Vec<Problem>) {
    let mut headers = Vec::new();
    let mut problems = Vec::new();
    for (at, item) in parse_list(text).into_iter().enumerate() {
        let checked = match item.split_once('=') {
            Some((name, value)) => match percent_decode(value.trim(), Escapes::Lenient) {
                Some(value) => check(name.trim(), &value),
                None => Err(Problem::new(
                    format!("has a value for {} that is not UTF-8", quoted(name.trim())),
                    "percent-encode the bytes of UTF-8 text",
                )),
            },
            // The item may be a credential whose name was forgotten, so not even a part of it is shown.
            None => Err(Problem::new(
                format!("has no equals sign in item {}", at + 1),
                "write name=value,name=value with commas inside of values as %2C",
            )),
        };
        match checked.and_then(|header| insert(&mut headers, header)) {
            Ok(()) => {}
            Err(problem) => problems.push(problem),
        }
    }
    (headers, problems)
}

/// Headers given as pairs in code.
///
/// # Errors
///
/// The first header that cannot be sent.
pub(super) fn from_pairs(pairs: &[(String, String)]) -> Result<Vec<Header>, Problem> {
    let mut headers = Vec::new();
    for (name, value) in pairs {
        insert(&mut headers, check(name.trim(), value.trim())?)?;
    }
    Ok(headers)
}

fn insert(headers: &mut Vec<Header>, header: Header) -> Result<(), Problem> {
    headers.retain(|(name, _)| *name != header.0);
    if headers.len() == MAX_HEADERS {
        return Err(Problem::new(format!("has more than {MAX_HEADERS} headers"), "write only what the receiver needs"));
    }
    headers.push(header);
    Ok(())
}

fn check(name: &str, value: &str) -> Result<Header, Problem> {
    let Ok(token) = HeaderName::from_bytes(name.as_bytes()) else {
        return Err(Problem::new(
            format!("has the header name {}, which HTTP does not allow", quoted(name)),
            "write letters, digits and hyphens, such as x-api-key",
        ));
    };
    let name = token.as_str();
    if RESERVED.contains(&name) || name.starts_with("grpc-") {
        return Err(Problem::new(
            format!("has the header {name}, which the exporter sets itself"),
            "leave it out (compression has its own option)",
        ));
    }
    if name.ends_with("-bin") {
        return Err(Problem::new(
            format!("has the header {name}, which gRPC keeps for binary values"),
            "write a name that does not end in -bin",
        ));
    }
    if value.len() > MAX_VALUE_BYTES {
        return Err(Problem::new(
            format!("has a value of {} bytes for {name}", value.len()),
            format!("write at most {MAX_VALUE_BYTES} bytes"),
        ));
    }
    if !value.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Err(Problem::new(
            format!("has a value for {name} with control characters or letters outside of ASCII"),
            "write printable ASCII (is there a line break at its end?)",
        ));
    }
    Ok((name.to_owned(), Secret::new(value)))
}

/// Whether a header carries what must not travel in the clear.
pub(super) fn is_credential(name: &str) -> bool {
    const MARKS: [&str; 8] = ["auth", "cookie", "credential", "key", "passw", "secret", "signature", "token"];
    MARKS.iter().any(|mark| name.contains(mark))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failing test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::error::ConfigError;

    fn parsed(text: &str) -> (Vec<(String, String)>, Vec<String>) {
        let (headers, problems) = parse_headers(text);
        (
            headers.into_iter().map(|(name, value)| (name, value.expose().to_owned())).collect(),
            problems.into_iter().map(|problem| ConfigError::new("H", problem).to_string()).collect(),
        )
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn headers_are_split_trimmed_and_decoded() {
        let cases: [(&str, &[(&str, &str)]); 8] = [
            ("Authorization=Basic%20dXNlcjpwYXNz", &[("authorization", "Basic dXNlcjpwYXNz")]),
            ("Authorization=Basic dXNlcjpwYXNzCg==", &[("authorization", "Basic dXNlcjpwYXNzCg==")]),
            (" x-a = 1 ,, X-B=2%2C3 ,", &[("x-a", "1"), ("x-b", "2,3")]),
            ("x-a=1,X-A=2", &[("x-a", "2")]),
            ("x-a=", &[("x-a", "")]),
            ("x-a=100%", &[("x-a", "100%")]),
            ("x-a=b;c=d", &[("x-a", "b;c=d")]),
            ("", &[]),
        ];
        for (text, expected) in cases {
            assert_eq!(parsed(text), (pairs(expected), Vec::new()), "{text}");
        }
    }

    #[test]
    fn a_bad_item_is_left_out_and_the_others_stay() {
        for bad in [
            "geheim",
            "=geheim",
            "x y=geheim",
            "x-n=geheim%0A",
            "x-n=geheim%FF",
            "x-n=gehe\u{ef}m",
            "content-type=geheim",
            "x-trace-bin=geheim",
            "grpc-timeout=geheim",
        ] {
            let (headers, problems) = parsed(&format!("x-a=1,{bad},x-b=2"));
            assert_eq!(headers, pairs(&[("x-a", "1"), ("x-b", "2")]), "{bad}");
            assert_eq!(problems.len(), 1, "{bad}");
            assert!(!problems.concat().contains("gehe"), "{problems:?}");
        }
    }

    #[test]
    fn the_number_and_size_of_headers_is_bounded() {
        let many = (0..100).map(|at| format!("x-{at}=1")).collect::<Vec<_>>().join(",");
        let (headers, problems) = parsed(&many);
        assert_eq!((headers.len(), problems.len()), (MAX_HEADERS, 36));
        let (headers, problems) = parsed(&format!("x-a={}", "v".repeat(MAX_VALUE_BYTES + 1)));
        assert_eq!((headers.len(), problems.len()), (0, 1));
    }

    #[test]
    fn a_bad_pair_in_code_is_an_error_without_its_value() {
        let problem = from_pairs(&[("x-api-key".into(), "geheim\n\u{7}".into())]).unwrap_err();
        let sentence = ConfigError::new("headers", problem).to_string();
        assert!(sentence.contains("x-api-key") && !sentence.contains("geheim"), "{sentence}");
        let good = from_pairs(&[("X-Api-Key".into(), " geheim\n".into())]).unwrap();
        assert_eq!(good, [(String::from("x-api-key"), Secret::new("geheim"))]);
    }

    #[test]
    fn secrets_are_not_printed() {
        assert_eq!(format!("{:?}", vec![(String::from("a"), Secret::new("geheim"))]), r#"[("a", ***)]"#);
    }

    #[test]
    fn credentials_are_told_from_other_headers() {
        for name in ["authorization", "x-api-key", "x-honeycomb-team-key", "dd-api-key", "cookie", "x-auth-token"] {
            assert!(is_credential(name), "{name}");
        }
        for name in ["x-scope-orgid", "x-tenant", "x-project-name"] {
            assert!(!is_credential(name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_only_headers_that_http_accepts(text in any::<String>()) {
            for (name, value) in parse_headers(&text).0 {
                prop_assert!(HeaderName::from_bytes(name.as_bytes()).is_ok());
                prop_assert!(http::HeaderValue::from_str(value.expose()).is_ok());
            }
        }
    }
}
