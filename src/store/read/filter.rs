//! The filter: one line of terms, the same in the page and in the terminal.
//!
//! ```text
//! filter  = { term }                                all have to hold
//! term    = ["-"] ( ["root."] field ":" value { "," value } | word | "\"" text "\"" )
//! value   = word | "\"" text "\""                   "*" in it stands for any text
//! ```
//!
//! `agent`, `model`, `kind`, `name` and `error` hold when any span of a trace has the property, with `root.` when the
//! root has it; everything else is asked of the trace as a whole. Becomes SQL over `trace t` or over `span s` of
//! `trace t`, with parameters only (`filter_sql.rs`).

use thiserror::Error;

use super::words::Status;
use crate::kind::Kind;

/// The longest filter, bytes.
pub const LONGEST: usize = 4_096;
/// Terms of a filter, and values of a term, at most.
const MOST: usize = 64;

/// A filter that cannot be read.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{message}")]
pub struct FilterError {
    /// What is wrong.
    pub message: String,
    /// Where, in bytes.
    pub at: usize,
    /// What to write instead.
    pub hint: String,
}

/// A filter that has been read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    pub(super) terms: Vec<Term>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Term {
    pub(super) negated: bool,
    pub(super) root: bool,
    pub(super) test: Test,
}

/// A property whose value is text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Agent,
    Model,
    Name,
    Error,
    Session,
    User,
    Tag,
    Environment,
    Service,
}

/// A property whose value is a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Figure {
    Duration,
    Cost,
    Tokens,
}

/// Spans that failed of themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Errors {
    Any,
    None,
    Recovered,
}

/// A comparison with a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Comparison {
    pub(super) operator: &'static str,
    pub(super) number: f64,
}

/// What a score is asked.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Wanted {
    Number(Comparison),
    Label(Pattern),
    Present,
}

/// A text, or one with wildcards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    Exact(String),
    /// For LIKE with `ESCAPE '\'`.
    Like(String),
    /// `*` alone: anything but nothing.
    Present,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Test {
    Text(Field, Vec<Pattern>),
    Figure(Figure, Vec<Comparison>),
    Kind(Vec<Kind>),
    Status(Vec<Status>),
    Errors(Vec<Errors>),
    Score(String, Vec<Wanted>),
    Id(Vec<String>),
    Free(String),
}

/// The fields, for hints and completion.
pub const FIELDS: [&str; 16] = [
    "agent", "cost", "dur", "env", "error", "errors", "id", "kind", "model", "name", "score.", "service", "session",
    "status", "tag", "tokens",
];

impl Filter {
    /// Reads a filter; nothing in it holds for everything.
    ///
    /// # Errors
    ///
    /// A field that does not exist, a value that it does not take, an open quote.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        if text.len() > LONGEST {
            return Err(error(LONGEST, "the filter is too long", format!("{LONGEST} bytes at most")));
        }
        let mut parser = Parser { text, at: 0 };
        let mut terms = Vec::new();
        while let Some(term) = parser.term()? {
            if terms.len() == MOST {
                return Err(error(parser.at, "too many terms", format!("{MOST} at most")));
            }
            terms.push(term);
        }
        Ok(Self { terms })
    }

    /// Whether it holds for everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }
}

fn error(at: usize, message: impl Into<String>, hint: impl Into<String>) -> FilterError {
    FilterError { message: message.into(), at, hint: hint.into() }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
}

/// A value as written, and where.
struct Value {
    text: String,
    at: usize,
    quoted: bool,
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn skip(&mut self, letter: char) -> bool {
        let found = self.peek() == Some(letter);
        if found {
            self.at += letter.len_utf8();
        }
        found
    }

