//! OTLP destinations from variables and from exporter objects.

#![allow(clippy::unwrap_used, reason = "a failing test may panic")]

use std::time::Duration;

use super::*;
use crate::config::env::{MapEnvironment, Reader};
use crate::config::error::ConfigError;
#[cfg(feature = "tls")]
use crate::config::testing::KEY;
use crate::config::testing::{CERTIFICATE, Folder};

/// The destination from variables (suffixes of `OTEL_EXPORTER_OTLP_`), and the warnings.
fn from_variables(variables: &[(&str, &str)]) -> (Option<OtlpConfig>, Vec<String>) {
    let environment: MapEnvironment =
        variables.iter().map(|(name, value)| (format!("OTEL_EXPORTER_OTLP_{name}"), *value)).collect();
    let mut reader = Reader::new(&environment);
    let config = FromEnvironment::read(&mut reader).destination(&mut reader);
    (config, reader.into_warnings().iter().map(ToString::to_string).collect())
}

/// The destination from an exporter object.
fn from_options(
    variables: &[(&str, &str)],
    options: &OtlpOptions,
) -> (Result<Option<OtlpConfig>, ConfigError>, Vec<String>) {
    let environment: MapEnvironment =
        variables.iter().map(|(name, value)| (format!("OTEL_EXPORTER_OTLP_{name}"), *value)).collect();
    let mut reader = Reader::new(&environment);
    let config = FromEnvironment::read(&mut reader).with_options(options, "exporters[0]", &mut reader);
    (config, reader.into_warnings().iter().map(ToString::to_string).collect())
}

fn clean(variables: &[(&str, &str)]) -> OtlpConfig {
    let (config, warnings) = from_variables(variables);
    assert_eq!(warnings, Vec::<String>::new());
    config.unwrap()
}

