//! `ironspan tail`: spans as they end, traces when their root has, and what runs, until Ctrl-C.
//!
//! Looks at the store five times a second; as long as nobody has committed, a look is one number. Programs that write
//! know nothing of it.

use std::collections::HashMap;
use std::thread;
use std::time::Duration;

use super::args::{Common, Tail};
use super::list::{has_failed, state, unsigned};
use super::output::{Failure, Out, time_of_day};
use super::store;
use crate::store::read::json::Json;
use crate::store::read::live::{Changes, Watch};
use crate::store::read::trace::SpanRow;
use crate::store::read::traces::TraceRow;
use crate::store::read::{Filter, Reader, Status};
use crate::terminal::format;
use crate::terminal::line::{Line, Screen, Style, glyph};
use crate::terminal::render::{ID_DIGITS, state_word};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(200);
/// Looks between two drawings of the line of what runs, when nothing else happens.
const REDRAW: u32 = 2;
/// Columns of the agent's name.
const AGENT: usize = 14;

pub(crate) fn run(common: &Common, tail: &Tail, out: &mut Out<'_>) -> Result<(), Failure> {
    let mut reader = store::reader(common, out)?;
    let filter = Filter::parse(tail.filter.join(" ").trim())?;
    let mut watch = reader.watch()?;
    let mut running = Running::default();
    let mut version = None;
    let mut quiet = 0;
    loop {
        if let Some(other) = replaced(&reader)? {
            // All of a new store is new.
            (watch, running, version) = (Watch::default(), Running::default(), None);
            out.status_line(None)?;
            let is_gone = other.database().place().is_none();
            out.note(if is_gone { "the store was deleted: waiting for another" } else { "the store is a new one" })?;
            reader = other;
        }
        let now = reader.data_version()?;
        if version != Some(now) {
            version = Some(now);
            let changes = reader.changes(&mut watch, &filter)?;
            // A full look means that there is more: the number has not changed, and yet something is new.
            if changes.ended.len() >= 1_000 {
                version = None;
            }
            if !changes.is_empty() {
                out.status_line(None)?;
            }
            let has_ended = tell(&changes, &mut running, out)?;
            out.flush()?;
            if tail.once && has_ended {
                return Ok(());
            }
            quiet = 0;
        }
        if quiet % REDRAW == 0 && !out.json {
            let line = running.line(reader.now(), out.screen);
            out.status_line(Some(&line))?;
        }
        quiet += 1;
        thread::sleep(PAUSE);
    }
}

/// The store that has taken the place of the one that is read, or an empty one when that was deleted.
fn replaced(reader: &Reader) -> Result<Option<Reader>, Failure> {
    let database = reader.database();
    if database.is_current() {
        return Ok(None);
    }
    let other = Reader::open_or_await(database.path())?;
    // A file that is being made is no store yet.
    Ok(Some(other).filter(|other| other.database().place() != database.place()))
}

/// Tells what is new. Whether a trace has ended.
fn tell(changes: &Changes, running: &mut Running, out: &mut Out<'_>) -> Result<bool, Failure> {
    for span in &changes.opened {
        running.begin(span);
        if out.json {
            out.value(&Event("open", span))?;
        }
    }
    let traces: HashMap<&str, &TraceRow> = changes.traces.iter().map(|trace| (trace.id.as_str(), trace)).collect();
    let mut has_ended = false;
    for span in &changes.ended {
        let depth = running.depth(span);
        if out.json {
            out.value(&Event("end", span))?;
        } else {
            let line = span_line(span, depth, out.utc_offset(), out.screen);
            out.line(&line)?;
        }
        running.end(span);
        // The root's end is the trace's.
        if span.parent.is_none()
            && let Some(trace) = traces.get(span.trace.as_str())
        {
            has_ended = true;
            if out.json {
                out.value(&Event("trace", *trace))?;
            } else {
                let line = trace_line(trace, out.utc_offset(), out.screen);
                out.line(&line)?;
            }
        }
    }
    for score in &changes.scores {
        if out.json {
            out.value(&Event("score", score))?;
        }
    }
    Ok(has_ended)
}

/// A line for programs: `{"event": ..., ...}`.
struct Event<'e, T>(&'static str, &'e T);

impl<T: Json> Json for Event<'_, T> {
    fn write(&self, out: &mut String) {
        out.push_str("{\"event\":\"");
        out.push_str(self.0);
        out.push_str("\",\"data\":");
        self.1.write(out);
        out.push('}');
    }
}

/// What has begun and not ended, by span; and how deep spans are.
#[derive(Debug, Default)]
struct Running {
    open: HashMap<String, SpanRow>,
}

/// Spans that are remembered as open.
const MOST: usize = 10_000;

impl Running {
    fn begin(&mut self, span: &SpanRow) {
        if span.status == Status::Running && self.open.len() < MOST {
            self.open.insert(span.id.clone(), span.clone());
        } else {
            self.open.remove(&span.id);
        }
    }

    fn end(&mut self, span: &SpanRow) {
        self.open.remove(&span.id);
    }

    /// Open spans above it, as far as they are known.
    fn depth(&self, span: &SpanRow) -> usize {
        let mut depth = 0;
        let mut above = span.parent.as_deref();
        while let Some(parent) = above.and_then(|id| self.open.get(id)) {
            depth += 1;
            above = parent.parent.as_deref();
            if depth == 8 {
                break;
            }
        }
        depth
    }

