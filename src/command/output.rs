//! Where the command's words go: standard output and standard error, text or JSON, tables, failures and exit statuses.

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::command::args::When;
use crate::command::{ParquetError, ParquetFile, Surroundings, Written};
use crate::config::Environment;
use crate::store::StoreError;
use crate::store::read::{FilterError, Json, ReadError};
use crate::terminal::line::{Line, Style};
use crate::terminal::text::{escaped, width};
use crate::terminal::{Screen, format};

/// Columns where there is no terminal.
const COLUMNS: usize = 118;
/// Between two drawings of how far long work is: a step may take microseconds.
const REDRAW: Duration = Duration::from_millis(100);

/// Why the command did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The words make no sense; with what to write instead.
    Usage(String, Option<String>),
    /// The same, from the parser.
    Clap(clap::Error),
    /// There is nothing of the kind, or a check failed.
    Nothing(String),
    /// The same, and everything has been said.
    Negative,
    /// The store, or another file, cannot be used.
    Store(String),
    /// Nobody takes the output.
    Output(io::Error),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error.to_string())
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Store(error) => error.into(),
            ReadError::Filter(error) => error.into(),
            ReadError::Parameter(text) => Self::Usage(text, None),
            ReadError::Ambiguous { .. } => {
                let ReadError::Ambiguous { prefix, candidates } = error else { return Self::Negative };
                let list: Vec<String> = candidates.iter().map(|id| id.chars().take(12).collect()).collect();
                Self::Usage(
                    format!("{prefix} is the beginning of several trace ids"),
                    Some(format!("write more of one: {}", list.join(", "))),
                )
            }
            ReadError::Slow => Self::Store(error.to_string()),
            other => Self::Nothing(other.to_string()),
        }
    }
}

impl From<FilterError> for Failure {
    fn from(error: FilterError) -> Self {
        Self::Usage(error.message, Some(error.hint))
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// The output of the command.
pub(crate) struct Out<'a> {
    around: Surroundings<'a>,
    /// Whether to write JSON.
    pub(crate) json: bool,
    /// What text is made for.
    pub(crate) screen: Screen,
    /// Columns of the last progress line.
    progress: usize,
    /// When the last step was drawn.
    stepped: Option<Instant>,
}

impl<'a> Out<'a> {
    pub(crate) fn new(around: Surroundings<'a>) -> Self {
        let screen = Screen { columns: COLUMNS, unicode: false, colour: false };
        Self { around, json: false, screen, progress: 0, stepped: None }
    }

    /// Takes over what all commands have in common.
    pub(crate) fn set_up(&mut self, json: bool, color: When) {
        let set = |name: &str| self.around.environment.get(name).is_some_and(|text| !text.is_empty());
        let is_dumb = self.around.environment.get("TERM").is_some_and(|term| term == "dumb");
        let has_terminal = self.around.columns.is_some();
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .iter()
            .find_map(|name| self.around.environment.get(name).filter(|text| !text.is_empty()));
        let is_utf8 = cfg!(windows)
            || locale.is_some_and(|locale| {
                let locale = locale.to_ascii_lowercase();
                locale.contains("utf-8") || locale.contains("utf8")
            });
        self.json = json;
        self.screen = Screen {
            columns: self.around.columns.map_or(COLUMNS, usize::from),
            // What goes into a file or another program is ASCII, whatever the names of things are.
            unicode: color == When::Always || (has_terminal && is_utf8 && !is_dumb && color != When::Never),
            colour: match color {
                When::Always => true,
                When::Never => false,
                When::Auto => has_terminal && !set("NO_COLOR") && !is_dumb,
            },
        };
    }

    /// Whether a person looks at the output.
    pub(crate) fn is_terminal(&self) -> bool {
        self.around.columns.is_some()
    }

    /// What local time is ahead of UTC, seconds.
    pub(crate) fn utc_offset(&self) -> i64 {
        self.around.utc_offset
    }

    /// The variables.
    pub(crate) fn environment(&self) -> &'a dyn Environment {
        self.around.environment
    }

    /// Whether Ctrl-C was pressed. From the first call on it no longer ends the process.
    pub(crate) fn interrupted(&self) -> bool {
        self.around.interrupted.is_some_and(|asked| asked())
    }

