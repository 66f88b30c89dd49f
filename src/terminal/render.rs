//! From the rows of a tree to lines: guides, glyphs, names and errors on the left, then a bar on the trace's time axis,
//! duration, tokens and cost.
//!
//! The sense never depends on colour or on glyphs: without them there are words and ASCII.

use crate::ids::TraceId;
use crate::kind::{Kind, Outcome};
use crate::terminal::format;
use crate::terminal::line::{Line, Screen, Style, glyph};
use crate::terminal::step::{Stage, State, Step, Summary};
use crate::terminal::text::{push_fitting, width};
use crate::terminal::tree::{Content, Row, Tree};

/// Hexadecimal digits of a trace id that are shown; enough to find it again.
pub(crate) const ID_DIGITS: usize = 7;

/// One line about a trace, without a line feed: name, how it went, duration, cost, tokens, spans, agents, session, id.
/// What does not fit is left out from the right, but for the id.
#[must_use]
pub fn render_headline(summary: &Summary, screen: Screen) -> String {
    let columns = screen.columns();
    let (word, style) = state_word(summary.state);
    let id: String = summary.trace_id.to_string().chars().take(ID_DIGITS).collect();
    let (errors, errors_style) = match (summary.errors, summary.state) {
        (0, _) => (String::new(), Style::Plain),
        (errors, State::Ended(Outcome::Ok)) => {
            (format!("  {} recovered", format::plural(errors, "error")), Style::Yellow)
        }
        (errors, _) => (format!("  {}", format::plural(errors, "error")), Style::Red),
    };
    let rest = 2 + word.len() + 3 + ID_DIGITS;
    let mut line = Line::new(screen);
    line.push(Style::Bold, &summary.name, columns.saturating_sub(rest + errors.len()).clamp(5, 60));
    line.push_own(Style::Plain, "  ");
    line.push_own(style, word);
    if line.used + errors.len() + 3 + ID_DIGITS <= columns {
        line.push_own(errors_style, &errors);
    }
    let mut session = String::new();
    if let Some(text) = &summary.session {
        session.push_str("session ");
        push_fitting(&mut session, text, 40, !screen.unicode);
    }
    let parts = [
        Some(format::duration(summary.duration, !screen.unicode)),
        summary.cost.map(format::money),
        summary.tokens.map(|tokens| format!("{} tok", format::count(tokens))),
        Some(format::plural(summary.spans, "span")),
        (summary.agents > 0).then(|| format::plural(summary.agents, "agent")),
        (!session.is_empty()).then_some(session),
    ];
    for part in parts.into_iter().flatten() {
        if line.used + 3 + width(&part) + 3 + ID_DIGITS <= columns {
            line.push_own(Style::Plain, "   ");
            line.push_own(Style::Dim, &part);
        }
    }
    line.push_own(Style::Plain, "   ");
    line.push_own(Style::Dim, &id);
    line.finish()
}

/// The word for how a trace stands.
pub(crate) fn state_word(state: State) -> (&'static str, Style) {
    match state {
        State::Ended(Outcome::Ok) => ("OK", Style::Green),
        State::Ended(Outcome::Error) => ("FAILED", Style::Red),
        State::Ended(Outcome::Cancelled) => ("CANCELLED", Style::Yellow),
        State::Ended(Outcome::Interrupted) => ("INTERRUPTED", Style::Yellow),
        State::Ended(Outcome::Abandoned) => ("ABANDONED", Style::Yellow),
        State::Unfinished => ("UNFINISHED", Style::Yellow),
        State::Running => ("RUNNING", Style::Blue),
        State::Lost => ("LOST", Style::Red),
    }
}

/// One line about a step that ended after its trace was told, without a line feed. `trace` is the name of the root.
#[must_use]
pub fn render_late(step: &Step, trace: &str, trace_id: TraceId, screen: Screen) -> String {
    let columns = screen.columns();
    let duration = format::duration(step.end.saturating_sub(step.start), !screen.unicode);
    let id: String = trace_id.to_string().chars().take(ID_DIGITS).collect();
    let mut line = Line::new(screen);
    line.push_own(Style::Dim, "late   ");
    // Half a line for the step, and what is left for the name of the trace.
    let style = if step.outcome == Outcome::Error { Style::Red } else { Style::of(step.kind) };
    line.push_own(style, glyph(step.kind, screen));
    line.push(Style::Plain, " ", columns / 2);
    line.push(Style::Plain, &step.name, columns / 2);
    push_outcome(&mut line, step, columns / 2);
    line.push_own(Style::Plain, "  ");
    line.push_own(Style::Dim, &duration);
    line.push_own(Style::Plain, "  ");
    line.push(Style::Dim, trace, columns.saturating_sub(2 + ID_DIGITS));
    line.push_own(Style::Plain, "  ");
    line.push_own(Style::Dim, &id);
    line.finish()
}

