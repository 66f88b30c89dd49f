//! Where finished spans go besides the store. Nothing leaves the machine unless an exporter is named: by argument, by
//! `OTEL_TRACES_EXPORTER`, or by an OTLP endpoint in the environment.

use std::path::PathBuf;

use super::choice::{Colour, ConsoleMode, Dialect};
use super::env::{Reader, parse_choice, parse_integer, parse_list};
use super::error::{ConfigError, Problem, quoted};
use super::otlp::{FromEnvironment, OtlpConfig, OtlpOptions, endpoint_is_set};

/// Each destination has its own queue and state; more of them is a mistake.
const MAX_DESTINATIONS: usize = 16;

const EXPORTER: &str = "OTEL_TRACES_EXPORTER";

/// The `exporters=` argument.
#[derive(Clone, Debug, Default)]
pub enum Exporters {
    /// What the environment names.
    #[default]
    Env,
    /// These, and none from the environment.
    List(Vec<DestinationOptions>),
}

/// One exporter object in code.
#[derive(Clone, Debug)]
pub enum DestinationOptions {
    /// OTLP over HTTP or gRPC.
    Otlp(Box<OtlpOptions>),
    /// Finished traces on the terminal: `summary` or `tree`, and `auto`, `always` or `never` for colour.
    Console {
        /// Default `tree`.
        mode: Option<String>,
        /// Default `auto`.
        colour: Option<String>,
    },
    /// A file of OTLP JSON lines.
    File {
        /// Ends in `.jsonl`.
        path: PathBuf,
        /// Attribute names, as in [`OtlpOptions::dialects`].
        dialects: Option<Vec<String>>,
    },
    /// In memory, for tests.
    Memory,
}

/// A resolved destination.
#[derive(Clone, Debug, PartialEq)]
pub enum Destination {
    /// OTLP over HTTP or gRPC.
    Otlp(Box<OtlpConfig>),
    /// Finished traces on the terminal.
    Console(ConsoleConfig),
    /// OTLP JSON lines.
    File(FileConfig),
    /// In memory, for tests.
    Memory,
}

/// How finished traces are printed to standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsoleConfig {
    /// One line or the tree.
    pub mode: ConsoleMode,
    /// [`Colour::Auto`] asks whether standard output is a terminal.
    pub colour: Colour,
    /// Whether box characters and glyphs can be shown: the locale says UTF-8.
    pub unicode: bool,
    /// Width in columns where it is known; the sink has its own default.
    pub columns: Option<u16>,
}

/// Where OTLP JSON lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileConfig {
    /// A file or standard output.
    pub target: FileTarget,
    /// Attribute names; `None` means those of the whole configuration.
    pub dialects: Option<Vec<Dialect>>,
}

/// A place for lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileTarget {
    /// An absolute path.
    Path(PathBuf),
    /// Standard output.
    Stdout,
}

/// What `init` says about the terminal.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConsoleArguments<'a> {
    pub(super) mode: Option<&'a str>,
    pub(super) columns: Option<u16>,
}

/// Resolves the list of destinations.
pub(super) fn resolve(
    exporters: &Exporters,
    console: ConsoleArguments<'_>,
    reader: &mut Reader<'_>,
) -> Result<Vec<Destination>, ConfigError> {
    let variable =
        reader.read("IRONSPAN_CONSOLE", |text| parse_choice(text, &ConsoleMode::CHOICES), "nothing is printed");
    let argument = console
        .mode
        .map(|text| parse_choice(text, &ConsoleMode::CHOICES))
        .transpose()
        .map_err(|problem| ConfigError::new("console", problem))?;
    let mode = argument.or(variable);
    let screen = Screen::read(console.columns, reader);
    let mut destinations = match exporters {
        Exporters::Env => from_environment(mode, screen, reader),
        Exporters::List(list) => from_list(list, screen, reader)?,
    };
    if let Some(mode @ (ConsoleMode::Summary | ConsoleMode::Tree)) = mode
        && !destinations.iter().any(|destination| matches!(destination, Destination::Console(_)))
    {
        destinations.push(Destination::Console(screen.console(mode, Colour::Auto)));
    }
    Ok(destinations)
}

