//! What the command line takes. The texts here are the manual: `ironspan help`, and the completion of shells.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// What is printed below every help.
const STATUS: &str = "\
exit status: 0 done, 1 nothing found or a check that failed, 2 wrong usage, 3 the store cannot be used";

/// `ironspan`.
#[derive(Debug, Parser)]
#[command(
    name = "ironspan",
    version,
    about = "Looks at what agents did: traces of the local store, in the terminal and in the browser.",
    after_help = concat!(
        "examples:\n",
        "  ironspan demo                       something to look at\n",
        "  ironspan show                       the last trace, as a tree\n",
        "  ironspan list errors:any dur:>5s    traces with errors that took over five seconds\n",
        "  ironspan tail agent:coder           spans as they end\n",
        "  ironspan view                       the page in the browser\n\n",
        "filters: agent:coder model:gpt-4o kind:tool name:web_search status:error errors:recovered dur:>5s cost:>0.01\n",
        "  tokens:>1000 session:abc user:42 tag:prod env:dev service:api score.helpful:<0.5 id:8898 \"free text\"\n",
        "  a comma is \"or\", - in front negates, root. in front asks the root only, * stands for any text\n\n",
        "exit status: 0 done, 1 nothing found or a check that failed, 2 wrong usage, 3 the store cannot be used"
    ),
    disable_help_subcommand = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct Common {
    /// The store: a file [default: `IRONSPAN_STORE`, ./.ironspan/traces.db, or the one among your data]
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) store: Option<PathBuf>,
    /// JSON instead of text; one object, or one a line where there are many
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Whether to use colour and box characters
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: When,
}

/// When something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    Always,
    Never,
}

/// A filter and a window of time.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Selection {
    /// Which traces, as in the page: agent:coder errors:any dur:>5s "free text"
    #[arg(value_name = "FILTER")]
    pub(crate) filter: Vec<String>,
    /// Only what began since then: 15m, 24h, 7d ago, or nanoseconds since 1970
    #[arg(long, value_name = "AGE")]
    pub(crate) since: Option<String>,
    /// Only what began before then
    #[arg(long, value_name = "AGE")]
    pub(crate) until: Option<String>,
}

impl Selection {
    /// The filter as one line.
    pub(crate) fn filter(&self) -> String {
        self.filter.join(" ").trim().to_owned()
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a team of agents that needs no key and no network, to have something to look at
    #[command(after_help = "ironspan demo --help tells its options")]
    Demo {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
        arguments: Vec<String>,
    },
    /// Traces, the newest first
    #[command(visible_alias = "ls", after_help = STATUS)]
    List(List),
    /// One trace as a tree, with its critical path
    #[command(after_help = STATUS)]
    Show(Show),
    /// Spans as they end, and traces; until Ctrl-C
    #[command(after_help = STATUS)]
    Tail(Tail),
    /// Counts, errors, percentiles, tokens and cost by agent, model, tool ...
    #[command(after_help = STATUS)]
    Stats(Stats),
    /// Errors in groups: what failed, how often, since when, with an example
    #[command(after_help = STATUS)]
    Errors(Errors),
    /// The page in the browser; until Ctrl-C
    #[command(after_help = STATUS)]
    View(View),
    /// Whether the store and the settings are in order
    #[command(after_help = STATUS)]
    Doctor,
    /// Traces as a file: JSON lines, CSV, OTLP JSON, Parquet; one as a page; or all of them to an OTLP receiver
    #[command(after_help = concat!(
        "examples:\n",
        "  ironspan export --since 24h -o day.jsonl             a line for each span, with its content\n",
        "  ironspan export agent:coder -o coder.parquet         columns for pandas, DuckDB, Polars; needs pyarrow\n",
        "  ironspan export id:8898 -o trace.html                one trace as a page\n",
        "  ironspan export --otlp http://localhost:4318         all of it to a collector\n\n",
        "exit status: 0 done, 1 nothing found or not everything delivered, 2 wrong usage, 3 the store cannot be used"
    ))]
    Export(Export),
    /// Take traces from OTLP JSON or from `export`; what is there already stays as it is
    #[command(after_help = STATUS)]
    Import(Import),
    /// Judge a trace, a span or a session
    #[command(after_help = STATUS)]
    Score(Score),
    /// Delete traces
    #[command(after_help = STATUS)]
    Purge(Purge),
    /// The script that teaches a shell to complete this command
    #[command(
        after_help = "for instance: ironspan completion bash > ~/.local/share/bash-completion/completions/ironspan"
    )]
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// At most so many
    #[arg(short = 'n', long, value_name = "N", default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) limit: u32,
    /// What comes first
    #[arg(long, value_name = "BY", default_value = "start", value_parser = ["start", "duration", "cost", "tokens", "errors"])]
    pub(crate) sort: String,
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The beginning of its id (four digits at least), or `last`
    #[arg(value_name = "TRACE", default_value = "last")]
    pub(crate) trace: String,
    /// What went in and out of each step, too
    #[arg(long)]
    pub(crate) io: bool,
    /// Rows of the tree at most; steps that went well are folded to keep to it
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) rows: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Tail {
    /// Spans of which traces, as in the page
    #[arg(value_name = "FILTER")]
    pub(crate) filter: Vec<String>,
    /// End when the next trace has ended
    #[arg(long)]
    pub(crate) once: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Stats {
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// What the rows are
    #[arg(long, value_name = "WHAT", default_value = "agent",
        value_parser = ["agent", "model", "tool", "session", "user", "name", "kind"])]
    pub(crate) by: String,
    /// At most so many
    #[arg(short = 'n', long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    pub(crate) limit: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Errors {
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// At most so many
    #[arg(short = 'n', long, value_name = "N", default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..=500))]
    pub(crate) limit: u32,
}

