//! `ironspan score`: what a person thinks of a trace or of a span of it.

use super::args::{Common, Score};
use super::output::{Failure, Out};
use super::store;
use crate::store::read::system_now;
use crate::store::scores::{NewScore, ScoreWriter};
use crate::terminal::render::ID_DIGITS;

pub(crate) fn run(common: &Common, score: &Score, out: &mut Out<'_>) -> Result<(), Failure> {
    let (value, label) = read(&score.value)?;
    let reader = store::reader(common, out)?;
    let trace = store::trace_id(&reader, &score.trace)?;
    let mut new = NewScore {
        trace: Some(trace.clone()),
        name: score.name.clone(),
        value,
        label,
        comment: score.comment.clone(),
        source: String::from("user"),
        ..NewScore::default()
    };
    if let Some(span) = &score.span {
        let wanted = span.to_ascii_lowercase();
        let spans = reader.trace(&trace)?.spans.spans;
        let mut fitting = spans.into_iter().map(|span| span.id).filter(|id| id.starts_with(&wanted));
        match (fitting.next(), fitting.next()) {
            (Some(id), None) => new.span = Some(id),
            (None, _) => return Err(Failure::Nothing(format!("trace {trace} has no span {span}"))),
            _ => return Err(Failure::Usage(format!("{span} is the beginning of several span ids"), None)),
        }
    }
    drop(reader);
    let stored = ScoreWriter::open(&store::place(common, out)?)?.put(&new, system_now())?;
    if out.json {
        return out.value(&stored);
    }
    let short: String = trace.chars().take(ID_DIGITS).collect();
    out.say(&format!("{} of {short} is {}", stored.name, score.value.trim()))
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
        None => Ok((None, Some(text.to_owned()))),
    }
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
        assert!(read("nan").is_err() && read("inf").is_err());
    }
}
