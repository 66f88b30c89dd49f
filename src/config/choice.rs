//! The small words of the configuration: each type is one option with a few named values.

use std::path::PathBuf;

use super::env::parse_choice;
use super::error::Problem;

/// Attribute names that spans carry on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// The semantic conventions of OpenTelemetry for generative AI: the canonical names.
    GenAi,
    /// The names of Phoenix and Arize.
    OpenInference,
    /// Langfuse's own attributes.
    Langfuse,
    /// Traceloop's names.
    OpenLlmetry,
}

impl Dialect {
    const CHOICES: [(&str, Self); 4] = [
        ("genai", Self::GenAi),
        ("openinference", Self::OpenInference),
        ("langfuse", Self::Langfuse),
        ("openllmetry", Self::OpenLlmetry),
    ];

    /// The names in a list, each once, in their order.
    ///
    /// # Errors
    ///
    /// A name that is not a dialect, or no name at all.
    pub(super) fn parse_list<S: AsRef<str>>(names: &[S]) -> Result<Vec<Self>, Problem> {
        let mut dialects = Vec::new();
        for name in names {
            let dialect = parse_choice(name.as_ref().trim(), &Self::CHOICES)?;
            if !dialects.contains(&dialect) {
                dialects.push(dialect);
            }
        }
        if dialects.is_empty() {
            return Err(Problem::new("is empty", "write at least one of genai, openinference, langfuse, openllmetry"));
        }
        Ok(dialects)
    }
}

/// How much of what a model and its tools say is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Capture {
    /// Names, times, ids and outcomes only.
    Off,
    /// Also models, parameters, token counts and costs; no prompts, answers, arguments or documents.
    Metadata,
    /// Also content, after masking rules that hide whatever looks personal.
    Redacted,
    /// Also content, with secrets masked.
    #[default]
    Full,
}

impl Capture {
    pub(super) const CHOICES: [(&str, Self); 4] =
        [("off", Self::Off), ("metadata", Self::Metadata), ("redacted", Self::Redacted), ("full", Self::Full)];

    /// Values of `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT`. Content in events only is none for us: ours is
    /// on spans.
    pub(super) const MESSAGE_CONTENT: [(&str, Self); 6] = [
        ("NO_CONTENT", Self::Metadata),
        ("SPAN_ONLY", Self::Full),
        ("EVENT_ONLY", Self::Metadata),
        ("SPAN_AND_EVENT", Self::Full),
        ("true", Self::Full),
        ("false", Self::Metadata),
    ];
}

/// What is printed about each finished trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConsoleMode {
    /// Nothing.
    #[default]
    Off,
    /// One line.
    Summary,
    /// The tree of its spans.
    Tree,
}

impl ConsoleMode {
    pub(super) const CHOICES: [(&str, Self); 3] =
        [("off", Self::Off), ("summary", Self::Summary), ("tree", Self::Tree)];
}

/// When terminal output is coloured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colour {
    /// On a terminal, unless `NO_COLOR` is set or `TERM` is `dumb`.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Colour {
    pub(super) const CHOICES: [(&str, Self); 3] =
        [("auto", Self::Auto), ("always", Self::Always), ("never", Self::Never)];
}

/// What the internal logger lets through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// Losses.
    Error,
    /// What needs attention.
    Warning,
    /// What a person may want to know.
    #[default]
    Info,
    /// Everything.
    Debug,
}

impl LogLevel {
    /// OpenTelemetry names no values; these are the ones its SDKs take.
    pub(super) const CHOICES: [(&str, Self); 9] = [
        ("off", Self::Off),
        ("error", Self::Error),
        ("warning", Self::Warning),
        ("info", Self::Info),
        ("debug", Self::Debug),
        ("none", Self::Off),
        ("fatal", Self::Error),
        ("warn", Self::Warning),
        ("trace", Self::Debug),
    ];
}

/// Where the local store is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StoreSetting {
    /// `./.ironspan/` where that folder exists, else the user's data folder; nowhere when spans are exported.
    #[default]
    Auto,
    /// This file.
    File(PathBuf),
    /// In memory, gone at exit.
    Memory,
    /// Nowhere.
    Off,
}

impl StoreSetting {
    /// `auto`, `memory`, `off` or a path.
    pub(super) fn parse(text: &str) -> Self {
        match text.trim() {
            word if word.eq_ignore_ascii_case("auto") => Self::Auto,
            word if word.eq_ignore_ascii_case("memory") => Self::Memory,
            word if word.eq_ignore_ascii_case("off") => Self::Off,
            path => Self::File(PathBuf::from(path)),
        }
    }
}

/// Where spans wait that could not be delivered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SpoolSetting {
    /// Beside the store.
    #[default]
    Auto,
    /// Below this directory.
    Directory(PathBuf),
    /// Only in memory.
    Off,
}

impl SpoolSetting {
    /// `auto`, `off` or a directory.
    pub(super) fn parse(text: &str) -> Self {
        match text.trim() {
            word if word.eq_ignore_ascii_case("auto") => Self::Auto,
            word if word.eq_ignore_ascii_case("off") => Self::Off,
            path => Self::Directory(PathBuf::from(path)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failing test may panic")]
mod tests {
    use super::*;

    #[test]
    fn dialects_are_kept_once_in_their_order() {
        let dialects = Dialect::parse_list(&["OpenInference", " genai", "openinference"]).unwrap();
        assert_eq!(dialects, [Dialect::OpenInference, Dialect::GenAi]);
        assert!(Dialect::parse_list(&["openinfer"]).is_err());
        assert!(Dialect::parse_list::<&str>(&[]).is_err());
    }

    #[test]
    fn a_store_or_spool_is_a_word_or_a_path() {
        assert_eq!(StoreSetting::parse("Memory"), StoreSetting::Memory);
        assert_eq!(StoreSetting::parse("off"), StoreSetting::Off);
        assert_eq!(StoreSetting::parse("./off"), StoreSetting::File(PathBuf::from("./off")));
        assert_eq!(SpoolSetting::parse("OFF"), SpoolSetting::Off);
        assert_eq!(SpoolSetting::parse("/var/spool"), SpoolSetting::Directory(PathBuf::from("/var/spool")));
    }

    #[test]
    fn log_levels_are_ordered() {
        assert!(LogLevel::Error < LogLevel::Debug && LogLevel::Off < LogLevel::Error);
    }
}
