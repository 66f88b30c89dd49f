//! Puts an OTLP destination together: which setting wins, which default holds, and what cannot be used.

use std::path::PathBuf;
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;

use super::endpoint::{Path, grpc_url, http_url, is_loopback};
use super::headers::{Header, from_pairs, is_credential, parse_headers};
use super::tls::{Pem, check};
use super::{Compression, OtlpConfig, OtlpOptions, Protocol, TlsFiles};
use crate::config::choice::Dialect;
use crate::config::env::{Reader, parse_bool, parse_choice, parse_milliseconds, seconds};
use crate::config::error::{ConfigError, Problem};

/// Where OTLP goes when it is asked for without saying where.
const DEFAULT_HTTP_ENDPOINT: &str = "http://localhost:4318";
/// The same for gRPC.
const DEFAULT_GRPC_ENDPOINT: &str = "http://localhost:4317";
/// One deadline over all attempts for a batch.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// Below this a timeout in milliseconds was probably meant in seconds (opentelemetry-python reads seconds).
const SUSPICIOUS_TIMEOUT: Duration = Duration::from_millis(100);
/// A host that does not answer at all should not use up the whole timeout.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The most a request may have before compression (OTLP specification 1.11).
const MAX_REQUEST_BYTES: usize = 64 * 1024 * 1024;
/// Where batches are cut: gRPC libraries take 4 MiB by default, proxies often less than collectors (20 MiB).
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// The most a response may have after decompression (OTLP specification 1.11).
const MAX_RESPONSE_BYTES: usize = 4 * 1024 * 1024;

/// Where a setting was written.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    Variable(String),
    Argument(String),
    Default,
}

impl Source {
    fn name(&self) -> &str {
        match self {
            Self::Variable(name) | Self::Argument(name) => name,
            Self::Default => "the default",
        }
    }
}

#[derive(Clone, Debug)]
struct Setting<T> {
    value: T,
    source: Source,
}

impl<T> Setting<T> {
    fn argument(value: T, position: &str, option: &str) -> Self {
        Self { value, source: Source::Argument(format!("{position}.{option}")) }
    }
}

/// Settings before they are put together.
#[derive(Clone, Default)]
struct Settings {
    endpoint: Option<Setting<(String, Path)>>,
    protocol: Option<Setting<Protocol>>,
    headers: Option<Setting<Vec<Header>>>,
    compression: Option<Setting<Compression>>,
    timeout: Option<Setting<Option<Duration>>>,
    certificate: Option<Setting<PathBuf>>,
    client_certificate: Option<Setting<PathBuf>>,
    client_key: Option<Setting<PathBuf>>,
    insecure: Option<bool>,
    allow_plain_credentials: bool,
    dialects: Option<Vec<Dialect>>,
}

/// A setting that cannot be used.
struct Fault {
    source: Source,
    problem: Problem,
}

/// Something the user should know about a setting that is used.
struct Hint {
    source: Source,
    problem: Problem,
    meanwhile: &'static str,
}

/// What `OTEL_EXPORTER_OTLP_*` says. Read once per configuration, so that each wrong variable is told once.
#[derive(Clone, Default)]
pub(in crate::config) struct FromEnvironment(Settings);

impl FromEnvironment {
    /// Reads the variables.
    pub(in crate::config) fn read(reader: &mut Reader<'_>) -> Self {
        let path = |text: &str| Ok(PathBuf::from(text));
        let timeout = |text: &str| parse_milliseconds(text).map(|timeout| (!timeout.is_zero()).then_some(timeout));
        Self(Settings {
            endpoint: endpoint_variable(reader),
            protocol: setting(
                reader,
                "PROTOCOL",
                |text| parse_choice(text, &Protocol::CHOICES),
                "http/protobuf is used",
            ),
            headers: header_variables(reader),
            compression: setting(
                reader,
                "COMPRESSION",
                |text| parse_choice(text, &Compression::CHOICES),
                "requests to other machines are compressed by gzip",
            ),
            timeout: setting(reader, "TIMEOUT", timeout, "10000 ms are used"),
            certificate: setting(reader, "CERTIFICATE", path, ""),
            client_certificate: setting(reader, "CLIENT_CERTIFICATE", path, ""),
            client_key: setting(reader, "CLIENT_KEY", path, ""),
            insecure: setting(reader, "INSECURE", parse_bool, "taken as false").map(|insecure| insecure.value),
            allow_plain_credentials: reader.boolean("IRONSPAN_ALLOW_PLAIN_CREDENTIALS").unwrap_or(false),
            dialects: None,
        })
    }