fn names(config: &OtlpConfig) -> Vec<&str> {
    config.headers.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn defaults_are_those_of_the_specification() {
    let config = clean(&[]);
    assert_eq!(config.protocol, Protocol::HttpProtobuf);
    assert_eq!(config.url.to_string(), "http://localhost:4318/v1/traces");
    assert_eq!(config.compression, Compression::None);
    assert_eq!(config.timeout, Some(Duration::from_secs(10)));
    assert_eq!(config.connect_timeout, Duration::from_secs(2));
    assert_eq!((config.max_request_bytes, config.batch_bytes, config.max_response_bytes), (1 << 26, 1 << 22, 1 << 22));
    assert!(config.headers.is_empty() && config.is_loopback() && !config.is_secure());
}

#[test]
fn the_variable_for_traces_beats_the_general_one() {
    for (variables, url) in [
        (&[("ENDPOINT", "http://127.0.0.1:1/a")][..], "http://127.0.0.1:1/a/v1/traces"),
        (&[("TRACES_ENDPOINT", "http://127.0.0.1:2/b")], "http://127.0.0.1:2/b"),
        (&[("ENDPOINT", "http://c"), ("TRACES_ENDPOINT", "http://127.0.0.1:2")], "http://127.0.0.1:2/"),
    ] {
        assert_eq!(clean(variables).url.to_string(), url);
    }
    let config = clean(&[
        ("PROTOCOL", "grpc"),
        ("TRACES_PROTOCOL", "HTTP/JSON"),
        ("HEADERS", "a=1,b=2"),
        ("TRACES_HEADERS", "c=3"),
        ("TIMEOUT", "1000"),
        ("TRACES_TIMEOUT", "2000"),
        ("COMPRESSION", "none"),
        ("TRACES_COMPRESSION", "gzip"),
    ]);
    assert_eq!(config.protocol, Protocol::HttpJson);
    assert_eq!(names(&config), ["c"]);
    assert_eq!(config.timeout, Some(Duration::from_secs(2)));
    assert_eq!(config.compression, Compression::Gzip);
}

#[test]
fn compression_is_gzip_to_other_machines_and_none_on_this_one() {
    assert_eq!(clean(&[("ENDPOINT", "http://collector:4318")]).compression, Compression::Gzip);
    assert_eq!(clean(&[("ENDPOINT", "http://[::1]:4318")]).compression, Compression::None);
    assert_eq!(clean(&[("ENDPOINT", "http://collector:4318"), ("COMPRESSION", "none")]).compression, Compression::None);
}

#[test]
fn timeouts_are_milliseconds_and_short_ones_are_doubted() {
    assert_eq!(clean(&[("TIMEOUT", "0")]).timeout, None);
    assert_eq!(clean(&[("TIMEOUT", "100")]).timeout, Some(Duration::from_millis(100)));
    let (config, warnings) = from_variables(&[("TIMEOUT", "10")]);
    assert_eq!(config.unwrap().timeout, Some(Duration::from_millis(10)));
    assert_eq!(
        warnings,
        ["OTEL_EXPORTER_OTLP_TIMEOUT is 10 milliseconds, as OpenTelemetry counts; write 10000 if seconds were meant \
          (used as it is)"]
    );
}

#[test]
fn wrong_words_and_numbers_are_told_and_the_default_holds() {
    let (config, warnings) = from_variables(&[
        ("PROTOCOL", "http/protobuff"),
        ("COMPRESSION", "brotli"),
        ("TIMEOUT", "10s"),
        ("INSECURE", "yes"),
        ("HEADERS", "a=1,b"),
    ]);
    let config = config.unwrap();
    assert_eq!(config.protocol, Protocol::HttpProtobuf);
    assert_eq!(config.timeout, Some(Duration::from_secs(10)));
    assert_eq!(names(&config), ["a"]);
    assert_eq!(warnings.len(), 5, "{warnings:#?}");
    assert!(warnings.iter().any(|warning| warning.contains("did you mean http/protobuf?")));
}

#[test]
fn a_wrong_trace_variable_falls_back_on_the_general_one() {
    let (config, warnings) = from_variables(&[("TRACES_TIMEOUT", "soon"), ("TIMEOUT", "5000")]);
    assert_eq!(config.unwrap().timeout, Some(Duration::from_secs(5)));
    assert_eq!(warnings.len(), 1);
}

#[test]
fn a_wrong_endpoint_sends_nothing_anywhere() {
    let (config, warnings) = from_variables(&[("TRACES_ENDPOINT", "collector:4318"), ("ENDPOINT", "http://c")]);
    assert_eq!(config, None);
    assert_eq!(
        warnings,
        [
            r#"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is "collector:4318", which has no scheme; write http://collector:4318 or https://collector:4318 (nothing is sent by OTLP)"#
        ]
    );
}

#[test]
fn mixed_up_ports_are_pointed_out() {
    let (config, warnings) = from_variables(&[("ENDPOINT", "http://localhost:4317")]);
    assert!(config.is_some());
    assert!(warnings.concat().contains("usually speak gRPC"), "{warnings:?}");
}

#[test]
#[cfg(feature = "grpc")]
fn grpc_keeps_host_and_port_and_knows_insecure() {
    let grpc = |more: &[(&str, &str)]| from_variables(&[&[("PROTOCOL", "grpc")], more].concat());
    assert_eq!(grpc(&[]).0.unwrap().url.to_string(), "http://localhost:4317/");
    for (variables, url) in [
        (&[("ENDPOINT", "http://c:4317/x")][..], "http://c:4317/"),
        (&[("ENDPOINT", "c:4317"), ("INSECURE", "true")], "http://c:4317/"),
        (&[("ENDPOINT", "http://c:4317"), ("INSECURE", "false")], "http://c:4317/"),
    ] {
        assert_eq!(grpc(variables).0.unwrap().url.to_string(), url);
    }
    if cfg!(feature = "tls") {
        assert_eq!(grpc(&[("ENDPOINT", "c:4317")]).0.unwrap().url.to_string(), "https://c:4317/");
        let overruled = grpc(&[("ENDPOINT", "c:4317"), ("INSECURE", "true"), ("TRACES_INSECURE", "FALSE")]);
        assert_eq!(overruled.0.unwrap().url.to_string(), "https://c:4317/");
    }
    assert!(grpc(&[("ENDPOINT", "http://localhost:4318")]).1.concat().contains("usually speak HTTP"));
}

#[test]
fn credentials_do_not_travel_in_the_clear_unless_allowed() {
    let open = [("ENDPOINT", "http://collector:4318"), ("HEADERS", "x-tenant=a,authorization=Bearer geheim")];
    let (config, warnings) = from_variables(&open);
    assert_eq!(config, None);
    let sentence = warnings.concat();
    assert!(sentence.starts_with("OTEL_EXPORTER_OTLP_HEADERS has the credential authorization"), "{sentence}");
    assert!(sentence.contains("IRONSPAN_ALLOW_PLAIN_CREDENTIALS=true") && !sentence.contains("geheim"), "{sentence}");

    for harmless in [&[("ENDPOINT", "http://localhost:4318"), open[1]][..], &[open[0], ("HEADERS", "x-tenant=a")]] {
        assert!(clean(harmless).headers.len() < 3);
    }

    let headers = Some(vec![("x-api-key".into(), "geheim".into())]);
    let options = OtlpOptions { endpoint: Some("http://collector".into()), headers, ..OtlpOptions::default() };
    let sentence = from_options(&[], &options).0.unwrap_err().to_string();
    assert!(sentence.starts_with("exporters[0].headers has the credential x-api-key"), "{sentence}");
    assert!(sentence.contains("allow_plain_credentials=True") && !sentence.contains("geheim"), "{sentence}");
    let allowed = OtlpOptions { allow_plain_credentials: Some(true), ..options };
    assert!(from_options(&[], &allowed).0.unwrap().unwrap().allow_plain_credentials);
}

#[test]
fn the_permission_for_plain_credentials_is_a_variable_too() {
    let environment: MapEnvironment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=x"),
        ("IRONSPAN_ALLOW_PLAIN_CREDENTIALS", "true"),
    ]
    .into_iter()
    .collect();
    let mut reader = Reader::new(&environment);
    let config = FromEnvironment::read(&mut reader).destination(&mut reader).unwrap();
    assert!(config.allow_plain_credentials && reader.into_warnings().is_empty());
}

