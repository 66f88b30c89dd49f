//! Configuration: what `init` was given and what the environment says become one immutable [`Config`].
//!
//! An argument beats its variable, and a variable its default. A wrong argument is a [`ConfigError`] at once. A wrong
//! variable is a [`Warning`] and the default, since it is set far from the code; only with `strict` it is an error too.
//! After that nothing of this module runs, so nothing of it can fail in the application.
//!
//! Files: `env` reads and parses variables, `error` makes the sentences, and the others are one subject each.

pub mod batch;
pub mod choice;
pub mod env;
pub mod error;
pub mod exporters;
pub mod limits;
pub mod otlp;
pub mod resource;
#[cfg(feature = "local")]
mod store;
pub mod variables;

use std::time::Duration;

pub use batch::BatchConfig;
pub use choice::{Capture, Colour, ConsoleMode, Dialect, LogLevel, SpoolSetting, StoreSetting};
pub use env::{Environment, MapEnvironment, ProcessEnvironment};
pub use error::{ConfigError, Problem, Warning, WarningKind};
pub use exporters::{ConsoleConfig, Destination, DestinationOptions, Exporters, FileConfig, FileTarget};
pub use limits::{LimitOptions, Limits};
pub use otlp::{Compression, OtlpConfig, OtlpOptions, Protocol, Secret, TlsFiles};
#[cfg(feature = "local")]
pub(crate) use resource::host_name;
pub use resource::{ResourceConfig, Runtime};
#[cfg(feature = "local")]
pub use store::StorePlace;
pub use variables::VARIABLES;

use self::env::{Reader, parse_choice, parse_list, parse_ratio, parse_seconds, seconds};
use self::error::{closest, quoted};
use self::exporters::ConsoleArguments;
use self::resource::ResourceArguments;
use crate::finished::OwnedValue;
use crate::propagation::{self, Propagators};
use crate::sampling::{self, Sampler, SamplerError};

/// How long `shutdown` and the exit of the program wait by default.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);
/// When a framework run without any sign of life is ended as abandoned.
const RUN_IDLE: Duration = Duration::from_secs(3600);
/// A day: the longest that may be configured for waits of the application.
const MAX_WAIT_SECONDS: f64 = 86_400.0;

/// The `sample=` argument.
#[derive(Clone, Debug, PartialEq)]
pub enum Sample {
    /// The share of new traces to keep, 0 to 1.
    Ratio(f64),
    /// A sampler by its name in `OTEL_TRACES_SAMPLER`.
    Named(String),
}

/// What `init()` was given. `None` leaves a setting to the environment and the default.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `service.name`.
    pub service: Option<String>,
    /// `deployment.environment.name`.
    pub environment: Option<String>,
    /// `service.version`.
    pub version: Option<String>,
    /// More attributes of the resource.
    pub resource: Vec<(String, OwnedValue)>,
    /// The language runtime, told by the binding.
    pub runtime: Runtime,
    /// Which new traces are kept. Default all.
    pub sample: Option<Sample>,
    /// Where spans go. Default: what the environment names.
    pub exporters: Exporters,
    /// Names as in `OTEL_PROPAGATORS`. Default `tracecontext` and `baggage`.
    pub propagators: Option<Vec<String>>,
    /// Attribute names on the wire. Default `genai`.
    pub dialects: Option<Vec<String>>,
    /// `off`, `metadata`, `redacted` or `full`. Default `full`.
    pub capture: Option<String>,
    /// Limits of spans and values.
    pub limits: LimitOptions,
    /// `auto`, a path, `memory` or `off`. Default `auto`.
    pub store: Option<String>,
    /// `auto`, a directory or `off`. Default `auto`.
    pub spool: Option<String>,
    /// `off`, `summary` or `tree`. Default `off`.
    pub console: Option<String>,
    /// Columns of the terminal, told by the binding.
    pub columns: Option<u16>,
    /// Whether threads inherit the current span. Default true.
    pub thread_propagation: Option<bool>,
    /// Seconds that shutdown may take. Default 2.
    pub shutdown_timeout: Option<f64>,
    /// Whether a wrong environment variable is an error.
    pub strict: bool,
    /// Nobody called `init()`: only what the environment names is done.
    pub implicit: bool,
}