    /// The destination that the environment describes. When it cannot be built, nothing is sent anywhere instead.
    pub(in crate::config) fn destination(&self, reader: &mut Reader<'_>) -> Option<OtlpConfig> {
        match build(self.0.clone()) {
            Ok((config, hints)) => {
                tell(hints, reader);
                Some(config)
            }
            Err(fault) => {
                reader.wrong(fault.source.name(), fault.problem, "nothing is sent by OTLP");
                None
            }
        }
    }

    /// The destination that an exporter object describes, at `position` in the list of exporters. `None` when it stands
    /// on a variable that is wrong.
    pub(in crate::config) fn with_options(
        &self,
        options: &OtlpOptions,
        position: &str,
        reader: &mut Reader<'_>,
    ) -> Result<Option<OtlpConfig>, ConfigError> {
        match build(self.overlay(options, position)?) {
            Ok((config, hints)) => {
                tell(hints, reader);
                Ok(Some(config))
            }
            Err(Fault { source: Source::Variable(name), problem }) => {
                reader.wrong(&name, problem, &format!("{position} is left out"));
                Ok(None)
            }
            Err(fault) => Err(ConfigError::new(fault.source.name(), fault.problem)),
        }
    }

    /// The receiver at `url`; see [`OtlpConfig::receiver`].
    pub(super) fn receiver(
        self,
        url: &str,
        headers: &[(String, String)],
        reader: &mut Reader<'_>,
    ) -> Result<OtlpConfig, ConfigError> {
        let argument = |name: &str| Source::Argument(name.to_owned());
        let own = http_url(url.trim(), Path::Either).map_err(|problem| ConfigError::new("--otlp", problem))?;
        let is_theirs = self.0.endpoint.as_ref().is_none_or(|theirs| {
            let (text, path) = &theirs.value;
            http_url(text, *path).is_ok_and(|theirs| theirs.host() == own.host())
        });
        let mut settings = if is_theirs {
            self.0
        } else {
            if let Some(Setting { source, .. }) = self.0.headers.filter(|_| headers.is_empty()) {
                let problem =
                    Problem::new("is for the endpoint in the variables, on another host", "write --header NAME=VALUE");
                reader.hint(source.name(), problem, "not sent");
            }
            Settings {
                compression: self.0.compression,
                timeout: self.0.timeout,
                allow_plain_credentials: self.0.allow_plain_credentials,
                ..Settings::default()
            }
        };
        settings.endpoint = Some(Setting { value: (url.trim().to_owned(), Path::Either), source: argument("--otlp") });
        settings.protocol = settings.protocol.filter(|protocol| protocol.value != Protocol::Grpc);
        if !headers.is_empty() {
            let value = from_pairs(headers).map_err(|problem| ConfigError::new("--header", problem))?;
            settings.headers = Some(Setting { value, source: argument("--header") });
        }
        let (config, hints) = build(settings).map_err(|fault| ConfigError::new(fault.source.name(), fault.problem))?;
        tell(hints, reader);
        Ok(config)
    }

    fn overlay(&self, options: &OtlpOptions, position: &str) -> Result<Settings, ConfigError> {
        let error = |option: &str, problem| ConfigError::new(format!("{position}.{option}"), problem);
        let endpoint = match (&options.endpoint, &options.traces_endpoint) {
            (Some(_), Some(_)) => {
                let problem = Problem::new("stands beside endpoint", "write only one of the two");
                return Err(error("traces_endpoint", problem));
            }
            (Some(text), None) => Some(Setting::argument((text.trim().to_owned(), Path::Either), position, "endpoint")),
            (None, Some(text)) => {
                Some(Setting::argument((text.trim().to_owned(), Path::AsIs), position, "traces_endpoint"))
            }
            (None, None) => None,
        };
        let mut settings = if endpoint.is_some() {
            Settings {
                endpoint,
                compression: self.0.compression.clone(),
                timeout: self.0.timeout.clone(),
                ..Settings::default()
            }
        } else {
            self.0.clone()
        };
        if let Some(text) = &options.protocol {
            let value = parse_choice(text, &Protocol::CHOICES).map_err(|problem| error("protocol", problem))?;
            settings.protocol = Some(Setting::argument(value, position, "protocol"));
        }
        if let Some(pairs) = &options.headers {
            let value = from_pairs(pairs).map_err(|problem| error("headers", problem))?;
            settings.headers = Some(Setting::argument(value, position, "headers"));
        }
        if let Some(text) = &options.compression {
            let value = parse_choice(text, &Compression::CHOICES).map_err(|problem| error("compression", problem))?;
            settings.compression = Some(Setting::argument(value, position, "compression"));
        }
        if let Some(number) = options.timeout {
            let value = seconds(number, 0.0..=86_400.0).map_err(|problem| error("timeout", problem))?;
            settings.timeout = Some(Setting::argument((!value.is_zero()).then_some(value), position, "timeout"));
        }
        for (given, name, place) in [
            (&options.certificate, "certificate", &mut settings.certificate),
            (&options.client_certificate, "client_certificate", &mut settings.client_certificate),
            (&options.client_key, "client_key", &mut settings.client_key),
        ] {
            if let Some(path) = given {
                *place = Some(Setting::argument(path.clone(), position, name));
            }
        }
        if let Some(names) = &options.dialects {
            let parsed = Dialect::parse_list(names).map_err(|problem| error("dialects", problem))?;
            settings.dialects = Some(parsed);
        }
        settings.insecure = options.insecure.or(settings.insecure);
        settings.allow_plain_credentials = options.allow_plain_credentials.unwrap_or(settings.allow_plain_credentials);
        Ok(settings)
    }
}