    fn term(&mut self) -> Result<Option<Term>, FilterError> {
        self.at += self.rest().len() - self.rest().trim_start().len();
        let start = self.at;
        if self.rest().is_empty() {
            return Ok(None);
        }
        let negated = self.skip('-');
        if self.peek() == Some('"') {
            let text = self.quoted()?;
            return Ok(Some(Term { negated, root: false, test: free(&text, start)? }));
        }
        let word: String = self
            .rest()
            .chars()
            .take_while(|letter| !letter.is_whitespace() && *letter != ':' && *letter != '"')
            .collect();
        let name_at = self.at;
        self.at += word.len();
        if !self.skip(':') {
            if word.is_empty() {
                return Err(error(start, "`-` stands alone", "write `-agent:coder`, or quote it: \"-\""));
            }
            return Ok(Some(Term { negated, root: false, test: free(&word, start)? }));
        }
        let (root, name) = word.strip_prefix("root.").map_or((false, word.as_str()), |name| (true, name));
        if name.is_empty() {
            return Err(error(name_at, "a field is missing before `:`", "for instance `agent:coder`"));
        }
        let values = self.values()?;
        let test = test(name, root, name_at, &values)?;
        Ok(Some(Term { negated, root, test }))
    }

    fn values(&mut self) -> Result<Vec<Value>, FilterError> {
        let mut values = Vec::new();
        loop {
            let at = self.at;
            let quoted = self.peek() == Some('"');
            let text = if quoted {
                self.quoted()?
            } else {
                let word: String =
                    self.rest().chars().take_while(|letter| !letter.is_whitespace() && *letter != ',').collect();
                self.at += word.len();
                word
            };
            if text.is_empty() && !quoted {
                return Err(error(at, "a value is missing", "write it behind the colon, without a space"));
            }
            if values.len() == MOST {
                return Err(error(at, "too many values", format!("{MOST} at most")));
            }
            values.push(Value { text, at, quoted });
            if !self.skip(',') {
                return Ok(values);
            }
        }
    }

    /// A text in quotes; `\"` and `\\` stand for themselves.
    fn quoted(&mut self) -> Result<String, FilterError> {
        let start = self.at;
        self.skip('"');
        let mut text = String::new();
        while let Some(letter) = self.peek() {
            self.at += letter.len_utf8();
            match letter {
                '"' => return Ok(text),
                '\\' if matches!(self.peek(), Some('"' | '\\')) => {
                    let escaped = self.peek().unwrap_or_default();
                    self.at += escaped.len_utf8();
                    text.push(escaped);
                }
                letter => text.push(letter),
            }
        }
        Err(error(start, "the quote is not closed", "end it with \""))
    }
}

fn free(text: &str, at: usize) -> Result<Test, FilterError> {
    let clean: String = text.chars().filter(|letter| *letter != '\0').collect();
    if clean.trim().is_empty() {
        return Err(error(at, "nothing between the quotes", "write what to look for"));
    }
    Ok(Test::Free(clean))
}

fn test(name: &str, root: bool, at: usize, values: &[Value]) -> Result<Test, FilterError> {
    if let Some(score) = name.strip_prefix("score.").filter(|score| !score.is_empty() && !root) {
        return Ok(Test::Score(score.to_owned(), values.iter().map(wanted).collect()));
    }
    let text = |field| Ok(Test::Text(field, values.iter().map(pattern).collect()));
    let of_root = matches!(name, "agent" | "model" | "kind" | "name" | "error" | "status" | "dur" | "cost" | "tokens");
    match name {
        _ if root && !of_root && name != "errors" && FIELDS.contains(&name) => {
            Err(error(at, format!("`{name}` is no property of the root"), format!("write `{name}:`")))
        }
        "agent" => text(Field::Agent),
        "model" => text(Field::Model),
        "name" => text(Field::Name),
        "error" => text(Field::Error),
        "session" => text(Field::Session),
        "user" => text(Field::User),
        "tag" => text(Field::Tag),
        "env" => text(Field::Environment),
        "service" => text(Field::Service),
        "dur" => figures(Figure::Duration, values),
        "cost" => figures(Figure::Cost, values),
        "tokens" => figures(Figure::Tokens, values),
        "kind" => words(values, Kind::from_name, &Kind::ALL.map(Kind::name)).map(Test::Kind),
        "status" => words(values, Status::from_name, &Status::ALL.map(Status::name)).map(Test::Status),
        "errors" if !root => words(values, errors, &["any", "none", "recovered"]).map(Test::Errors),
        "id" => values.iter().map(id).collect::<Result<_, _>>().map(Test::Id),
        _ => {
            let shown: String = name.chars().take(40).collect();
            let near = nearest(name).map_or_else(
                || format!("fields are {}, user; for text with a colon use quotes", FIELDS.join(", ")),
                |near| format!("did you mean `{near}`? For text with a colon use quotes"),
            );
            Err(error(at, format!("there is no field `{shown}`"), near))
        }
    }
}