#[test]
fn an_endpoint_in_code_takes_no_headers_from_the_environment() {
    let variables = [
        ("ENDPOINT", "http://localhost:1"),
        ("HEADERS", "authorization=geheim"),
        ("PROTOCOL", "http/json"),
        ("TIMEOUT", "3000"),
    ];
    let own = OtlpOptions { endpoint: Some("http://127.0.0.1:2".into()), ..OtlpOptions::default() };
    let config = from_options(&variables, &own).0.unwrap().unwrap();
    assert_eq!(config.url.to_string(), "http://127.0.0.1:2/v1/traces");
    assert!(config.headers.is_empty());
    assert_eq!(config.protocol, Protocol::HttpProtobuf);
    assert_eq!(config.timeout, Some(Duration::from_secs(3)));

    let shared = OtlpOptions { timeout: Some(0.5), ..OtlpOptions::default() };
    let config = from_options(&variables, &shared).0.unwrap().unwrap();
    assert_eq!(config.url.to_string(), "http://localhost:1/v1/traces");
    assert_eq!(names(&config), ["authorization"]);
    assert_eq!(config.protocol, Protocol::HttpJson);
    assert_eq!(config.timeout, Some(Duration::from_millis(500)));
}

#[test]
fn arguments_beat_variables() {
    let options = OtlpOptions {
        traces_endpoint: Some("http://localhost:3/exact".into()),
        protocol: Some("http/json".into()),
        headers: Some(vec![("A".into(), "1".into())]),
        compression: Some("gzip".into()),
        timeout: Some(0.0),
        dialects: Some(vec!["openinference".into()]),
        ..OtlpOptions::default()
    };
    let variables = [("COMPRESSION", "none"), ("TIMEOUT", "1000"), ("HEADERS", "b=2")];
    let config = from_options(&variables, &options).0.unwrap().unwrap();
    assert_eq!(config.url.to_string(), "http://localhost:3/exact");
    assert_eq!(config.protocol, Protocol::HttpJson);
    assert_eq!(names(&config), ["a"]);
    assert_eq!(config.compression, Compression::Gzip);
    assert_eq!(config.timeout, None);
    assert_eq!(config.dialects, Some(vec![Dialect::OpenInference]));
}

#[test]
fn wrong_arguments_name_the_exporter_and_the_option() {
    let base = OtlpOptions::default;
    for (options, words) in [
        (
            OtlpOptions { endpoint: Some("c".into()), traces_endpoint: Some("d".into()), ..base() },
            "exporters[0].traces_endpoint stands beside endpoint; write only one of the two",
        ),
        (
            OtlpOptions { endpoint: Some("ftp://c".into()), ..base() },
            r#"exporters[0].endpoint is "ftp://c", which is neither http nor https"#,
        ),
        (
            OtlpOptions { protocol: Some("udp".into()), ..base() },
            r#"exporters[0].protocol is "udp", which is not known"#,
        ),
        (OtlpOptions { compression: Some("gz".into()), ..base() }, "exporters[0].compression is"),
        (OtlpOptions { timeout: Some(f64::NAN), ..base() }, "exporters[0].timeout is NaN, which is out of range"),
        (OtlpOptions { timeout: Some(-1.0), ..base() }, "exporters[0].timeout is -1"),
        (
            OtlpOptions { headers: Some(vec![("a b".into(), "x".into())]), ..base() },
            "exporters[0].headers has the header",
        ),
        (OtlpOptions { dialects: Some(Vec::new()), ..base() }, "exporters[0].dialects is empty"),
    ] {
        let sentence = from_options(&[], &options).0.unwrap_err().to_string();
        assert!(sentence.starts_with(words), "{sentence}");
        assert!(sentence.contains("; write ") || sentence.contains("did you mean"), "{sentence}");
    }
}