/// Whether the environment names an OTLP endpoint.
pub(in crate::config) fn endpoint_is_set(reader: &Reader<'_>) -> bool {
    reader.text("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").is_some() || reader.text("OTEL_EXPORTER_OTLP_ENDPOINT").is_some()
}

fn endpoint_variable(reader: &Reader<'_>) -> Option<Setting<(String, Path)>> {
    [("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", Path::AsIs), ("OTEL_EXPORTER_OTLP_ENDPOINT", Path::Base)]
        .into_iter()
        .find_map(|(name, path)| {
            let source = Source::Variable(name.to_owned());
            reader.text(name).map(|text| Setting { value: (text, path), source })
        })
}

/// The variable for traces, or the general one.
fn setting<T>(
    reader: &mut Reader<'_>,
    suffix: &str,
    parse: impl Fn(&str) -> Result<T, Problem>,
    meanwhile: &str,
) -> Option<Setting<T>> {
    [format!("OTEL_EXPORTER_OTLP_TRACES_{suffix}"), format!("OTEL_EXPORTER_OTLP_{suffix}")].into_iter().find_map(
        |name| {
            let value = reader.read(&name, &parse, meanwhile)?;
            Some(Setting { value, source: Source::Variable(name) })
        },
    )
}

/// Headers for traces replace the general ones as a whole, bad items or not.
fn header_variables(reader: &mut Reader<'_>) -> Option<Setting<Vec<Header>>> {
    ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"].into_iter().find_map(|name| {
        let (value, problems) = parse_headers(&reader.text(name)?);
        for problem in problems {
            reader.wrong(name, problem, "the item is left out");
        }
        Some(Setting { value, source: Source::Variable(name.to_owned()) })
    })
}

fn tell(hints: Vec<Hint>, reader: &mut Reader<'_>) {
    for hint in hints {
        reader.hint(hint.source.name(), hint.problem, hint.meanwhile);
    }
}

fn build(settings: Settings) -> Result<(OtlpConfig, Vec<Hint>), Fault> {
    let mut hints = Vec::new();
    let protocol = settings.protocol.as_ref().map_or(Protocol::HttpProtobuf, |protocol| protocol.value);
    if let Some(Setting { value: Protocol::Grpc, source }) = &settings.protocol
        && !cfg!(feature = "grpc")
    {
        let problem =
            Problem::new("is grpc, which this build lacks", "write http/protobuf, or build with the feature grpc");
        return Err(Fault { source: source.clone(), problem });
    }
    let default = if protocol == Protocol::Grpc { DEFAULT_GRPC_ENDPOINT } else { DEFAULT_HTTP_ENDPOINT };
    let endpoint = settings
        .endpoint
        .unwrap_or_else(|| Setting { value: (default.to_owned(), Path::Base), source: Source::Default });
    let (text, path) = &endpoint.value;
    let url = match protocol {
        Protocol::Grpc => grpc_url(text, settings.insecure.unwrap_or(false)),
        Protocol::HttpProtobuf | Protocol::HttpJson => http_url(text, *path),
    }
    .map_err(|problem| Fault { source: endpoint.source.clone(), problem })?;
    port_hint(protocol, &url, &endpoint.source, &mut hints);

    let is_secure = url.scheme() == Some(&Scheme::HTTPS);
    if is_secure && !cfg!(feature = "tls") {
        let problem =
            Problem::new("is https, which this build lacks", "write an http URL, or build with the feature tls");
        return Err(Fault { source: endpoint.source, problem });
    }
    let is_local = is_loopback(&url);
    if let Some(headers) = &settings.headers
        && !is_secure
        && !is_local
        && !settings.allow_plain_credentials
        && let Some((name, _)) = headers.value.iter().find(|(name, _)| is_credential(name))
    {
        return Err(Fault { source: headers.source.clone(), problem: plain_credentials(name, &headers.source) });
    }
    let compression = match settings.compression {
        Some(Setting { value: Compression::Zstd, source }) if !cfg!(feature = "zstd") => {
            let problem = Problem::new("is zstd, which this build lacks", "write gzip, or build with the feature zstd");
            return Err(Fault { source, problem });
        }
        Some(compression) => compression.value,
        None if is_local => Compression::None,
        None => Compression::Gzip,
    };
    let timeout = timeout(settings.timeout, &mut hints);
    let certificates = [settings.certificate, settings.client_certificate, settings.client_key];
    let tls = tls_files(certificates, is_secure, &mut hints)?;
    let config = OtlpConfig {
        protocol,
        url,
        headers: settings.headers.map(|headers| headers.value).unwrap_or_default(),
        compression,
        timeout,
        connect_timeout: CONNECT_TIMEOUT,
        tls,
        allow_plain_credentials: settings.allow_plain_credentials,
        max_request_bytes: MAX_REQUEST_BYTES,
        batch_bytes: BATCH_BYTES,
        max_response_bytes: MAX_RESPONSE_BYTES,
        dialects: settings.dialects,
    };
    Ok((config, hints))
}