    /// Has somebody write a Parquet file, who can.
    pub(crate) fn parquet(&mut self, file: &ParquetFile) -> Result<Written, ParquetError> {
        match self.around.parquet.as_mut() {
            Some(write) => write(file),
            None => Err(ParquetError::Missing(String::from("Parquet is written by the Python package alone"))),
        }
    }

    /// `path` as seen from the working folder.
    pub(crate) fn path(&self, path: &std::path::Path) -> PathBuf {
        self.around.folder.join(path)
    }

    /// Writes text as it is: it ends with a line feed, and what came from elsewhere in it is escaped.
    pub(crate) fn text(&mut self, text: &str) -> Result<(), Failure> {
        self.clear_progress()?;
        Ok(self.around.out.write_all(text.as_bytes())?)
    }

    /// Writes a line.
    pub(crate) fn line(&mut self, line: &str) -> Result<(), Failure> {
        self.text(line)?;
        Ok(self.around.out.write_all(b"\n")?)
    }

    /// Writes a line of our own words and of escaped ones, without colours.
    pub(crate) fn say(&mut self, line: &str) -> Result<(), Failure> {
        let line = escaped(line);
        self.line(&line)
    }

    /// Writes one JSON value on a line of its own.
    pub(crate) fn value(&mut self, value: &(impl Json + ?Sized)) -> Result<(), Failure> {
        let text = value.to_json();
        self.line(&text)
    }

    /// Writes a word to standard error.
    pub(crate) fn note(&mut self, text: &str) -> Result<(), Failure> {
        self.clear_progress()?;
        // On a terminal both streams are one: what was said before stands before.
        self.around.out.flush()?;
        Ok(writeln!(self.around.err, "{}", escaped(text))?)
    }

    /// Whether a person can see how far long work is.
    pub(crate) fn shows_progress(&self) -> bool {
        self.around.shows_progress
    }

    /// Shows how far long work is, where a person can see it: `1,200 of 4,800 traces written, 25 %`.
    pub(crate) fn step(&mut self, done: u64, total: Option<u64>, what: &str) -> Result<(), Failure> {
        if !self.around.shows_progress || self.stepped.is_some_and(|last| last.elapsed() < REDRAW) {
            return Ok(());
        }
        self.stepped = Some(Instant::now());
        self.progress(&step_text(done, total, what))
    }

    /// Shows what long work is at, where a person can see it.
    pub(crate) fn progress(&mut self, text: &str) -> Result<(), Failure> {
        if self.around.shows_progress {
            // One line: what is longer than the screen could not be written over.
            let text: &str = &text.chars().take(self.screen.columns().saturating_sub(1)).collect::<String>();
            let blank = self.progress.saturating_sub(width(text));
            write!(self.around.err, "\r{text}{:blank$}", "")?;
            self.around.err.flush()?;
            self.progress = width(text);
        }
        Ok(())
    }

    fn clear_progress(&mut self) -> io::Result<()> {
        let columns = std::mem::take(&mut self.progress);
        if columns > 0 {
            write!(self.around.err, "\r{:columns$}\r", "")?;
        }
        Ok(())
    }

    /// One line that is written over again by the next one, where a person can see it.
    pub(crate) fn status_line(&mut self, line: Option<&str>) -> Result<(), Failure> {
        if self.is_terminal() {
            // ECMA-48: carriage return, erase the line.
            write!(self.around.out, "\r\x1b[2K{}", line.unwrap_or_default())?;
            self.around.out.flush()?;
        }
        Ok(())
    }

    /// Asks a question that takes yes or no; no where nobody can be asked.
    pub(crate) fn confirms(&mut self, question: &str) -> Result<bool, Failure> {
        write!(self.around.err, "{} [y/N] ", escaped(question))?;
        self.around.err.flush()?;
        let Some(input) = self.around.input.as_mut() else { return Ok(false) };
        let mut answer = String::new();
        input.read_line(&mut answer)?;
        Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
    }