#[test]
fn an_exporter_on_a_wrong_variable_is_left_out_and_raises_nothing() {
    let (config, warnings) = from_options(&[("ENDPOINT", "nowhere://x")], &OtlpOptions::default());
    assert_eq!(config.unwrap(), None);
    assert!(warnings.concat().ends_with("(exporters[0] is left out)"), "{warnings:?}");
}

#[test]
#[cfg(feature = "tls")]
fn certificates_are_checked_while_configuring() {
    let folder = Folder::new();
    let (ca, key) = (folder.file("ca.pem", CERTIFICATE), folder.file("key.pem", KEY));
    let https = || OtlpOptions { endpoint: Some("https://c".into()), ..OtlpOptions::default() };
    let options = OtlpOptions {
        certificate: Some(ca.clone()),
        client_certificate: Some(ca.clone()),
        client_key: Some(key.clone()),
        ..https()
    };
    let config = from_options(&[], &options).0.unwrap().unwrap();
    assert_eq!(config.tls.ca, Some(ca.clone()));
    assert_eq!(config.tls.client_key, Some(key.clone()));
    for (options, words) in [
        (OtlpOptions { certificate: Some(folder.0.join("none.pem")), ..https() }, "exporters[0].certificate is "),
        (
            OtlpOptions { client_certificate: Some(ca.clone()), ..https() },
            "exporters[0].client_certificate stands without the client key; write both",
        ),
        (
            OtlpOptions { client_key: Some(key), ..https() },
            "exporters[0].client_key stands without the client certificate; write both",
        ),
        (
            OtlpOptions { client_certificate: Some(ca.clone()), client_key: Some(ca), ..https() },
            "exporters[0].client_key is ",
        ),
    ] {
        let sentence = from_options(&[], &options).0.unwrap_err().to_string();
        assert!(sentence.starts_with(words), "{sentence}");
    }
    let (config, warnings) = from_variables(&[("ENDPOINT", "https://c"), ("CERTIFICATE", "/nonexistent/ca.pem")]);
    assert_eq!(config, None);
    assert!(
        warnings
            .concat()
            .starts_with("OTEL_EXPORTER_OTLP_CERTIFICATE is \"/nonexistent/ca.pem\", which cannot be read")
    );
}

#[test]
fn certificates_without_https_are_pointed_out() {
    let folder = Folder::new();
    let (config, warnings) = from_variables(&[("CERTIFICATE", folder.file("ca", CERTIFICATE).to_str().unwrap())]);
    assert_eq!(config.unwrap().tls, TlsFiles::default());
    assert!(warnings.concat().contains("the endpoint is not https"), "{warnings:?}");
}

#[test]
fn nothing_secret_is_printed() {
    let config = clean(&[("ENDPOINT", "http://localhost/?api-key=geheim"), ("HEADERS", "authorization=geheim")]);
    assert_eq!(config.url.query(), Some("api-key=geheim"));
    let options = OtlpOptions {
        endpoint: Some("http://me:geheim@c/".into()),
        traces_endpoint: Some("http://c/?k=geheim".into()),
        headers: Some(vec![("a".into(), "geheim".into())]),
        ..OtlpOptions::default()
    };
    for text in [format!("{config:?}"), format!("{config:#?}"), format!("{options:?}")] {
        assert!(!text.contains("geheim"), "{text}");
    }
    assert!(format!("{config:?}").contains("authorization"));
}

#[test]
#[cfg(not(feature = "tls"))]
fn https_without_tls_is_refused_in_words() {
    let (config, warnings) = from_variables(&[("ENDPOINT", "https://c")]);
    assert_eq!(config, None);
    assert!(warnings.concat().contains("which this build lacks"), "{warnings:?}");
}