/// Everything ironspan was told, resolved. Never changes; share it by `Arc`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// `OTEL_SDK_DISABLED`: no spans at all, propagators go on.
    pub disabled: bool,
    /// Who sends.
    pub resource: ResourceConfig,
    /// Which new traces are kept.
    pub sampler: Sampler,
    /// Where spans go besides the store. Empty when disabled.
    pub destinations: Vec<Destination>,
    /// Formats of propagated context.
    pub propagators: Propagators,
    /// Attribute names on the wire, for destinations that have none of their own.
    pub dialects: Vec<Dialect>,
    /// How much content is kept.
    pub capture: Capture,
    /// Limits of spans and values.
    pub limits: Limits,
    /// When spans are handed to destinations.
    pub batch: BatchConfig,
    /// The local store that is written to.
    #[cfg(feature = "local")]
    pub store: Option<StorePlace>,
    /// Where undelivered spans wait.
    pub spool: SpoolSetting,
    /// Whether threads inherit the current span.
    pub thread_propagation: bool,
    /// When a framework run without a sign of life is ended.
    pub run_idle: Duration,
    /// How long shutdown waits.
    pub shutdown_timeout: Duration,
    /// What the internal logger lets through.
    pub log_level: LogLevel,
    /// Whether faults of the configuration raise.
    pub strict: bool,
}

impl Config {
    /// Resolves what `init` was given and what the environment says.
    ///
    /// # Errors
    ///
    /// The first wrong argument; under `strict` also the first wrong variable.
    pub fn resolve(options: &Options, environment: &dyn Environment) -> Result<(Self, Vec<Warning>), ConfigError> {
        let mut reader = Reader::new(environment);
        let config = Self::read(options, &mut reader)?;
        hint_at_strays(&mut reader);
        let warnings = reader.into_warnings();
        if options.strict
            && let Some(wrong) = warnings.iter().find(|warning| warning.kind() == WarningKind::Wrong)
        {
            return Err(wrong.clone().into_error());
        }
        Ok((config, warnings))
    }

    fn read(options: &Options, reader: &mut Reader<'_>) -> Result<Self, ConfigError> {
        let disabled = reader.boolean("OTEL_SDK_DISABLED").unwrap_or(false);
        let resource = ResourceArguments {
            service: options.service.as_deref(),
            version: options.version.as_deref(),
            environment: options.environment.as_deref(),
            resource: &options.resource,
            runtime: &options.runtime,
        };
        let resource = ResourceConfig::resolve(resource, reader)?;
        let console = ConsoleArguments { mode: options.console.as_deref(), columns: options.columns };
        // Resolved even when disabled, so that a wrong exporter is told before somebody switches tracing on.
        let mut destinations = exporters::resolve(&options.exporters, console, reader)?;
        if disabled {
            destinations.clear();
        }
        let log_level = |text: &str| parse_choice(text, &LogLevel::CHOICES);
        let general_level = reader.read("OTEL_LOG_LEVEL", log_level, "info is used");
        let own_level = reader.read("IRONSPAN_LOG", log_level, "OTEL_LOG_LEVEL or info is used");
        let idle = |text: &str| parse_seconds(text, 1.0..=7.0 * MAX_WAIT_SECONDS);
        let setting = path_word("store", options.store.as_deref(), "IRONSPAN_STORE", StoreSetting::parse, reader)?;
        #[cfg(feature = "local")]
        let store = if disabled { None } else { store::resolve(&setting, options, &destinations, reader) };
        #[cfg(not(feature = "local"))]
        let _ = setting;
        Ok(Self {
            disabled,
            resource,
            sampler: sampler(options.sample.as_ref(), reader)?,
            destinations,
            propagators: propagators(options.propagators.as_deref(), reader)?,
            dialects: dialects(options.dialects.as_deref(), reader)?,
            capture: capture(options.capture.as_deref(), reader)?,
            limits: Limits::resolve(&options.limits, reader)?,
            batch: BatchConfig::resolve(reader),
            #[cfg(feature = "local")]
            store,
            spool: path_word("spool", options.spool.as_deref(), "IRONSPAN_SPOOL", SpoolSetting::parse, reader)?,
            thread_propagation: options.thread_propagation.unwrap_or(true),
            run_idle: reader.read("IRONSPAN_RUN_IDLE_SECONDS", idle, "3600 seconds are used").unwrap_or(RUN_IDLE),
            shutdown_timeout: options
                .shutdown_timeout
                .map(|number| seconds(number, 0.0..=MAX_WAIT_SECONDS))
                .transpose()
                .map_err(|problem| ConfigError::new("shutdown_timeout", problem))?
                .unwrap_or(SHUTDOWN_TIMEOUT),
            log_level: own_level.or(general_level).unwrap_or_default(),
            strict: options.strict,
        })
    }
}