/// The field that a typing error away is meant.
fn nearest(name: &str) -> Option<&'static str> {
    let other = [("duration", "dur"), ("latency", "dur"), ("environment", "env"), ("trace", "id"), ("tool", "name")];
    let renamed = other.iter().find(|(from, _)| *from == name).map(|(_, to)| *to);
    let same = |field: &&&str| {
        let (mut left, mut right): (Vec<u8>, Vec<u8>) = (field.bytes().collect(), name.bytes().collect());
        left.sort_unstable();
        right.sort_unstable();
        let common = field.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count();
        left == right || common >= 3 && field.len().abs_diff(name.len()) <= 2
    };
    renamed.or_else(|| FIELDS.iter().chain(&["user"]).find(same).copied())
}

fn words<T>(values: &[Value], read: impl Fn(&str) -> Option<T>, all: &[&str]) -> Result<Vec<T>, FilterError> {
    let one = |value: &Value| {
        read(&value.text.to_ascii_lowercase()).ok_or_else(|| {
            let shown: String = value.text.chars().take(40).collect();
            error(value.at, format!("`{shown}` is none of the words for this"), all.join(", "))
        })
    };
    values.iter().map(one).collect()
}

fn errors(word: &str) -> Option<Errors> {
    Some(match word {
        "any" => Errors::Any,
        "none" => Errors::None,
        "recovered" => Errors::Recovered,
        _ => return None,
    })
}

fn id(value: &Value) -> Result<String, FilterError> {
    let id = value.text.to_ascii_lowercase();
    let fits = (1..=32).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if fits { Ok(id) } else { Err(error(value.at, "an id is hexadecimal", "the first letters of a trace's id")) }
}

fn pattern(value: &Value) -> Pattern {
    if value.quoted || !value.text.contains('*') {
        return Pattern::Exact(value.text.clone());
    }
    if value.text.chars().all(|letter| letter == '*') {
        return Pattern::Present;
    }
    let parts: Vec<String> = value.text.split('*').map(|part| super::sql::like("", part, "")).collect();
    Pattern::Like(parts.join("%"))
}

fn wanted(value: &Value) -> Wanted {
    let (operator, rest) = operator(&value.text);
    match rest.parse::<f64>().ok().filter(|number| number.is_finite() && !value.quoted) {
        Some(number) => Wanted::Number(Comparison { operator, number }),
        None => match pattern(value) {
            Pattern::Present => Wanted::Present,
            pattern => Wanted::Label(pattern),
        },
    }
}

fn operator(text: &str) -> (&'static str, &str) {
    for operator in [">=", "<=", ">", "<", "="] {
        if let Some(rest) = text.strip_prefix(operator) {
            return (operator, rest);
        }
    }
    ("=", text)
}

fn figures(figure: Figure, values: &[Value]) -> Result<Test, FilterError> {
    let one = |value: &Value| {
        let (operator, rest) = operator(&value.text);
        let number = number(figure, rest).filter(|number| number.is_finite() && *number >= 0.0);
        let hint = match figure {
            Figure::Duration => "a number with a unit: >5s, <250ms, >2m, >1h",
            Figure::Cost => "USD: >0.01",
            Figure::Tokens => "a number: >1000, >20k",
        };
        let number = number.ok_or_else(|| error(value.at, "this is no such figure", hint))?;
        Ok(Comparison { operator, number })
    };
    Ok(Test::Figure(figure, values.iter().map(one).collect::<Result<_, _>>()?))
}

