//! `ironspan show`: one trace as a tree, its critical path, and what to do next.

use super::args::{Common, Show};
use super::list::{outcome, state, unsigned};
use super::output::{Failure, Out};
use super::store;
use crate::ids::{SpanId, TraceId};
use crate::store::read::trace::{ROOT, Skeleton, Trace};
use crate::store::read::{Reader, Status};
use crate::terminal::line::{Line, Style};
use crate::terminal::path::{critical_path, render_path};
use crate::terminal::render::{ID_DIGITS, push_outcome, render_headline, render_tree};
use crate::terminal::step::{self, Stage, State, Step, Summary};
use crate::terminal::text::first_line;
use crate::terminal::{Screen, Tree};

/// Characters of an input or an output that are shown.
const CONTENT: usize = 2_000;

pub(crate) fn run(common: &Common, show: &Show, out: &mut Out<'_>) -> Result<(), Failure> {
    let reader = store::reader(common, out)?;
    let id = store::trace_id(&reader, &show.trace)?;
    let trace = reader.trace(&id)?;
    if out.json {
        return out.value(&trace);
    }
    let steps = steps(&trace);
    let root = trace.spans.spans.iter().position(|span| span.parent == ROOT);
    let rows = usize::try_from(show.rows).unwrap_or(usize::MAX);
    let tree = Tree::of_rows(&steps, root, rows);
    let screen = out.screen;
    out.line(&render_headline(&summary(&trace), screen))?;
    for text in [&trace.row.input, &trace.row.output].into_iter().flatten() {
        out.line(&quoted(text, screen))?;
    }
    out.line("")?;
    out.text(&render_tree(&tree, &steps, screen))?;
    if show.io {
        contents(&reader, &trace, &steps, out)?;
    }
    out.line("")?;
    let path = root.map(|root| critical_path(&steps, root)).unwrap_or_default();
    let path = render_path(&path, &steps, screen);
    if !path.is_empty() {
        out.line(&path)?;
    }
    for warning in &trace.warnings {
        out.line(&labelled("warning", Style::Yellow, &warning.text, screen))?;
    }
    for score in &trace.scores {
        let value = score.value.map(|value| value.to_string()).or_else(|| score.label.clone()).unwrap_or_default();
        let comment = score.comment.as_deref().map(|comment| format!("  {comment}")).unwrap_or_default();
        out.line(&labelled("score", Style::Dim, &format!("{} {value}{comment}", score.name), screen))?;
    }
    if trace.row.errors > 0 {
        out.line(&labelled("all errors", Style::Dim, &format!("ironspan errors{}", option(common)), screen))?;
    }
    let short: String = id.chars().take(ID_DIGITS).collect();
    out.line(&labelled("open", Style::Dim, &format!("ironspan view {short}{}", option(common)), screen))
}

/// The option that names the store again, for commands that are suggested.
pub(crate) fn option(common: &Common) -> String {
    let Some(path) = &common.store else { return String::new() };
    let text = path.display().to_string();
    let is_plain = text.chars().all(|each| each.is_ascii_alphanumeric() || "/._-:\\".contains(each));
    if is_plain { format!(" --store {text}") } else { format!(" --store '{}'", text.replace('\'', "'\\''")) }
}

fn labelled(label: &str, style: Style, text: &str, screen: Screen) -> String {
    let mut line = Line::new(screen);
    line.push_own(style, label);
    line.fill(15);
    line.push(Style::Plain, text, usize::MAX);
    line.finish()
}

fn quoted(text: &str, screen: Screen) -> String {
    let mut line = Line::new(screen);
    line.push_own(Style::Dim, screen.pick("▏ ", "> "));
    line.push(Style::Dim, &first_line(text, 300), screen.columns());
    line.finish()
}

/// What the renderer takes.
pub(crate) fn steps(trace: &Trace) -> Vec<Step> {
    let spans = &trace.spans;
    let short = |index: i64, most: usize| {
        let text = spans.text(index);
        (!text.is_empty()).then(|| Box::from(first_line(text, most)))
    };
    let id = |at: i64| usize::try_from(at).ok().and_then(|at| spans.spans.get(at)).map(|span| span_id(&span.id));
    let all = spans.spans.iter().map(|span| {
        let start = unsigned(trace.row.start_ns.saturating_add(span.start));
        let tokens = match (span.input_tokens, span.output_tokens) {
            (None, None) => None,
            (input, output) => Some(unsigned(input.unwrap_or(0)).saturating_add(unsigned(output.unwrap_or(0)))),
        };
        Step {
            id: span_id(&span.id),
            // A parent that is not there is an id that no step has.
            parent: if span.parent == ROOT { None } else { Some(id(span.parent).unwrap_or(SpanId::from_u64(0))) },
            kind: span.kind,
            stage: stage(span.status),
            outcome: outcome(span.status),
            start,
            end: start.saturating_add(unsigned(span.duration)),
            name: short(span.name, step::NAME).unwrap_or_default(),
            model: short(span.model, step::LABEL),
            error: (span.status == Status::Error)
                .then(|| short(span.error, step::MESSAGE).unwrap_or_else(|| Box::from("error"))),
            tokens,
            cost: span.cost,
        }
    });
    all.collect()
}