/// Columns of the parts to the right of the names.
#[derive(Debug)]
struct Layout {
    left: usize,
    bar: usize,
    duration: usize,
    tokens: usize,
    cost: usize,
}

/// The numbers of a row as text.
struct Numbers {
    duration: String,
    tokens: String,
    cost: String,
}

impl Numbers {
    fn of(row: &Row, screen: Screen) -> Self {
        Self {
            duration: format::duration(row.end.saturating_sub(row.start), !screen.unicode),
            tokens: row.tokens.map(|tokens| tokens.to_string()).unwrap_or_default(),
            cost: row.cost.map(format::money).unwrap_or_default(),
        }
    }
}

/// The lines of a tree, each ended by a line feed. `steps` are those that the tree was made from.
#[must_use]
pub fn render_tree(tree: &Tree, steps: &[Step], screen: Screen) -> String {
    let columns = screen.columns();
    let numbers: Vec<Numbers> = tree.rows.iter().map(|row| Numbers::of(row, screen)).collect();
    let widest = |text: fn(&Numbers) -> &str| numbers.iter().map(|numbers| width(text(numbers))).max().unwrap_or(0);
    let mut layout = Layout {
        left: 0,
        // Below this the names need all the room.
        bar: match columns {
            110.. => 34,
            90.. => 24,
            70.. => 14,
            _ => 0,
        },
        duration: widest(|numbers| &numbers.duration),
        tokens: widest(|numbers| &numbers.tokens),
        cost: widest(|numbers| &numbers.cost),
    };
    let gap = |column: usize| if column > 0 { column + 2 } else { 0 };
    let right = gap(layout.bar) + gap(layout.duration) + gap(layout.tokens) + gap(layout.cost);
    let most = columns.saturating_sub(right).max(20);
    let labels: Vec<Line> = tree.rows.iter().map(|row| label(row, steps, screen, most)).collect();
    layout.left = labels.iter().map(|label| label.used).max().unwrap_or(0);
    let mut out = String::new();
    for ((row, mut line), numbers) in tree.rows.iter().zip(labels).zip(&numbers) {
        line.fill(layout.left);
        if layout.bar > 0 {
            line.push_own(Style::Plain, "  ");
            push_bar(&mut line, row, tree, layout.bar, row_style(row, steps));
        }
        for (text, columns, style) in [
            (&numbers.duration, layout.duration, Style::Plain),
            (&numbers.tokens, layout.tokens, Style::Dim),
            (&numbers.cost, layout.cost, Style::Dim),
        ] {
            if columns > 0 {
                line.push_own(Style::Plain, "  ");
                line.push_right(style, text, columns);
            }
        }
        out.push_str(&line.finish());
        out.push('\n');
    }
    let hidden = tree.hidden();
    if hidden > 0 {
        let mut line = Line::new(screen);
        let shown = format::plural((tree.steps - hidden) as u64, "span");
        let rest = if tree.cut > 0 { "the rest did not fit" } else { "the rest went well" };
        line.push(Style::Dim, &format!("{shown} of {} shown, {rest}", format::count(tree.steps as u64)), columns);
        out.push_str(&line.finish());
        out.push('\n');
    }
    out
}