fn from_environment(mode: Option<ConsoleMode>, screen: Screen, reader: &mut Reader<'_>) -> Vec<Destination> {
    let Some(text) = reader.text(EXPORTER) else {
        if !endpoint_is_set(reader) {
            return Vec::new();
        }
        let otlp = FromEnvironment::read(reader).destination(reader);
        return otlp.map(|config| Destination::Otlp(Box::new(config))).into_iter().collect();
    };
    let mut names: Vec<String> = Vec::new();
    for name in parse_list(&text) {
        let name = name.to_ascii_lowercase();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.iter().any(|name| name == "none") {
        if names.len() > 1 {
            let problem = Problem::new("names none beside other exporters", "write none alone, or leave it out");
            reader.wrong(EXPORTER, problem, "nothing is exported");
        }
        return Vec::new();
    }
    let mut destinations = Vec::new();
    for name in names {
        match name.as_str() {
            "otlp" => {
                let otlp = FromEnvironment::read(reader).destination(reader);
                destinations.extend(otlp.map(|config| Destination::Otlp(Box::new(config))));
            }
            // The variable of our own is the more exact one: it may say summary, or off.
            "console" => match mode.unwrap_or(ConsoleMode::Tree) {
                ConsoleMode::Off => {}
                mode => destinations.push(Destination::Console(screen.console(mode, Colour::Auto))),
            },
            "otlp/stdout" => {
                destinations.push(Destination::File(FileConfig { target: FileTarget::Stdout, dialects: None }));
            }
            "zipkin" => {
                let problem = Problem::new(
                    "names zipkin, whose exporter OpenTelemetry has deprecated and ironspan does not have",
                    "write otlp and let a collector translate",
                );
                reader.wrong(EXPORTER, problem, "left out");
            }
            _ => {
                let problem = Problem::new(
                    format!("names {}, which is not known", quoted(&name)),
                    "write otlp, console, otlp/stdout or none",
                );
                reader.wrong(EXPORTER, problem, "left out");
            }
        }
    }
    destinations
}

fn from_list(
    list: &[DestinationOptions],
    screen: Screen,
    reader: &mut Reader<'_>,
) -> Result<Vec<Destination>, ConfigError> {
    if list.len() > MAX_DESTINATIONS {
        let problem = Problem::new(
            format!("has {} entries", list.len()),
            format!("write at most {MAX_DESTINATIONS}; a collector can send to more"),
        );
        return Err(ConfigError::new("exporters", problem));
    }
    let mut destinations: Vec<Destination> = Vec::with_capacity(list.len());
    let mut environment = None;
    for (at, options) in list.iter().enumerate() {
        let position = format!("exporters[{at}]");
        let destination = match options {
            DestinationOptions::Otlp(options) => {
                let environment = environment.get_or_insert_with(|| FromEnvironment::read(reader));
                match environment.with_options(options, &position, reader)? {
                    Some(config) => Destination::Otlp(Box::new(config)),
                    None => continue,
                }
            }
            DestinationOptions::Console { mode, colour } => {
                let fault = |option, problem| ConfigError::new(format!("{position}.{option}"), problem);
                let mode = mode.as_deref().map_or(Ok(ConsoleMode::Tree), |text| {
                    parse_choice(text, &ConsoleMode::CHOICES).map_err(|problem| fault("mode", problem))
                })?;
                let colour = colour.as_deref().map_or(Ok(Colour::Auto), |text| {
                    parse_choice(text, &Colour::CHOICES).map_err(|problem| fault("colour", problem))
                })?;
                if mode == ConsoleMode::Off {
                    continue;
                }
                Destination::Console(screen.console(mode, colour))
            }
            DestinationOptions::File { path, dialects } => {
                let fault = |option, problem| ConfigError::new(format!("{position}.{option}"), problem);
                let target = FileTarget::Path(lines_path(path).map_err(|problem| fault("path", problem))?);
                let dialects = dialects
                    .as_deref()
                    .map(Dialect::parse_list)
                    .transpose()
                    .map_err(|problem| fault("dialects", problem))?;
                Destination::File(FileConfig { target, dialects })
            }
            DestinationOptions::Memory => Destination::Memory,
        };
        if let Some(earlier) = destinations.iter().position(|earlier| is_same_place(earlier, &destination)) {
            let problem =
                Problem::new(format!("writes to the same place as exporters[{earlier}]"), "leave one of the two out");
            return Err(ConfigError::new(position, problem));
        }
        destinations.push(destination);
    }
    Ok(destinations)
}

/// Two writers of one place would tear each other's output.
fn is_same_place(one: &Destination, other: &Destination) -> bool {
    match (one, other) {
        (Destination::File(one), Destination::File(other)) => one.target == other.target,
        (Destination::Console(_), Destination::Console(_)) => true,
        _ => false,
    }
}

/// The absolute path of a file of lines, whose folder must exist.
fn lines_path(path: &std::path::Path) -> Result<PathBuf, Problem> {
    let shown = quoted(&path.to_string_lossy());
    if path.extension().is_none_or(|extension| extension != "jsonl") {
        return Err(Problem::new(
            format!("is {shown}, which does not end in .jsonl"),
            "write a path such as traces.jsonl",
        ));
    }
    // Absolute now, since the working directory may change before the first span.
    let Ok(path) = std::path::absolute(path) else {
        return Err(Problem::new(format!("is {shown}, which is not a path"), "write a path such as traces.jsonl"));
    };
    if path.is_dir() {
        return Err(Problem::new(format!("is {shown}, which is a folder"), "write the path of a file in it"));
    }
    if !path.parent().is_some_and(std::path::Path::is_dir) {
        return Err(Problem::new(
            format!("is {shown}, whose folder does not exist"),
            "make the folder first, or write another path",
        ));
    }
    Ok(path)
}

/// What the environment says about the terminal.
#[derive(Clone, Copy, Debug)]
struct Screen {
    unicode: bool,
    columns: Option<u16>,
    plain: bool,
}

impl Screen {
    fn read(columns: Option<u16>, reader: &mut Reader<'_>) -> Self {
        // The first of the three that is set decides (POSIX, locale).
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(|name| reader.text(name));
        let unicode = locale.is_some_and(|locale| {
            let locale = locale.to_ascii_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        });
        // Not ours, so a strange value is nothing to talk about.
        let width = |text: String| parse_integer(&text, 1..=u64::from(u16::MAX)).ok();
        let from_variable = reader.text("COLUMNS").and_then(width).and_then(|width| u16::try_from(width).ok());
        let plain = reader.text("NO_COLOR").is_some() || reader.text("TERM").is_some_and(|term| term == "dumb");
        Self { unicode, columns: columns.filter(|&columns| columns > 0).or(from_variable), plain }
    }

    fn console(self, mode: ConsoleMode, colour: Colour) -> ConsoleConfig {
        let colour = if self.plain && colour == Colour::Auto { Colour::Never } else { colour };
        ConsoleConfig { mode, colour, unicode: self.unicode, columns: self.columns }
    }
}