    /// The newest of what runs, for the bottom of the screen: the agent, then the step.
    fn line(&self, now: i64, screen: Screen) -> String {
        let mut newest: Vec<&SpanRow> = self.open.values().filter(|span| !self.has_child(span)).collect();
        newest.sort_by(|left, right| (right.start_ns, &right.id).cmp(&(left.start_ns, &left.id)));
        let mut line = Line::new(screen);
        if newest.is_empty() {
            line.push(Style::Dim, "waiting for spans; Ctrl-C ends", screen.columns());
            return line.finish();
        }
        line.push(Style::Blue, "running: ", screen.columns());
        for (at, span) in newest.iter().take(4).enumerate() {
            if at > 0 {
                line.push(Style::Dim, screen.pick(" · ", ", "), screen.columns());
            }
            if !span.agent.is_empty() && span.agent != span.name {
                line.push(Style::Cyan, &span.agent, screen.columns());
                line.push(Style::Dim, screen.pick(" › ", " > "), screen.columns());
            }
            line.push(Style::Plain, &span.name, screen.columns());
            let so_far = format::duration(unsigned(now.saturating_sub(span.start_ns)), !screen.unicode);
            line.push(Style::Dim, &format!(" {so_far}"), screen.columns());
        }
        line.finish()
    }

    fn has_child(&self, span: &SpanRow) -> bool {
        self.open.values().any(|other| other.parent.as_deref() == Some(&span.id))
    }
}

/// `14:02:11.204  coder           ⚙ run_python  1.32 s  ✗ No module named 'tqdm'`
fn span_line(span: &SpanRow, depth: usize, utc_offset: i64, screen: Screen) -> String {
    let columns = screen.columns();
    let mut line = Line::new(screen);
    line.push_own(Style::Dim, &time_of_day(span.start_ns.saturating_add(span.duration_ns), utc_offset));
    line.push_own(Style::Plain, "  ");
    let begin = line.used;
    line.push(agent_style(&span.agent), &span.agent, begin + AGENT);
    line.fill(begin + AGENT + 1 + 2 * depth);
    let style = if span.status == Status::Error { Style::Red } else { Style::of(span.kind) };
    line.push_own(style, glyph(span.kind, screen));
    line.push(Style::Plain, " ", columns);
    line.push(Style::Plain, &span.name, columns);
    if !span.model.is_empty() && !span.name.contains(&span.model) {
        line.push(Style::Dim, &format!(" {}", span.model), columns);
    }
    let duration = format::duration(unsigned(span.duration_ns), !screen.unicode);
    line.push(Style::Plain, &format!("  {duration}"), columns);
    if let (Some(input), Some(output)) = (span.input_tokens, span.output_tokens) {
        line.push(Style::Dim, &format!("  {input}{}{output}", screen.pick("→", ">")), columns);
    }
    if let Some(cost) = span.cost {
        line.push(Style::Dim, &format!("  {}", format::money(cost)), columns);
    }
    match span.status {
        Status::Ok => {}
        Status::Error => {
            let message = span.error.as_deref().unwrap_or("error");
            line.push(Style::Red, &format!("  {} {message}", screen.pick("✗", "x")), columns);
        }
        other => line.push(Style::Yellow, &format!("  {}", other.name()), columns),
    }
    line.finish()
}

/// An agent's colour, the same every time.
fn agent_style(agent: &str) -> Style {
    const STYLES: [Style; 5] = [Style::Cyan, Style::Magenta, Style::Yellow, Style::Green, Style::Blue];
    let sum = agent.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)));
    STYLES.get(sum % STYLES.len()).copied().unwrap_or_default()
}

/// `14:02:18.020  ─ support_workflow OK (3 recovered)  9.42 s  $0.0211  7,132 tok  8898105`
fn trace_line(trace: &TraceRow, utc_offset: i64, screen: Screen) -> String {
    let columns = screen.columns();
    let (word, style) = state_word(state(trace.status));
    let mut line = Line::new(screen);
    line.push_own(Style::Dim, &time_of_day(trace.start_ns.saturating_add(trace.duration_ns), utc_offset));
    line.push_own(Style::Dim, screen.pick("  ─ ", "  - "));
    line.push(Style::Bold, &trace.name, columns.saturating_sub(40));
    line.push(style, &format!(" {word}"), columns);
    if trace.errors > 0 {
        let text = if has_failed(trace.status) {
            format::plural(unsigned(trace.errors), "error")
        } else {
            format!("{} recovered", trace.errors)
        };
        line.push(if has_failed(trace.status) { Style::Red } else { Style::Yellow }, &format!(" ({text})"), columns);
    }
    let mut facts = vec![format::duration(unsigned(trace.duration_ns), !screen.unicode)];
    facts.extend(trace.cost.map(format::money));
    facts.extend(trace.tokens.total().map(|tokens| format!("{} tok", format::count(unsigned(tokens)))));
    facts.push(trace.id.chars().take(ID_DIGITS).collect());
    for fact in facts {
        line.push(Style::Dim, &format!("  {fact}"), columns);
    }
    line.finish()
}