fn sampler(sample: Option<&Sample>, reader: &mut Reader<'_>) -> Result<Sampler, ConfigError> {
    const NAME: &str = "OTEL_TRACES_SAMPLER";
    const ARGUMENT: &str = "OTEL_TRACES_SAMPLER_ARG";
    const MEANWHILE: &str = "parentbased_always_on is used";
    let by_name = |name: &str, argument: Option<&str>| {
        Sampler::from_name(name, argument).map_err(|error| sampler_problem(name, &error))
    };
    let name = reader.read(NAME, |text| by_name(text, None).map(|_| text.to_owned()), MEANWHILE);
    let mut variable = None;
    if let Some(name) = name {
        let has_ratio = name.to_ascii_lowercase().ends_with("traceidratio");
        // The argument of samplers without a ratio means nothing, right or wrong.
        let ratio = if has_ratio { reader.read(ARGUMENT, parse_ratio, "a ratio of 1 is used") } else { None };
        variable = by_name(&name, ratio.map(|ratio| ratio.to_string()).as_deref()).ok();
    } else if reader.text(NAME).is_none() && reader.text(ARGUMENT).is_some() {
        let problem = Problem::new(
            format!("is set and {NAME} is not"),
            format!("write {NAME}=parentbased_traceidratio to keep a share of the traces"),
        );
        reader.hint(ARGUMENT, problem, "all traces are kept");
    }
    let argument = match sample {
        Some(Sample::Ratio(ratio)) => Some(Sampler::from_ratio(*ratio).map_err(|_| {
            let problem = Problem::new(
                format!("is {ratio}, which is not a number from 0 to 1"),
                "write for example 0.1 to keep one trace in ten",
            );
            ConfigError::new("sample", problem)
        })?),
        Some(Sample::Named(name)) => Some(by_name(name, None).map_err(|problem| ConfigError::new("sample", problem))?),
        None => None,
    };
    Ok(argument.or(variable).unwrap_or_default())
}

fn sampler_problem(name: &str, error: &SamplerError) -> Problem {
    match error {
        SamplerError::Remote(_) => Problem::new(
            format!("is {}, which takes its rules from a service that ironspan does not ask", quoted(name)),
            "write parentbased_traceidratio, and a ratio as its argument",
        ),
        _ => unknown(name, &sampling::NAMES),
    }
}

fn unknown(name: &str, known: &[&str]) -> Problem {
    let instead = match closest(name, known) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("write one of {}", known.join(", ")),
    };
    Problem::new(format!("is {}, which is not known", quoted(name)), instead)
}

