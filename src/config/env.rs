//! Environment variables: where they come from, and total parsers for every type they may have.
//!
//! Rules of the OpenTelemetry specification ("Environment variable specification", parsing of empty value, boolean,
//! numeric, enum, list): an empty value is an unset one, enums know no case, an unusable value is reported and ignored.
//! The parsers take any text, never panic, and know nothing of names; `Reader` joins names, parsers and warnings.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::error::{Problem, Warning, WarningKind, closest, quoted};

/// The longest duration that may be configured, in milliseconds: what a signed 32-bit number holds, which people write
/// for "for ever" (24.8 days). Longer ones would overflow deadlines.
pub const MAX_MILLISECONDS: u64 = 2_147_483_647;

/// Where environment variables are read from.
pub trait Environment {
    /// The variable's text; `None` when unset. Text that is not UTF-8 comes with U+FFFD in it.
    fn get(&self, name: &str) -> Option<String>;

    /// Names of all variables that begin with `prefix`.
    fn names(&self, prefix: &str) -> Vec<String>;
}

/// The environment of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn get(&self, name: &str) -> Option<String> {
        std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
    }

    fn names(&self, prefix: &str) -> Vec<String> {
        std::env::vars_os()
            .filter_map(|(name, _)| name.into_string().ok())
            .filter(|name| name.starts_with(prefix))
            .collect()
    }
}

/// A made-up environment: for tests, and for the doctor's "what if".
#[derive(Clone, Debug, Default)]
pub struct MapEnvironment(BTreeMap<String, String>);

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for MapEnvironment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl Environment for MapEnvironment {
    fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }

    fn names(&self, prefix: &str) -> Vec<String> {
        self.0.keys().filter(|name| name.starts_with(prefix)).cloned().collect()
    }
}

/// Reads variables and collects what is to be said about them.
pub(crate) struct Reader<'e> {
    environment: &'e dyn Environment,
    warnings: Vec<Warning>,
}

impl<'e> Reader<'e> {
    pub(crate) fn new(environment: &'e dyn Environment) -> Self {
        Self { environment, warnings: Vec::new() }
    }

    /// The environment itself.
    #[cfg(feature = "local")]
    pub(crate) fn environment(&self) -> &'e dyn Environment {
        self.environment
    }

    /// The variable's text without surrounding space; `None` when unset or empty.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let value = self.environment.get(name)?;
        let value = value.trim();
        (!value.is_empty()).then(|| value.to_owned())
    }

    /// The variable's value; a value that does not parse is a warning and `None`. `meanwhile` says what is used instead.
    pub(crate) fn read<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, Problem>,
        meanwhile: &str,
    ) -> Option<T> {
        let text = self.text(name)?;
        match parse(&text) {
            Ok(value) => Some(value),
            Err(problem) => {
                self.wrong(name, problem, meanwhile);
                None
            }
        }
    }

    /// A boolean variable: what is neither true nor false is a warning and false.
    pub(crate) fn boolean(&mut self, name: &str) -> Option<bool> {
        self.text(name)?;
        Some(self.read(name, parse_bool, "taken as false").unwrap_or(false))
    }

    /// Notes that a variable is wrong.
    pub(crate) fn wrong(&mut self, name: &str, problem: Problem, meanwhile: &str) {
        self.warn(Warning::new(WarningKind::Wrong, name, problem, meanwhile));
    }

    /// Notes something that the user should know and that `strict` forgives.
    pub(crate) fn hint(&mut self, name: &str, problem: Problem, meanwhile: &str) {
        self.warn(Warning::new(WarningKind::Hint, name, problem, meanwhile));
    }

    /// One variable may serve several settings, and is to be told of once.
    fn warn(&mut self, warning: Warning) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// Names that begin with `prefix`.
    pub(crate) fn names(&self, prefix: &str) -> Vec<String> {
        self.environment.names(prefix)
    }

    /// Everything noted so far, in order.
    pub(crate) fn into_warnings(self) -> Vec<Warning> {
        self.warnings
    }
}

