//! `ironspan list`: a table of traces.

use super::args::{Common, List};
use super::output::{Cell, Column, Failure, Out, age, table};
use super::store;
use crate::kind::Outcome;
use crate::store::read::page::MOST;
use crate::store::read::traces::{Sort, TraceRow};
use crate::store::read::{Reader, Status, words};
use crate::terminal::format;
use crate::terminal::line::Style;
use crate::terminal::render::{ID_DIGITS, state_word};
use crate::terminal::step::State;

const COLUMNS: [Column; 8] = [
    Column::text("trace", ID_DIGITS),
    Column::number("began"),
    Column::text("name", 32),
    Column::text("status", 28),
    Column::number("duration"),
    Column::number("cost"),
    Column::number("tokens"),
    Column::text("agents", 60),
];

pub(crate) fn run(common: &Common, list: &List, out: &mut Out<'_>) -> Result<(), Failure> {
    let reader = store::reader(common, out)?;
    let mut query = store::query(&reader, &list.selection)?;
    let sort = Sort::from_name(&list.sort).unwrap_or_default();
    let mut left = usize::try_from(list.limit).unwrap_or(usize::MAX);
    let (mut rows, mut count, mut more) = (Vec::new(), 0, false);
    while left > 0 {
        query.limit = left.min(MOST);
        let page = reader.traces(&query, sort, false)?;
        count += page.traces.len();
        left = left.saturating_sub(page.traces.len().max(1));
        for trace in &page.traces {
            if out.json {
                out.value(trace)?;
            } else {
                rows.push(row(&reader, trace, out));
            }
        }
        more = page.next.is_some();
        query.cursor = page.next;
        if query.cursor.is_none() {
            break;
        }
    }
    if count == 0 {
        return Err(Failure::Nothing(nothing(&list.selection.filter())));
    }
    if !out.json {
        let text = table(&COLUMNS, &rows, out.screen);
        out.text(&text)?;
        if more && out.is_terminal() {
            out.note(&format!("there are more: -n {}", list.limit.saturating_mul(4)))?;
        }
    }
    Ok(())
}

/// What is said when there is no trace.
pub(crate) fn nothing(filter: &str) -> String {
    if filter.is_empty() {
        String::from("there are no traces; `ironspan demo` makes one")
    } else {
        format!("no trace fits {filter}")
    }
}

/// How a trace stands, as the terminal's renderer has it.
pub(crate) fn state(status: Status) -> State {
    match status {
        Status::Running => State::Running,
        Status::Lost => State::Lost,
        ended => State::Ended(outcome(ended)),
    }
}

/// How something ended; what has not is no error.
pub(crate) fn outcome(status: Status) -> Outcome {
    match status {
        Status::Ok | Status::Running | Status::Lost => Outcome::Ok,
        Status::Error => Outcome::Error,
        Status::Cancelled => Outcome::Cancelled,
        Status::Interrupted => Outcome::Interrupted,
        Status::Abandoned => Outcome::Abandoned,
    }
}

/// Whether a status is one of a trace that failed; beside it, errors were recovered from.
pub(crate) fn has_failed(status: Status) -> bool {
    matches!(status, Status::Error | Status::Lost)
}

/// The first line of a trace's agents.
pub(crate) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// Tokens with their thousands apart, empty where nobody told.
pub(crate) fn tokens(tokens: words::Tokens) -> String {
    tokens.total().map(|total| format::count(unsigned(total))).unwrap_or_default()
}

fn row(reader: &Reader, trace: &TraceRow, out: &Out<'_>) -> Vec<Cell> {
    let (word, mut style) = state_word(state(trace.status));
    let mut status = word.to_owned();
    if has_failed(trace.status) {
        if let Some(error) = &trace.error {
            status = format!("{status} {error}");
        }
    } else if trace.errors > 0 {
        status = format!("{status}, {} recovered", trace.errors);
        style = Style::Yellow;
    }
    let id: String = trace.id.chars().take(ID_DIGITS).collect();
    vec![
        Cell::styled(Style::Dim, id),
        Cell::styled(Style::Dim, age(reader.now().saturating_sub(trace.start_ns))),
        Cell::styled(Style::Bold, trace.name.clone()),
        Cell::styled(style, status),
        Cell::new(format::duration(unsigned(trace.duration_ns), !out.screen.unicode)),
        Cell::new(trace.cost.map(format::money).unwrap_or_default()),
        Cell::styled(Style::Dim, tokens(trace.tokens)),
        Cell::styled(Style::Cyan, trace.agents.join(" ")),
    ]
}