#[derive(Debug, Args)]
pub(crate) struct View {
    /// The trace to begin with: the beginning of its id, or `last`
    #[arg(value_name = "TRACE")]
    pub(crate) trace: Option<String>,
    /// The address to listen on; away from this machine a token is needed, and made
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub(crate) host: String,
    /// The port; 0 for any that is free [default: 7077, or the next that is free]
    #[arg(long, value_name = "N")]
    pub(crate) port: Option<u16>,
    /// What requests have to carry
    #[arg(long, value_name = "TEXT")]
    pub(crate) token: Option<String>,
    /// Do not open a browser
    #[arg(long)]
    pub(crate) no_open: bool,
}

/// Forms of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A span a line, with its content.
    Jsonl,
    /// A span a line, without its content.
    Csv,
    /// OTLP JSON lines, as a collector reads and writes them.
    OtlpJson,
    /// Columns, without content; needs the package pyarrow.
    Parquet,
    /// One trace as a page that needs no server and no script.
    Html,
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// The form [default: by the file's name, else jsonl]
    #[arg(long, value_name = "FORM")]
    pub(crate) format: Option<Format>,
    /// The file to write; it must not be there yet [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Send the spans to this OTLP/HTTP receiver instead, with ids and times as they are
    #[arg(long, value_name = "URL", conflicts_with_all = ["format", "output"])]
    pub(crate) otlp: Option<String>,
    /// A header of each request [default: those of `OTEL_EXPORTER_OTLP_HEADERS`]
    #[arg(long, value_name = "NAME=VALUE", requires = "otlp")]
    pub(crate) header: Vec<String>,
    /// Seconds that a receiver may take nothing before the rest is given up
    #[arg(long, value_name = "SECONDS", requires = "otlp", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) patience: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// Files to read; - is standard input
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Score {
    /// The beginning of the trace's id, or `last`
    #[arg(value_name = "TRACE")]
    pub(crate) trace: String,
    /// What is judged
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// A number, `true`, `false` or a word
    #[arg(value_name = "VALUE", allow_negative_numbers = true)]
    pub(crate) value: String,
    /// The span that is judged, not the whole trace
    #[arg(long, value_name = "SPAN")]
    pub(crate) span: Option<String>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub(crate) comment: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Purge {
    /// Which traces, as in the page
    #[arg(value_name = "FILTER")]
    pub(crate) filter: Vec<String>,
    /// Traces that began so long ago: 12h, 30d, 8w
    #[arg(long, value_name = "AGE")]
    pub(crate) older_than: Option<String>,
    /// Every trace
    #[arg(long, conflicts_with_all = ["filter", "older_than"])]
    pub(crate) all: bool,
    /// Say what would be deleted, and delete nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// Puts a space before words such as `-agent:coder`: they are terms of a filter that begin like an option.
pub(crate) fn protect_negations(arguments: Vec<String>) -> Vec<String> {
    let is_negation = |word: &str| {
        let Some((field, _)) = word.strip_prefix('-').and_then(|rest| rest.split_once(':')) else { return false };
        field.starts_with(|first: char| first.is_ascii_lowercase())
            && field.chars().all(|each| each.is_ascii_lowercase() || matches!(each, '.' | '_'))
    };
    arguments.into_iter().map(|word| if is_negation(&word) { format!(" {word}") } else { word }).collect()
}

#[cfg(test)]
#[allow(clippy::panic, clippy::unwrap_used, reason = "a failing test may panic")]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(words: &[&str]) -> Result<Cli, clap::Error> {
        let words = std::iter::once("ironspan").chain(words.iter().copied()).map(str::to_owned).collect();
        Cli::try_parse_from(protect_negations(words))
    }

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_filter_is_all_words_and_may_negate() {
        let Command::List(list) =
            parse(&["list", "agent:coder", "-kind:tool", "-root.name:a", "--since", "24h"]).unwrap().command
        else {
            panic!("another command")
        };
        assert_eq!(list.selection.filter(), "agent:coder  -kind:tool  -root.name:a");
        assert_eq!(list.selection.since.as_deref(), Some("24h"));
        // What is no term is a mistake and no free text.
        assert!(parse(&["list", "--sinc", "24h"]).is_err());
        assert!(parse(&["list", "-x"]).is_err());
    }

    #[test]
    fn common_options_stand_before_and_behind_the_command() {
        for words in [["--json", "show", "last"], ["show", "--json", "last"], ["show", "last", "--json"]] {
            let cli = parse(&words).unwrap();
            assert!(cli.common.json);
            assert!(matches!(cli.command, Command::Show(Show { trace, .. }) if trace == "last"));
        }
    }

    #[test]
    fn wrong_values_are_refused() {
        for words in [
            &["stats", "--by", "weather"][..],
            &["list", "-n", "0"],
            &["purge", "--all", "agent:x"],
            &["export", "--format", "xls"],
            &["export", "--otlp", "http://localhost:4318", "--output", "x"],
            &["export", "--header", "a=b"],
            &["completion", "cmd"],
            &["frobnicate"],
        ] {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }
}