/// `true` or `false` in any case; nothing else.
///
/// # Errors
///
/// Any other text, `1` and `yes` included: OpenTelemetry knows only the two words.
pub fn parse_bool(text: &str) -> Result<bool, Problem> {
    if text.eq_ignore_ascii_case("true") {
        Ok(true)
    } else if text.eq_ignore_ascii_case("false") {
        Ok(false)
    } else {
        Err(Problem::value(text, "is neither true nor false", "write true or false"))
    }
}

/// A whole number within `range`.
///
/// # Errors
///
/// Text that is not a whole number, or one outside of the range.
pub fn parse_integer(text: &str, range: RangeInclusive<u64>) -> Result<u64, Problem> {
    let instead = || format!("write a whole number from {} to {}", range.start(), range.end());
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Problem::value(text, "is not a whole number", instead()));
    }
    // Digits that do not parse are too many or negative: outside of any range.
    match text.parse() {
        Ok(value) if range.contains(&value) => Ok(value),
        _ => Err(Problem::value(text, "is out of range", instead())),
    }
}

/// A duration in whole milliseconds, zero included.
///
/// # Errors
///
/// Text that is not a whole number of milliseconds, or over [`MAX_MILLISECONDS`].
pub fn parse_milliseconds(text: &str) -> Result<Duration, Problem> {
    match parse_integer(text, 0..=MAX_MILLISECONDS) {
        Ok(milliseconds) => Ok(Duration::from_millis(milliseconds)),
        Err(_) => Err(Problem::value(
            text,
            "is not a duration in milliseconds",
            format!("write a whole number of milliseconds from 0 to {MAX_MILLISECONDS}, such as 10000 for ten seconds"),
        )),
    }
}

/// A duration in seconds, fractions allowed, from `range` (also seconds).
///
/// # Errors
///
/// Text that is not a number, NaN, or a number outside of the range.
pub fn parse_seconds(text: &str, range: RangeInclusive<f64>) -> Result<Duration, Problem> {
    let number = text.parse().map_err(|_| {
        let instead = format!("write a number of seconds from {} to {}", range.start(), range.end());
        Problem::value(text, "is not a number of seconds", instead)
    })?;
    seconds(number, range)
}

/// A duration of `number` seconds, which must lie in `range`.
///
/// # Errors
///
/// NaN, or a number outside of the range.
pub fn seconds(number: f64, range: RangeInclusive<f64>) -> Result<Duration, Problem> {
    if range.contains(&number)
        && let Ok(duration) = Duration::try_from_secs_f64(number)
    {
        return Ok(duration);
    }
    Err(Problem::new(
        format!("is {number}, which is out of range"),
        format!("write a number of seconds from {} to {}", range.start(), range.end()),
    ))
}

/// A share between 0 and 1.
///
/// # Errors
///
/// Text that is not a number from 0 to 1.
pub fn parse_ratio(text: &str) -> Result<f64, Problem> {
    match text.parse::<f64>() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        _ => Err(Problem::value(text, "is not a number from 0 to 1", "write for example 0.1 to keep one trace in ten")),
    }
}

/// One of a few words, in any case.
///
/// # Errors
///
/// Any other text; the words are listed, and one that looks alike is suggested.
pub fn parse_choice<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, Problem> {
    if let Some(&(_, value)) = choices.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)) {
        return Ok(value);
    }
    let names: Vec<&str> = choices.iter().map(|&(name, _)| name).collect();
    let instead = match closest(text, &names) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("write one of {}", names.join(", ")),
    };
    Err(Problem::new(format!("is {}, which is not known", quoted(text)), instead))
}

/// Items between commas, without surrounding space; empty items are left out.
#[must_use]
pub fn parse_list(text: &str) -> Vec<&str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect()
}