/// The id as a number; ids that are none, which only a damaged store has, become zero.
fn span_id(text: &str) -> SpanId {
    SpanId::from_hex_any_case(text).unwrap_or(SpanId::from_u64(0))
}

fn stage(status: Status) -> Stage {
    match status {
        Status::Running => Stage::Running,
        Status::Lost => Stage::Lost,
        _ => Stage::Ended,
    }
}

fn summary(trace: &Trace) -> Summary {
    let row = &trace.row;
    let text = |text: &str| Box::from(first_line(text, step::LABEL));
    Summary {
        trace_id: TraceId::from_hex_any_case(&row.id).unwrap_or(TraceId::from_u128(0)),
        name: if row.name.is_empty() { Box::from("trace") } else { text(&row.name) },
        // A trace whose root is elsewhere, or has been lost, has an end all the same when nothing of it runs.
        state: if row.status == Status::Running && row.open == 0 { State::Unfinished } else { state(row.status) },
        errors: unsigned(row.errors),
        duration: unsigned(row.duration_ns),
        cost: row.cost,
        tokens: row.tokens.total().map(unsigned),
        spans: unsigned(row.spans),
        agents: row.agents.len() as u64,
        session: row.session.as_deref().map(text),
    }
}

/// What went in and out of each step.
fn contents(reader: &Reader, trace: &Trace, steps: &[Step], out: &mut Out<'_>) -> Result<(), Failure> {
    let screen = out.screen;
    for (span, step) in trace.spans.spans.iter().zip(steps) {
        let content = reader.span(&trace.row.id, &span.id, false)?;
        let messages = content.messages.as_ref();
        let parts = [
            ("in", messages.map(|messages| messages.input.0.clone()).or(content.query).or(content.input)),
            ("out", messages.map(|messages| messages.output.0.clone()).or(content.output)),
            ("found", Some(content.documents.0)),
            ("error", content.error.and_then(|error| error.stack.or(error.message))),
        ];
        let parts: Vec<_> = parts
            .into_iter()
            .filter_map(|(label, text)| Some((label, text.filter(|text| !text.is_empty() && text != "[]")?)))
            .collect();
        if parts.is_empty() {
            continue;
        }
        let mut title = Line::new(screen);
        title.push(Style::Bold, &step.name, screen.columns());
        title.push(Style::Dim, &format!(" {}", agent_of(&trace.spans, span.agent)), screen.columns());
        push_outcome(&mut title, step, screen.columns());
        out.line("")?;
        out.line(&title.finish())?;
        for (label, text) in parts {
            let text = shown(&text);
            for (at, part) in text.lines().enumerate() {
                let mut line = Line::new(screen);
                line.push_own(Style::Dim, if at == 0 { label } else { "" });
                line.fill(7);
                line.push(Style::Plain, part, usize::MAX);
                out.line(&line.finish())?;
            }
        }
    }
    Ok(())
}

fn agent_of(spans: &Skeleton, agent: i64) -> &str {
    spans.text(agent)
}

/// Messages as `role: text`, anything else as it is; cut.
fn shown(text: &str) -> String {
    let mut said = String::new();
    if let Ok(serde_json::Value::Array(messages)) = serde_json::from_str::<serde_json::Value>(text) {
        for message in &messages {
            let role = message.get("role").and_then(serde_json::Value::as_str);
            let parts = message.get("parts").and_then(serde_json::Value::as_array);
            let (Some(role), Some(parts)) = (role, parts) else { continue };
            for part in parts {
                let word = |key: &str| part.get(key).map(plain).unwrap_or_default();
                let text = match part.get("type").and_then(serde_json::Value::as_str) {
                    Some("text" | "reasoning") => word("content"),
                    Some("tool_call") => format!("{}({})", word("name"), word("arguments")),
                    Some("tool_call_response") => word("result"),
                    _ => part.to_string(),
                };
                said.push_str(role);
                said.push_str(": ");
                said.push_str(&text);
                said.push('\n');
            }
        }
    }
    let text = if said.is_empty() { text } else { said.as_str() };
    let mut short: String = text.chars().take(CONTENT).collect();
    if short.len() < text.len() {
        short.push_str("...");
    }
    short
}

fn plain(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
