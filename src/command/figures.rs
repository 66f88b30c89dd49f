//! `ironspan stats` and `ironspan errors`: figures over many traces.

use super::args::{Common, Errors, Selection, Stats};
use super::list::{nothing, unsigned};
use super::output::{Cell, Column, Failure, Out, age, table};
use super::store;
use crate::store::read::metrics::{By, TableRow};
use crate::terminal::format;
use crate::terminal::line::Style;
use crate::terminal::render::ID_DIGITS;

/// The window when nobody names one.
const SINCE: &str = "24h";

pub(crate) fn stats(common: &Common, stats: &Stats, out: &mut Out<'_>) -> Result<(), Failure> {
    let reader = store::reader(common, out)?;
    let selection = windowed(&stats.selection);
    let query = store::query(&reader, &selection)?;
    let by = By::from_name(&stats.by).unwrap_or(By::Agent);
    let found = reader.table(&query, by)?;
    if found.rows.is_empty() {
        return Err(Failure::Nothing(nothing_since(&selection)));
    }
    let limit = usize::try_from(stats.limit).unwrap_or(usize::MAX);
    let shown: Vec<&TableRow> = found.rows.iter().take(limit).collect();
    if out.json {
        return shown.into_iter().try_for_each(|row| out.value(row));
    }
    let title = match by {
        By::Agent => "agent",
        By::Model => "model",
        By::Tool => "tool",
        By::Session => "session",
        By::User => "user",
        By::Kind => "kind",
        By::Name => "name",
        By::None => "",
    };
    let columns = [
        Column::text(title, 40),
        Column::number("count"),
        Column::number("errors"),
        Column::number("p50"),
        Column::number("p95"),
        Column::number("p99"),
        Column::number("tokens"),
        Column::number("cost"),
        Column::number("p95 before"),
    ];
    let ascii = !out.screen.unicode;
    // Percentiles of sketches are within one per cent.
    let about = if found.sketched { if ascii { "~" } else { "≈" } } else { "" };
    let time = |nanos: Option<i64>| {
        nanos.map(|nanos| format!("{about}{}", format::duration(unsigned(nanos), ascii))).unwrap_or_default()
    };
    let rows: Vec<Vec<Cell>> = shown
        .iter()
        .map(|row| {
            let figures = &row.now;
            let errors = share(figures.errors, figures.count);
            vec![
                Cell::styled(Style::Bold, if row.key.is_empty() { "-" } else { row.key.as_str() }),
                Cell::new(format::count(unsigned(figures.count))),
                Cell::styled(if figures.errors > 0 { Style::Red } else { Style::Plain }, errors),
                Cell::new(time(figures.p50)),
                Cell::new(time(figures.p95)),
                Cell::new(time(figures.p99)),
                Cell::new(figures.tokens.map(|tokens| format::count(unsigned(tokens))).unwrap_or_default()),
                Cell::new(figures.cost.map(format::money).unwrap_or_default()),
                Cell::styled(Style::Dim, time(row.before.as_ref().and_then(|before| before.p95))),
            ]
        })
        .collect();
    let text = table(&columns, &rows, out.screen);
    out.text(&text)?;
    if shown.len() < found.rows.len() && out.is_terminal() {
        out.note(&format!("{} more rows: -n {}", found.rows.len() - shown.len(), found.rows.len().min(500)))?;
    }
    Ok(())
}

/// `0`, or a count with its share of the whole.
fn share(part: i64, whole: i64) -> String {
    if part == 0 || whole <= 0 {
        return String::from("0");
    }
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let percent = part as f64 * 100.0 / whole as f64;
    format!("{} ({percent:.1} %)", format::count(unsigned(part)))
}

pub(crate) fn errors(common: &Common, errors: &Errors, out: &mut Out<'_>) -> Result<(), Failure> {
    let reader = store::reader(common, out)?;
    let selection = windowed(&errors.selection);
    let mut query = store::query(&reader, &selection)?;
    query.limit = usize::try_from(errors.limit).unwrap_or(usize::MAX);
    let page = reader.errors(&query)?;
    if page.groups.is_empty() {
        return Err(Failure::Nothing(format!("no errors: {}", nothing_since(&selection))));
    }
    if out.json {
        return page.groups.iter().try_for_each(|group| out.value(group));
    }
    let columns = [
        Column::number("count"),
        Column::number("traces"),
        Column::number("recovered"),
        Column::number("last"),
        Column::text("trend", 24),
        Column::text("example", ID_DIGITS),
        Column::text("where", 36),
        Column::text("error", 160),
    ];
    let now = reader.now();
    let rows: Vec<Vec<Cell>> = page
        .groups
        .iter()
        .map(|group| {
            let place = if group.agent.is_empty() || group.agent == group.name {
                group.name.clone()
            } else {
                format!("{} {} {}", group.agent, out.screen.pick("·", "/"), group.name)
            };
            let error = if group.error_type.is_empty() {
                group.message.clone()
            } else {
                format!("{}: {}", group.error_type, group.message)
            };
            let example: String = group.example.0.chars().take(ID_DIGITS).collect();
            vec![
                Cell::new(format::count(unsigned(group.count))),
                Cell::new(format::count(unsigned(group.traces))),
                Cell::styled(Style::Dim, recovered(group.recovered, group.traces)),
                Cell::styled(Style::Dim, age(now.saturating_sub(group.last_ns))),
                Cell::styled(Style::Red, trend(&group.trend, out.screen.unicode)),
                Cell::styled(Style::Dim, example),
                Cell::styled(Style::Bold, place),
                Cell::styled(Style::Red, error),
            ]
        })
        .collect();
    let text = table(&columns, &rows, out.screen);
    out.text(&text)
}

fn recovered(part: i64, whole: i64) -> String {
    if whole <= 0 { String::new() } else { format!("{} %", part.saturating_mul(100) / whole) }
}

/// A row of bars, one for each 24th of the window.
fn trend(counts: &[i64], unicode: bool) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    if !unicode {
        return String::new();
    }
    let bar = |count: i64| {
        let level = usize::try_from(count.saturating_mul(7) / most).unwrap_or(0);
        BARS.get(if count > 0 { level.max(1) } else { 0 }).copied().unwrap_or(' ')
    };
    counts.iter().map(|&count| bar(count)).collect()
}

/// A selection with a beginning: figures over everything would compare with nothing.
fn windowed(selection: &Selection) -> Selection {
    let mut selection = selection.clone();
    selection.since.get_or_insert_with(|| SINCE.to_owned());
    selection
}

fn nothing_since(selection: &Selection) -> String {
    let since = selection.since.as_deref().unwrap_or(SINCE);
    format!("{} (since {since}; --since 30d looks further back)", nothing(&selection.filter()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_trends() {
        assert_eq!(share(0, 0), "0");
        assert_eq!(share(3, 40), "3 (7.5 %)");
        assert_eq!(recovered(1, 3), "33 %");
        assert_eq!(trend(&[0, 1, 50, 100], true), "▁▂▄█");
        assert_eq!(trend(&[1], false), "");
    }
}