fn number(figure: Figure, text: &str) -> Option<f64> {
    let scaled = |units: &[(&str, f64)]| {
        units.iter().find_map(|(unit, scale)| Some(text.strip_suffix(unit)?.parse::<f64>().ok()? * scale))
    };
    match figure {
        Figure::Duration => {
            scaled(&[("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 6e10), ("h", 3.6e12)])
        }
        Figure::Cost => text.strip_prefix('$').unwrap_or(text).parse().ok(),
        Figure::Tokens => scaled(&[("k", 1e3), ("M", 1e6), ("", 1.0)]),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failing test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(text: &str) -> Test {
        let filter = Filter::parse(text).unwrap();
        assert_eq!(filter.terms.len(), 1, "{filter:?}");
        filter.terms.into_iter().next().unwrap().test
    }

    #[test]
    fn the_line_of_the_contract_is_read() {
        let filter = Filter::parse(concat!(
            "agent:coder errors:recovered model:gpt-4o dur:>5s cost:>0.01 session:abc user:42 tag:prod ",
            "score.helpful:<0.5 kind:tool name:web_search status:error env:dev service:api tokens:>1000 id:8898 ",
            "\"free text\" -root.kind:agent,workflow"
        ));
        let terms = filter.unwrap().terms;
        assert_eq!(terms.len(), 18);
        let last = terms.last().unwrap();
        assert!(last.negated && last.root);
        assert_eq!(last.test, Test::Kind(vec![Kind::Agent, Kind::Workflow]));
        assert_eq!(terms.get(16).unwrap().test, Test::Free(String::from("free text")));
    }

    #[test]
    fn values_have_wildcards_quotes_and_units() {
        let patterns = |text: &str| match one(text) {
            Test::Text(_, patterns) => patterns,
            other => panic!("{other:?}"),
        };
        assert_eq!(patterns("name:web*"), [Pattern::Like(String::from("web%"))]);
        assert_eq!(patterns("name:50%_*"), [Pattern::Like(String::from("50\\%\\_%"))]);
        assert_eq!(patterns("agent:*"), [Pattern::Present]);
        assert_eq!(patterns(r#"agent:"a \"b\" *""#), [Pattern::Exact(String::from("a \"b\" *"))]);
        let figure = |text: &str| match one(text) {
            Test::Figure(_, comparisons) => (comparisons[0].operator, comparisons[0].number),
            other => panic!("{other:?}"),
        };
        assert_eq!(figure("dur:<=250ms"), ("<=", 250e6));
        assert_eq!(figure("dur:2m"), ("=", 120e9));
        assert_eq!(figure("tokens:>20k"), (">", 20_000.0));
        assert_eq!(figure("cost:>$0.5"), (">", 0.5));
    }

    #[test]
    fn mistakes_say_where_and_what_instead() {
        let wrong = |text: &str| Filter::parse(text).unwrap_err();
        let unknown = wrong("kind:tool agnet:x");
        assert_eq!((unknown.at, unknown.message.as_str()), (10, "there is no field `agnet`"));
        assert!(unknown.hint.contains("`agent`"), "{}", unknown.hint);
        assert_eq!(wrong("é kind:tol").at, 8);
        assert!(wrong("kind:tol").hint.contains("generation"));
        assert_eq!(wrong("dur:>5").hint, "a number with a unit: >5s, <250ms, >2m, >1h");
        assert_eq!(wrong("name:\"x").at, 5);
        assert_eq!(wrong("agent: coder").at, 6);
        assert_eq!(wrong("agent:a,").at, 8);
        assert_eq!(wrong("root.session:a").message, "`session` is no property of the root");
        assert!(wrong("http://x").hint.contains("quotes"));
        assert_eq!(wrong("id:xyz").at, 3);
        assert!(wrong(&"a ".repeat(65)).message.contains("too many"));
        assert!(wrong(&"a".repeat(5_000)).message.contains("too long"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_inside_it(text in "\\PC{0,80}") {
            if let Err(error) = Filter::parse(&text) {
                prop_assert!(error.at <= text.len() && text.is_char_boundary(error.at));
            }
        }
    }
}