/// Keys and values as in `OTEL_RESOURCE_ATTRIBUTES`: `key=value,key=value`, both percent-decoded. Of equal keys the last
/// one counts.
///
/// Source: OpenTelemetry specification, "Resource SDK", "Specifying resource information via an environment variable".
///
/// # Errors
///
/// An item without `=`, an empty key, a bad percent escape or text that is not UTF-8: the whole text is refused then, as
/// the specification wants it.
pub fn parse_pairs(text: &str) -> Result<Vec<(String, String)>, Problem> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for item in parse_list(text) {
        let decoded = item.split_once('=').and_then(|(key, value)| {
            let key = percent_decode(key.trim(), Escapes::Strict)?;
            Some((key, percent_decode(value.trim(), Escapes::Strict)?))
        });
        match decoded {
            Some((key, value)) if !key.is_empty() => {
                pairs.retain(|(existing, _)| *existing != key);
                pairs.push((key, value));
            }
            _ => {
                return Err(Problem::new(
                    format!("has the item {}, which is not key=value", quoted(item)),
                    "write key=value,key=value with comma, equals and percent signs percent-encoded (%2C, %3D, %25)",
                ));
            }
        }
    }
    Ok(pairs)
}

/// What a percent sign that begins no escape is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escapes {
    /// An error.
    Strict,
    /// A percent sign.
    Lenient,
}