/// The left part of a row.
fn label(row: &Row, steps: &[Step], screen: Screen, columns: usize) -> Line {
    let mut line = Line::new(screen);
    push_guides(&mut line, row, columns);
    let (first, count) = match row.content {
        Content::Step(at) => (at, 1),
        Content::Repeated { first, count, .. } => (first, count),
        Content::More(count) => {
            let text = format!("{} {} more, all well", screen.pick("…", "..."), format::count(count as u64));
            line.push(Style::Dim, &text, columns);
            return line;
        }
    };
    let Some(step) = steps.get(first) else { return line };
    let style = row_style(row, steps);
    line.push(style, glyph(step.kind, screen), columns);
    line.push(Style::Plain, " ", columns);
    let name_style = match (style, step.kind) {
        (Style::Red, _) if has_failed(row, steps) => Style::Red,
        (_, Kind::Agent) => Style::Bold,
        _ => Style::Plain,
    };
    line.push(name_style, &step.name, columns);
    if let Some(model) = step.model.as_deref().filter(|model| !step.name.contains(*model)) {
        line.push(Style::Dim, &format!(" {model}"), columns);
    }
    if count > 1 {
        let times = format!(" {}{}", screen.pick("×", "x"), format::count(count as u64));
        line.push(style, &times, columns);
    }
    push_state(&mut line, row, steps, step, columns);
    if row.is_orphan {
        line.push(Style::Dim, " (parent not seen)", columns);
    }
    if row.hidden > 0 {
        line.push(
            Style::Dim,
            &format!(" {} {} below", screen.pick("…", "..."), format::count(row.hidden as u64)),
            columns,
        );
    }
    line
}

/// What went wrong, if something did.
fn push_state(line: &mut Line, row: &Row, steps: &[Step], step: &Step, columns: usize) {
    match row.content {
        Content::Repeated { failed: failed @ 1.., error, .. } => {
            let message = error.and_then(|at| steps.get(at)?.error.as_deref()).unwrap_or("error");
            line.push(Style::Red, &format!(" ({failed} failed: {message})"), columns);
        }
        _ => push_outcome(line, step, columns),
    }
}

pub(crate) fn push_outcome(line: &mut Line, step: &Step, columns: usize) {
    match step.stage {
        Stage::Ended => {}
        Stage::Running => line.push(Style::Blue, " running", columns),
        Stage::Lost => line.push(Style::Red, " lost", columns),
    }
    match step.outcome {
        Outcome::Ok => {}
        Outcome::Error => {
            let message = step.error.as_deref().unwrap_or("error");
            let mark = line.screen.pick("✗", "x");
            line.push(Style::Red, &format!(" {mark} {message}"), columns);
        }
        other => line.push(Style::Yellow, &format!(" {}", other.name()), columns),
    }
}

fn has_failed(row: &Row, steps: &[Step]) -> bool {
    matches!(row.content, Content::Step(at) if steps.get(at).is_some_and(|step| step.outcome == Outcome::Error))
}

fn row_style(row: &Row, steps: &[Step]) -> Style {
    match row.content {
        Content::More(_) => Style::Dim,
        _ if has_failed(row, steps) => Style::Red,
        Content::Step(at) | Content::Repeated { first: at, .. } => {
            steps.get(at).map_or(Style::Plain, |step| Style::of(step.kind))
        }
    }
}

/// The lines that lead from the step above. Guides may take half of the room; of deeper steps only the nearest levels
/// are drawn.
fn push_guides(line: &mut Line, row: &Row, columns: usize) {
    let screen = line.screen;
    let Some((own, above)) = row.follows.split_last() else { return };
    let room = (columns / 2 / 3).max(2);
    let left_out = (above.len() + 1).saturating_sub(room);
    let mut guides = String::new();
    if left_out > 0 {
        guides.push_str(screen.pick("⋯ ", ". "));
    }
    for &follows in above.iter().skip(left_out) {
        guides.push_str(if follows { screen.pick("│  ", "|  ") } else { "   " });
    }
    guides.push_str(if *own { screen.pick("├─ ", "|- ") } else { screen.pick("└─ ", "`- ") });
    line.push_own(Style::Dim, &guides);
}

/// The part of the trace's time in which the row ran. Every row has at least one cell.
fn push_bar(line: &mut Line, row: &Row, tree: &Tree, cells: usize, style: Style) {
    let screen = line.screen;
    let total = u128::from(tree.end.saturating_sub(tree.start)).max(1);
    let cell = |time: u64, round_up: bool| {
        let scaled = u128::from(time.saturating_sub(tree.start)) * cells as u128;
        let cell = if round_up { scaled.div_ceil(total) } else { scaled / total };
        usize::try_from(cell).unwrap_or(cells).min(cells)
    };
    let from = cell(row.start, false).min(cells.saturating_sub(1));
    let to = cell(row.end, true).max(from + 1);
    let rest = screen.pick("·", ".");
    line.push_own(Style::Dim, &rest.repeat(from));
    line.push_own(style, &screen.pick("━", "=").repeat(to - from));
    line.push_own(Style::Dim, &rest.repeat(cells - to));
}