fn propagators(argument: Option<&[String]>, reader: &mut Reader<'_>) -> Result<Propagators, ConfigError> {
    fn build<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Propagators, Problem> {
        let mut known = propagation::NAMES.to_vec();
        known.push("none");
        Propagators::from_names(names).map_err(|error| unknown(&error.0, &known))
    }
    let variable = reader.read("OTEL_PROPAGATORS", |text| build(parse_list(text)), "tracecontext,baggage is used");
    let argument = argument
        .map(|names| build(names.iter().map(String::as_str)))
        .transpose()
        .map_err(|problem| ConfigError::new("propagators", problem))?;
    Ok(argument.or(variable).unwrap_or_default())
}

fn dialects(argument: Option<&[String]>, reader: &mut Reader<'_>) -> Result<Vec<Dialect>, ConfigError> {
    let variable = reader.read("IRONSPAN_DIALECTS", |text| Dialect::parse_list(&parse_list(text)), "genai is used");
    let argument =
        argument.map(Dialect::parse_list).transpose().map_err(|problem| ConfigError::new("dialects", problem))?;
    Ok(argument.or(variable).unwrap_or_else(|| vec![Dialect::GenAi]))
}

/// A wrong value keeps less and not more: whoever wrote it wanted to restrict something.
fn capture(argument: Option<&str>, reader: &mut Reader<'_>) -> Result<Capture, ConfigError> {
    const OWN: &str = "IRONSPAN_CAPTURE";
    const GENERAL: &str = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT";
    let mut variable = |name, choices: &[(&str, Capture)]| {
        reader.text(name)?;
        let value = reader.read(name, |text| parse_choice(text, choices), "metadata is used");
        Some(value.unwrap_or(Capture::Metadata))
    };
    let own = variable(OWN, &Capture::CHOICES);
    let general = variable(GENERAL, &Capture::MESSAGE_CONTENT);
    let argument = argument
        .map(|text| parse_choice(text, &Capture::CHOICES))
        .transpose()
        .map_err(|problem| ConfigError::new("capture", problem))?;
    Ok(argument.or(own).or(general).unwrap_or_default())
}

fn path_word<T: Default>(
    option: &str,
    argument: Option<&str>,
    variable: &str,
    parse: fn(&str) -> T,
    reader: &Reader<'_>,
) -> Result<T, ConfigError> {
    match argument {
        Some(text) if text.trim().is_empty() => {
            Err(ConfigError::new(option, Problem::new("is empty", "write a path, or off")))
        }
        Some(text) => Ok(parse(text)),
        None => Ok(reader.text(variable).map(|text| parse(&text)).unwrap_or_default()),
    }
}

/// Variables that are set in vain.
fn hint_at_strays(reader: &mut Reader<'_>) {
    for name in ["OTEL_CONFIG_FILE", "OTEL_EXPERIMENTAL_CONFIG_FILE"] {
        if reader.text(name).is_some() {
            let problem = Problem::new(
                "names a configuration file, which ironspan does not read yet",
                "write the settings as arguments of init or as variables",
            );
            reader.hint(name, problem, "the other variables count");
        }
    }
    if reader.text("OTEL_EXPORTER_OTLP_SPAN_INSECURE").is_some() {
        let problem = Problem::new("is obsolete", "write OTEL_EXPORTER_OTLP_TRACES_INSECURE");
        reader.hint("OTEL_EXPORTER_OTLP_SPAN_INSECURE", problem, "not used");
    }
    let known: Vec<&str> =
        VARIABLES.iter().map(|&(name, _)| name).filter(|name| name.starts_with("IRONSPAN_")).collect();
    for name in reader.names("IRONSPAN_") {
        if known.contains(&name.as_str()) {
            continue;
        }
        if let Some(near) = closest(&name, &known) {
            reader.hint(&name, Problem::new("is not known", format!("did you mean {near}?")), "not used");
        }
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