    /// Everything that is given to standard input.
    pub(crate) fn read_input(&mut self) -> Result<Vec<u8>, Failure> {
        let mut all = Vec::new();
        if let Some(input) = self.around.input.as_mut() {
            input.read_to_end(&mut all)?;
        }
        Ok(all)
    }

    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.clear_progress()?;
        Ok(self.around.out.flush()?)
    }

    /// Tells of a failure; returns the exit status.
    pub(crate) fn fail(&mut self, failure: &Failure) -> u8 {
        let (text, hint, status) = match failure {
            // A reader that has seen enough, such as `head`, is no failure.
            Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => return 0,
            Failure::Output(error) => (format!("the output cannot be written: {error}"), None, 3),
            Failure::Negative => (String::new(), None, 1),
            Failure::Nothing(text) => (text.clone(), None, 1),
            Failure::Usage(text, hint) => (text.clone(), hint.clone(), 2),
            Failure::Clap(error) => {
                // It brings its own line feeds, and escapes what it repeats.
                let _ = write!(self.around.err, "{error}");
                (String::new(), None, 2)
            }
            Failure::Store(text) => (text.clone(), None, 3),
        };
        // A standard error that nobody takes leaves only the status.
        let _ = self.clear_progress();
        let _ = self.around.out.flush();
        if !text.is_empty() {
            let _ = writeln!(self.around.err, "error: {}", escaped(&text));
        }
        if let Some(hint) = hint {
            let _ = writeln!(self.around.err, "hint: {}", escaped(&hint));
        }
        let _ = self.around.err.flush();
        status
    }
}

/// `1,200 of 4,800 traces written, 25 %`; without a total the count alone. More than the total is all of it: it was
/// counted before.
fn step_text(done: u64, total: Option<u64>, what: &str) -> String {
    match total.filter(|total| *total > 0) {
        None => format!("{} {what}", format::count(done)),
        Some(total) => {
            let share = u128::from(done.min(total)) * 100 / u128::from(total);
            format!("{} of {} {what}, {share} %", format::count(done), format::count(total.max(done)))
        }
    }
}

/// A cell of a table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), style: Style::Plain }
    }

    pub(crate) fn styled(style: Style, text: impl Into<String>) -> Self {
        Self { text: text.into(), style }
    }
}

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) title: &'static str,
    /// Numbers stand at the right.
    pub(crate) right: bool,
    /// Columns at most; what is longer is cut.
    pub(crate) most: usize,
}

impl Column {
    pub(crate) const fn text(title: &'static str, most: usize) -> Self {
        Self { title, right: false, most }
    }

    pub(crate) const fn number(title: &'static str) -> Self {
        Self { title, right: true, most: 24 }
    }
}

/// The lines of a table, titles first. Columns in which every cell is empty are left out; what does not fit on the
/// screen is cut from the last column.
pub(crate) fn table(columns: &[Column], rows: &[Vec<Cell>], screen: Screen) -> String {
    let rendered = |cell: &Cell, most: usize| {
        let mut line = Line::new(screen);
        line.push(Style::Plain, &cell.text, most);
        line.used
    };
    let widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(at, column)| {
            let widest = rows.iter().filter_map(|row| row.get(at)).map(|cell| rendered(cell, column.most)).max();
            widest.filter(|widest| *widest > 0).map_or(0, |widest| widest.max(column.title.len()))
        })
        .collect();
    let mut out = String::new();
    let titles: Vec<Cell> = columns.iter().map(|column| Cell::styled(Style::Dim, column.title)).collect();
    for row in std::iter::once(&titles).chain(rows) {
        let mut line = Line::new(screen);
        for ((column, cell), &wide) in columns.iter().zip(row).zip(&widths) {
            if wide == 0 {
                continue;
            }
            if line.used > 0 {
                line.push_own(Style::Plain, "  ");
            }
            let room = wide.min(screen.columns().saturating_sub(line.used));
            let begin = line.used;
            if column.right {
                line.fill(begin + wide.saturating_sub(rendered(cell, wide)));
            }
            line.push(cell.style, &cell.text, (begin + room).min(screen.columns()));
            line.fill(begin + wide);
        }
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{}", line.finish());
    }
    out
}

/// An age in one unit: `now`, `40 s`, `12 min`, `5 h`, `3 d`.
pub(crate) fn age(nanoseconds: i64) -> String {
    let seconds = nanoseconds.max(0) / 1_000_000_000;
    match seconds {
        0 => String::from("now"),
        1..=99 => format!("{seconds} s"),
        100..=5_999 => format!("{} min", (seconds + 30) / 60),
        6_000..=172_799 => format!("{} h", (seconds + 1_800) / 3_600),
        _ => format!("{} d", (seconds + 43_200) / 86_400),
    }
}