fn plain_credentials(name: &str, source: &Source) -> Problem {
    let permission = match source {
        Source::Argument(name) if !name.starts_with("--") => "allow_plain_credentials=True",
        Source::Argument(_) | Source::Variable(_) | Source::Default => "IRONSPAN_ALLOW_PLAIN_CREDENTIALS=true",
    };
    Problem::new(
        format!("has the credential {name}, which would travel unencrypted to another machine"),
        format!("write an https endpoint, or {permission} if the network is trusted"),
    )
}

/// 4317 is gRPC's port and 4318 HTTP's, and they are mixed up often.
fn port_hint(protocol: Protocol, url: &Uri, source: &Source, hints: &mut Vec<Hint>) {
    let (what, instead) = match (protocol, url.port_u16()) {
        (Protocol::HttpProtobuf | Protocol::HttpJson, Some(4317)) => {
            ("has port 4317, where receivers usually speak gRPC", "write port 4318, or the protocol grpc")
        }
        (Protocol::Grpc, Some(4318)) => {
            ("has port 4318, where receivers usually speak HTTP", "write port 4317, or the protocol http/protobuf")
        }
        _ => return,
    };
    hints.push(Hint { source: source.clone(), problem: Problem::new(what, instead), meanwhile: "used as it is" });
}

fn timeout(setting: Option<Setting<Option<Duration>>>, hints: &mut Vec<Hint>) -> Option<Duration> {
    let Some(Setting { value, source }) = setting else { return Some(DEFAULT_TIMEOUT) };
    if let (Some(short), Source::Variable(_)) = (value, &source)
        && short < SUSPICIOUS_TIMEOUT
    {
        let milliseconds = short.as_millis();
        let problem = Problem::new(
            format!("is {milliseconds} milliseconds, as OpenTelemetry counts"),
            format!("write {} if seconds were meant", milliseconds * 1000),
        );
        hints.push(Hint { source, problem, meanwhile: "used as it is" });
    }
    value
}

fn tls_files(
    [ca, client_cert, client_key]: [Option<Setting<PathBuf>>; 3],
    is_secure: bool,
    hints: &mut Vec<Hint>,
) -> Result<TlsFiles, Fault> {
    if !is_secure {
        // Common in shared environments: certificates set for all, one endpoint on loopback.
        for unused in [ca, client_cert, client_key].into_iter().flatten() {
            let problem =
                Problem::new("names a file for TLS, and the endpoint is not https", "write an https endpoint");
            hints.push(Hint { source: unused.source, problem, meanwhile: "not used" });
        }
        return Ok(TlsFiles::default());
    }
    for (one, other, missing) in [(&client_cert, &client_key, "key"), (&client_key, &client_cert, "certificate")] {
        if let (Some(alone), None) = (one, other) {
            let problem = Problem::new(
                format!("stands without the client {missing}"),
                "write both client certificate and client key, or none of them",
            );
            return Err(Fault { source: alone.source.clone(), problem });
        }
    }
    let checked = |setting: Option<Setting<PathBuf>>, expected| match setting {
        Some(Setting { value, source }) => match check(&value, expected) {
            Ok(()) => Ok(Some(value)),
            Err(problem) => Err(Fault { source, problem }),
        },
        None => Ok(None),
    };
    Ok(TlsFiles {
        ca: checked(ca, Pem::Certificate)?,
        client_cert: checked(client_cert, Pem::Certificate)?,
        client_key: checked(client_key, Pem::PrivateKey)?,
    })
}
