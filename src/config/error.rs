//! What the user reads when a setting is wrong: one sentence that names the option or variable, shows the bad value and
//! says what to write instead.
//!
//! Parsers know only the value and report a [`Problem`]. Whoever knows where the value was written makes a
//! [`ConfigError`] (an argument of `init`) or a [`Warning`] (an environment variable) of it. Values of headers never
//! reach these types.

use std::fmt;

use crate::terminal::text::push_escaped;

/// Characters of a bad value that are shown.
const SHOWN_CHARACTERS: usize = 60;

/// A wrong argument, told in one sentence.
///
/// In Python it is raised as `ironspan.ConfigError`, a `ValueError`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{subject} {what}; {instead}")]
pub struct ConfigError {
    subject: String,
    what: String,
    instead: String,
}

impl ConfigError {
    /// An error about `subject` (the option's name as the user writes it, such as `exporters[0].endpoint`).
    #[must_use]
    pub fn new(subject: impl Into<String>, problem: Problem) -> Self {
        Self { subject: subject.into(), what: problem.what, instead: problem.instead }
    }

    /// An error about an argument that does not exist. `known` are the names that do; a near one is suggested.
    #[must_use]
    pub fn unknown_option(name: &str, known: &[&str]) -> Self {
        let instead = closest(name, known)
            .map_or_else(|| format!("write one of {}", known.join(", ")), |near| format!("did you mean {near}?"));
        Self { subject: shown(name), what: String::from("is not an option"), instead }
    }

    /// An error about an argument of the wrong type: `got` and `expected` in words, such as `a list` and `a number`.
    #[must_use]
    pub fn wrong_type(option: &str, got: &str, expected: &str) -> Self {
        Self::new(option, Problem::new(format!("is {got}"), format!("write {expected}")))
    }

    /// The option or variable that is wrong.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }
}

/// How a warning came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WarningKind {
    /// The variable is wrong and was not used; an error under `strict`.
    Wrong,
    /// The variable was used, or cannot be, and the user should know; never an error.
    Hint,
}

/// A sentence about an environment variable, to be logged once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    kind: WarningKind,
    error: ConfigError,
    meanwhile: String,
}

impl Warning {
    /// A warning about `variable`; `meanwhile` says what happens instead, such as `the default of 512 is used`.
    #[must_use]
    pub fn new(kind: WarningKind, variable: impl Into<String>, problem: Problem, meanwhile: impl Into<String>) -> Self {
        Self { kind, error: ConfigError::new(variable, problem), meanwhile: meanwhile.into() }
    }

    /// Whether `strict` makes it an error.
    #[must_use]
    pub fn kind(&self) -> WarningKind {
        self.kind
    }

    /// The same sentence as an error.
    #[must_use]
    pub fn into_error(self) -> ConfigError {
        self.error
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.error)?;
        if self.meanwhile.is_empty() { Ok(()) } else { write!(f, " ({})", self.meanwhile) }
    }
}

/// What is wrong with a value, without saying where it stands: `is "abc", which is not a number` and `write for example
/// 512`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    what: String,
    instead: String,
}

impl Problem {
    /// A problem: what is wrong, as the rest of a sentence, and what to write instead.
    #[must_use]
    pub fn new(what: impl Into<String>, instead: impl Into<String>) -> Self {
        Self { what: what.into(), instead: instead.into() }
    }

    /// The sentence without its subject.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}; {}", self.what, self.instead)
    }

    /// A value that is not what it should be.
    #[must_use]
    pub(super) fn value(text: &str, fault: &str, instead: impl Into<String>) -> Self {
        Self::new(format!("is {}, which {fault}", quoted(text)), instead)
    }
}

/// A value as it is shown in a sentence: in quotes, control and direction characters escaped, cut at 60 characters.
#[must_use]
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", shown(text))
}

fn shown(text: &str) -> String {
    let mut out = String::new();
    for (at, character) in text.chars().enumerate() {
        if at == SHOWN_CHARACTERS {
            out.push_str("...");
            break;
        }
        if matches!(character, '"' | '\\') {
            out.push('\\');
        }
        push_escaped(&mut out, character, false);
    }
    out
}

/// The name among `known` that `name` is most likely a slip of: at most two edits away, and less than half of it.
#[must_use]
pub(super) fn closest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let name = name.to_ascii_lowercase();
    // The distance is quadratic; nobody mistypes a name of hundreds of characters.
    if name.len() > 100 {
        return None;
    }
    known
        .iter()
        .map(|&candidate| (edits(&name, &candidate.to_ascii_lowercase()), candidate))
        .filter(|&(distance, candidate)| distance <= 2 && distance * 2 < candidate.chars().count())
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance.
fn edits(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (line, left) in from.chars().enumerate() {
        let mut diagonal = line;
        let mut before = line + 1;
        if let Some(first) = row.first_mut() {
            *first = before;
        }
        for (cell, right) in row.iter_mut().skip(1).zip(to.chars()) {
            let above = *cell;
            *cell = (before + 1).min(above + 1).min(diagonal + usize::from(left != right));
            diagonal = above;
            before = *cell;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_option_the_value_and_the_cure() {
        let error = ConfigError::new("sample", Problem::value("1.5", "is over 1", "write a number from 0 to 1"));
        assert_eq!(error.to_string(), r#"sample is "1.5", which is over 1; write a number from 0 to 1"#);
    }

    #[test]
    fn a_warning_says_what_happens_meanwhile() {
        let problem = Problem::value("x", "is not a number", "write 512");
        let warning = Warning::new(WarningKind::Wrong, "OTEL_X", problem, "the default of 512 is used");
        assert_eq!(
            warning.to_string(),
            r#"OTEL_X is "x", which is not a number; write 512 (the default of 512 is used)"#
        );
    }

    #[test]
    fn bad_values_are_escaped_and_cut() {
        assert_eq!(quoted("a\n\u{1b}[31m\u{202e}b\"c"), r#""a\n\u{1b}[31m\u{202e}b\"c""#);
        assert_eq!(quoted("Größe 東京"), "\"Größe 東京\"");
        assert_eq!(quoted(&"x".repeat(500)), format!("\"{}...\"", "x".repeat(60)));
    }

    #[test]
    fn an_unknown_option_suggests_its_neighbour_or_lists_all() {
        let known = ["exporters", "sample", "service"];
        assert_eq!(
            ConfigError::unknown_option("exporter", &known).to_string(),
            "exporter is not an option; did you mean exporters?"
        );
        assert_eq!(
            ConfigError::unknown_option("colour", &known).to_string(),
            "colour is not an option; write one of exporters, sample, service"
        );
    }

    #[test]
    fn edit_distance_is_levenshtein() {
        for (from, to, distance) in
            [("", "", 0), ("a", "", 1), ("", "ab", 2), ("kitten", "sitting", 3), ("ab", "ba", 2)]
        {
            assert_eq!(edits(from, to), distance, "{from} {to}");
        }
    }
}