/// The time of day, with milliseconds.
pub(crate) fn time_of_day(nanoseconds: i64, utc_offset: i64) -> String {
    let milliseconds = nanoseconds.div_euclid(1_000_000).saturating_add(utc_offset.saturating_mul(1_000));
    let of_day = milliseconds.rem_euclid(86_400_000);
    let (seconds, rest) = (of_day / 1_000, of_day % 1_000);
    format!("{:02}:{:02}:{:02}.{rest:03}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// Date and time in UTC, as ISO 8601 has it, with microseconds.
pub(crate) fn iso(nanoseconds: i64) -> String {
    let days = nanoseconds.div_euclid(86_400_000_000_000);
    // Days of the Gregorian calendar: years begin in March, so that leap days come last; eras have 400 years.
    let from_march = days + 719_468;
    let (era, day_of_era) = (from_march.div_euclid(146_097), from_march.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let microseconds = nanoseconds.rem_euclid(1_000_000_000) / 1_000;
    let time = time_of_day(nanoseconds, 0);
    let seconds = time.split('.').next().unwrap_or_default();
    format!("{year:04}-{month:02}-{day:02}T{seconds}.{microseconds:06}Z")
}

/// Bytes: `512 B`, `4.2 KB`, `1.20 GB`.
pub(crate) fn bytes(count: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
    let number = count as f64;
    match count {
        0..=999 => format!("{count} B"),
        1_000..=999_999 => format!("{:.1} KB", number / 1e3),
        1_000_000..=999_999_999 => format!("{:.1} MB", number / 1e6),
        _ => format!("{:.2} GB", number / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_as_wide_as_the_screen_and_leaves_empty_columns_out() {
        let columns =
            [Column::text("name", 8), Column::number("n"), Column::text("nothing", 9), Column::text("what", 80)];
        let row = |name: &str, n: &str, what: &str| {
            vec![Cell::new(name), Cell::new(n), Cell::default(), Cell::styled(Style::Red, what)]
        };
        let rows =
            [row("a", "1", "short"), row("a long name", "1,024", "the \u{1b}[31m end of this does not fit there")];
        let screen = Screen { columns: 40, unicode: true, colour: false };
        let expected = "name          n  what\n\
                        a             1  short\n\
                        a long …  1,024  the \\u{1b}[31m end of …\n";
        assert_eq!(table(&columns, &rows, screen), expected);
    }

    #[test]
    fn steps_have_a_share_where_the_total_is_known() {
        assert_eq!(step_text(1_200, None, "spans read"), "1,200 spans read");
        assert_eq!(step_text(1_200, Some(0), "spans read"), "1,200 spans read");
        assert_eq!(step_text(1_200, Some(4_800), "traces written"), "1,200 of 4,800 traces written, 25 %");
        assert_eq!(step_text(9, Some(8), "traces written"), "9 of 9 traces written, 100 %");
        assert_eq!(step_text(u64::MAX, Some(u64::MAX), "x").rsplit(' ').nth(1), Some("100"));
    }

    #[test]
    fn ages_times_and_bytes_are_short() {
        for (seconds, text) in
            [(0, "now"), (40, "40 s"), (720, "12 min"), (18_000, "5 h"), (260_000, "3 d"), (-5, "now")]
        {
            assert_eq!(age(seconds * 1_000_000_000), text);
        }
        assert_eq!(time_of_day(1_790_000_000_123_456_789, 0), "14:13:20.123");
        assert_eq!(time_of_day(1_790_000_000_123_456_789, 12 * 3_600), "02:13:20.123");
        assert_eq!(iso(1_790_000_000_123_456_789), "2026-09-21T14:13:20.123456Z");
        assert_eq!(iso(951_782_400_000_000_000), "2000-02-29T00:00:00.000000Z");
        assert_eq!(iso(-1), "1969-12-31T23:59:59.999999Z");
        for (count, text) in [(0, "0 B"), (4_200, "4.2 KB"), (2_500_000, "2.5 MB"), (1_200_000_000, "1.20 GB")] {
            assert_eq!(bytes(count), text);
        }
    }
}
