//! `ironspan score`: what a person thinks of a trace or of a span of it.

use rusqlite::params;

use super::args::{Common, Score};
use super::output::{Failure, Out};
use super::store;
use crate::store::read::system_now;

/// Characters of a name or a word, and of a comment.
const NAME: usize = 200;
const COMMENT: usize = 10_000;

pub(crate) fn run(common: &Common, score: &Score, out: &mut Out<'_>) -> Result<(), Failure> {
    let (value, label) = read(&score.value)?;
    let name = bounded("NAME", &score.name, NAME)?;
    let comment = score.comment.as_deref().map(|text| bounded("--comment", text, COMMENT)).transpose()?;
    let reader = store::reader(common, out)?;
    let trace = store::trace_id(&reader, &score.trace)?;
    let span = match &score.span {
        None => String::new(),
        Some(span) => {
            let wanted = span.to_ascii_lowercase();
            let spans = reader.trace(&trace)?.spans.spans;
            let mut fitting = spans.into_iter().map(|span| span.id).filter(|id| id.starts_with(&wanted));
            match (fitting.next(), fitting.next()) {
                (Some(id), None) => id,
                (None, _) => return Err(Failure::Nothing(format!("trace {trace} has no span {span}"))),
                _ => return Err(Failure::Usage(format!("{span} is the beginning of several span ids"), None)),
            }
        }
    };
    drop(reader);
    let database = store::writable(common, out)?;
    // The same person judging the same thing again has changed his mind.
    let written = database.connection.execute(
        "INSERT INTO score(trace_id, span_id, name, value, label, comment, source, created_ns)
         VALUES(?1, ?2, ?3, ?4, ?5, ?6, 'user', ?7)
         ON CONFLICT(trace_id, span_id, session, name, source, author, key) DO UPDATE SET value = excluded.value,
         label = excluded.label, comment = excluded.comment, created_ns = excluded.created_ns",
        params![trace, span, name, value, label, comment, system_now()],
    );
    written.map_err(|error| database.explain(error))?;
    if out.json {
        let value = value.map(serde_json::Value::from).or_else(|| label.map(serde_json::Value::from));
        return out.value(&serde_json::json!({"trace": trace, "span": span, "name": name, "value": value}));
    }
    let short: String = trace.chars().take(crate::terminal::render::ID_DIGITS).collect();
    out.say(&format!("{name} of {short} is {}", score.value))
}

/// A number, or a word; `true` and `false` are 1 and 0, so that their mean is a share.
fn read(text: &str) -> Result<(Option<f64>, Option<String>), Failure> {
    let text = text.trim();
    let number = match text {
        "true" => Some(1.0),
        "false" => Some(0.0),
        other => other.parse::<f64>().ok(),
    };
    match number {
        Some(number) if number.is_finite() => Ok((Some(number), None)),
        Some(_) => Err(Failure::Usage(format!("VALUE {text} is no number that can be kept"), None)),
        None => Ok((None, Some(bounded("VALUE", text, NAME)?))),
    }
}

fn bounded(what: &str, text: &str, most: usize) -> Result<String, Failure> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > most {
        return Err(Failure::Usage(format!("{what} has to have 1 to {most} characters"), None));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_numbers_or_words() {
        for (text, value, label) in [
            ("0.92", Some(0.92), None),
            ("-1", Some(-1.0), None),
            ("true", Some(1.0), None),
            ("good", None, Some("good")),
        ] {
            let read = read(text).ok();
            assert_eq!(read, Some((value, label.map(str::to_owned))), "{text}");
        }
        for wrong in ["nan", "inf", "", " ", &"x".repeat(300)] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