/// Percent-decodes `text`. `None` when the result is not UTF-8, or under [`Escapes::Strict`] when an escape is broken.
#[must_use]
pub fn percent_decode(text: &str, escapes: Escapes) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let escape = tail.split_at_checked(2).and_then(|(digits, after)| match *digits {
            [high, low] => Some((hex_digit(high)? << 4 | hex_digit(low)?, after)),
            _ => None,
        });
        match escape {
            Some((decoded, after)) => {
                bytes.push(decoded);
                rest = after;
            }
            None if escapes == Escapes::Lenient => bytes.push(byte),
            None => return None,
        }
    }
    String::from_utf8(bytes).ok()
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failing test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(problem: &Problem) -> String {
        super::super::error::ConfigError::new("X", problem.clone()).to_string()
    }

    #[test]
    fn an_empty_or_blank_variable_is_unset() {
        let environment: MapEnvironment = [("A", ""), ("B", "  \t"), ("C", " x ")].into_iter().collect();
        let reader = Reader::new(&environment);
        assert_eq!(reader.text("A"), None);
        assert_eq!(reader.text("B"), None);
        assert_eq!(reader.text("C").as_deref(), Some("x"));
        assert_eq!(reader.text("D"), None);
    }

    #[test]
    fn the_process_environment_is_read() {
        assert_eq!(ProcessEnvironment.get("PATH"), std::env::var("PATH").ok());
        assert!(ProcessEnvironment.names("PAT").contains(&String::from("PATH")));
    }

    #[test]
    fn a_boolean_is_only_the_word_true() {
        let environment: MapEnvironment = [("A", "TRUE"), ("B", "False"), ("C", "1")].into_iter().collect();
        let mut reader = Reader::new(&environment);
        assert_eq!(reader.boolean("A"), Some(true));
        assert_eq!(reader.boolean("B"), Some(false));
        assert_eq!(reader.boolean("D"), None);
        assert!(reader.warnings.is_empty());
        assert_eq!(reader.boolean("C"), Some(false));
        let warnings = reader.into_warnings();
        assert_eq!(
            warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [r#"C is "1", which is neither true nor false; write true or false (taken as false)"#]
        );
    }

    #[test]
    fn integers_keep_to_their_range() {
        assert_eq!(parse_integer("512", 1..=1000), Ok(512));
        for (text, word) in [
            ("0", "out of range"),
            ("1001", "out of range"),
            ("-5", "out of range"),
            ("99999999999999999999999", "out of range"),
            ("5.5", "not a whole number"),
            ("-", "not a whole number"),
            ("+5", "not a whole number"),
            ("1e3", "not a whole number"),
            ("1_000", "not a whole number"),
        ] {
            let problem = parse_integer(text, 1..=1000).unwrap_err();
            assert!(message(&problem).contains(word), "{text}: {}", message(&problem));
        }
    }

    #[test]
    fn durations_are_whole_milliseconds() {
        assert_eq!(parse_milliseconds("0"), Ok(Duration::ZERO));
        assert_eq!(parse_milliseconds("2147483647"), Ok(Duration::from_millis(MAX_MILLISECONDS)));
        for text in ["10s", "2.5", "-1", "2147483648", "ten"] {
            let problem = parse_milliseconds(text).unwrap_err();
            assert!(message(&problem).contains("milliseconds"), "{text}");
        }
    }

    #[test]
    fn seconds_may_have_fractions_but_not_leave_the_range() {
        assert_eq!(parse_seconds("2.5", 0.0..=10.0), Ok(Duration::from_millis(2500)));
        for text in ["nan", "inf", "-1", "11", "1e400", "two"] {
            assert!(parse_seconds(text, 0.0..=10.0).is_err(), "{text}");
        }
    }

    #[test]
    fn a_ratio_lies_between_nothing_and_all() {
        assert_eq!(parse_ratio("0"), Ok(0.0));
        assert_eq!(parse_ratio("0.25"), Ok(0.25));
        assert_eq!(parse_ratio("1"), Ok(1.0));
        for text in ["1.01", "-0.1", "NaN", "inf", "10%", ""] {
            assert!(parse_ratio(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_choice_knows_no_case_and_suggests_the_nearest_word() {
        let choices = [("gzip", 1), ("none", 2), ("zstd", 3)];
        assert_eq!(parse_choice("GZip", &choices), Ok(1));
        let near = parse_choice("gzipp", &choices).unwrap_err();
        assert_eq!(message(&near), r#"X is "gzipp", which is not known; did you mean gzip?"#);
        let far = parse_choice("brotli", &choices).unwrap_err();
        assert_eq!(message(&far), r#"X is "brotli", which is not known; write one of gzip, none, zstd"#);
    }

    #[test]
    fn pairs_are_decoded_and_the_last_of_equal_keys_counts() {
        let pairs = parse_pairs(" a = 1 ,b=x%2Cy%3Dz,, a=%C3%A9 ,c=d=e,f=").unwrap();
        let expected = [("b", "x,y=z"), ("a", "é"), ("c", "d=e"), ("f", "")];
        assert_eq!(pairs, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }

    #[test]
    fn one_bad_pair_discards_them_all() {
        for text in ["a=1,b", "a=1,=2", "a=1,b=%zz", "a=1,b=%F", "a=1,b=%FF", "a=1,%=x"] {
            assert!(parse_pairs(text).is_err(), "{text}");
        }
    }

    #[test]
    fn percent_decoding_may_leave_stray_signs_alone() {
        assert_eq!(percent_decode("100%", Escapes::Lenient).as_deref(), Some("100%"));
        assert_eq!(percent_decode("%zz%41", Escapes::Lenient).as_deref(), Some("%zzA"));
        assert_eq!(percent_decode("%e2%9C%93+ok", Escapes::Strict).as_deref(), Some("✓+ok"));
        assert_eq!(percent_decode("%ff", Escapes::Lenient), None);
    }

    proptest! {
        #[test]
        fn every_parser_takes_any_text(text in any::<String>(), low in any::<u64>(), high in any::<u64>()) {
            let _ = parse_bool(&text);
            let _ = parse_integer(&text, low..=high);
            let _ = parse_milliseconds(&text);
            let _ = parse_seconds(&text, 0.0..=1e9);
            let _ = parse_ratio(&text);
            let _ = parse_choice(&text, &[("none", 0)]);
            let _ = parse_list(&text);
            let _ = parse_pairs(&text);
        }

        #[test]
        fn pairs_survive_encoding(pairs in proptest::collection::btree_map("\\PC{1,8}", "\\PC{0,8}", 0..5)) {
            let encode = |text: &str| text.bytes().fold(String::new(), |out, byte| format!("{out}%{byte:02X}"));
            let text = pairs.iter().map(|(key, value)| format!("{}={}", encode(key), encode(value)));
            let text = text.collect::<Vec<_>>().join(",");
            prop_assert_eq!(parse_pairs(&text).unwrap(), pairs.into_iter().collect::<Vec<_>>());
        }
    }
}
