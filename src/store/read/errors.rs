//! Errors in groups: the same agent, span, class and message, whatever numbers, ids and quoted texts are in it.

use std::collections::{HashMap, HashSet};

use super::filter_sql::Scope;
use super::json::{Json, Time, object};
use super::page::ListQuery;
use super::sql::{STATUS, Sql};
use super::{ReadError, Reader};

/// Parts of the window that the trend counts.
const TREND: usize = 24;
/// Characters of a message that tell groups apart.
const MESSAGE: usize = 200;

/// Errors that are alike.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorGroup {
    /// 16 hexadecimal digits, the same in every window.
    pub id: String,
    /// The agent; empty for none.
    pub agent: String,
    /// The span's name.
    pub name: String,
    /// The error's class.
    pub error_type: String,
    /// Its message, of the newest.
    pub message: String,
    /// Spans that failed so.
    pub count: i64,
    /// Traces they are in.
    pub traces: i64,
    /// Of these traces, those that have ended and did not fail.
    pub recovered: i64,
    /// The first in the store, nanoseconds since the Unix epoch.
    pub first_ns: i64,
    /// The last in the window.
    pub last_ns: i64,
    /// The newest: trace and span.
    pub example: (String, String),
    /// Errors per 24th of the window.
    pub trend: Vec<i64>,
}

impl Json for ErrorGroup {
    fn write(&self, out: &mut String) {
        struct Example<'e>(&'e str, &'e str);
        impl Json for Example<'_> {
            fn write(&self, out: &mut String) {
                object!(out, "trace": self.0, "span": self.1);
            }
        }
        object!(out, "id": self.id, "agent": self.agent, "name": self.name, "type": self.error_type,
            "message": self.message, "count": self.count, "traces": self.traces, "recovered": self.recovered,
            "first": Time(self.first_ns), "last": Time(self.last_ns),
            "example": Example(&self.example.0, &self.example.1), "trend": self.trend);
    }
}

/// A page of groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorPage {
    /// The most frequent first.
    pub groups: Vec<ErrorGroup>,
    /// Where the next page begins.
    pub next: Option<String>,
}

impl Json for ErrorPage {
    fn write(&self, out: &mut String) {
        object!(out, "groups": self.groups, "next": self.next);
    }
}

/// The message without what differs from one time to the next: quoted texts, ids and numbers become `?`.
#[must_use]
pub fn normalised(message: &str) -> String {
    let mut out = String::new();
    let mut rest = message.chars().take(MESSAGE).peekable();
    let mut before = ' ';
    while let Some(letter) = rest.next() {
        // An apostrophe inside a word quotes nothing.
        let quotes = matches!(letter, '"' | '`' | '“') || letter == '\'' && !before.is_alphanumeric();
        if quotes {
            let close = if letter == '“' { '”' } else { letter };
            if rest.clone().any(|letter| letter == close) {
                for letter in rest.by_ref() {
                    if letter == close {
                        break;
                    }
                }
                out.push('?');
                before = close;
                continue;
            }
        }
        if letter.is_ascii_alphanumeric() {
            let mut word = String::from(letter);
            while let Some(next) = rest.next_if(|next| next.is_ascii_alphanumeric() || *next == '_') {
                word.push(next);
            }
            before = 'a';
            let digits = word.bytes().filter(u8::is_ascii_digit).count();
            let is_hex = word.len() >= 8 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
            // A number, one with its unit, or letters and digits mixed as in ids.
            let varies =
                letter.is_ascii_digit() || digits > 0 && (is_hex || word.len() >= 16 || digits * 2 >= word.len());
            if varies {
                if !out.ends_with('?') {
                    out.push('?');
                }
            } else {
                out.push_str(&word);
            }
            continue;
        }
        before = letter;
        // 1.5, 12:30, 2026-11-22 and uuids become one.
        let joins = matches!(letter, '.' | ':' | '-' | ',') && out.ends_with('?');
        if !(joins && rest.peek().is_some_and(char::is_ascii_alphanumeric)) {
            out.push(letter);
        }
    }
    out.truncate(out.trim_end().len());
    out
}

/// The id of a group. FNV-1a, 64 bits: the same on every machine, and nothing hangs on it but a link.
#[must_use]
pub fn group_id(agent: &str, name: &str, error_type: &str, message: &str) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in [agent, name, error_type, message] {
        for byte in part.bytes().chain([0xFF]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    format!("{hash:016x}")
}

#[derive(Default)]
struct Building {
    group: ErrorGroup,
    traces: HashSet<i64>,
    recovered: HashSet<i64>,
    times: Vec<i64>,
    newest: i64,
    newest_trace: i64,
}

impl Reader {
    /// A page of groups of errors.
    ///
    /// # Errors
    ///
    /// A cursor that is none, or the store.
    pub fn errors(&self, query: &ListQuery) -> Result<ErrorPage, ReadError> {
        self.ask(|connection| {
            let offset: usize = match &query.cursor {
                None => 0,
                Some(text) => {
                    text.parse().map_err(|_| ReadError::Parameter(String::from("cursor has to be what `next` held")))?
                }
            };
            let mut sql = Sql::new(
                self,
                connection,
                "SELECT s.agent, s.name, coalesce(s.error_type, ''), coalesce(s.error, ''), s.trace, s.start_ns, s.id, \
                 s.span_id, ",
            )?;
            // As `errors:recovered` has it: the trace has ended, and not failed.
            sql.push(STATUS).push(" NOT IN (1, 5, 6) FROM span s JOIN trace t ON t.id = s.trace");
            sql.push(" WHERE ?1 IS NOT NULL AND s.status = 1 AND s.own_error = 1");
            sql.window("s.start_ns", query.window);
            query.filter.write(Scope::Span, &mut sql);
            let mut ids: HashMap<(String, String), String> = HashMap::new();
            let mut groups: HashMap<String, Building> = HashMap::new();
            let (mut first, mut last) = (i64::MAX, i64::MIN);
            sql.each(connection, |row| {
                let text = |index| -> rusqlite::Result<&str> { Ok(row.get_ref(index)?.as_str().unwrap_or_default()) };
                let (agent, name, error_type, message) = (text(0)?, text(1)?, text(2)?, text(3)?);
                let (trace, start, id): (i64, i64, i64) = (row.get(4)?, row.get(5)?, row.get(6)?);
                // Messages repeat; normalising them does not have to.
                let place = ([agent, "\0", name, "\0", error_type].concat(), message.to_owned());
                let group =
                    ids.entry(place).or_insert_with(|| group_id(agent, name, error_type, &normalised(message))).clone();
                let building = groups.entry(group).or_default();
                if id > building.newest {
                    building.newest = id;
                    building.newest_trace = trace;
                    agent.clone_into(&mut building.group.agent);
                    name.clone_into(&mut building.group.name);
                    error_type.clone_into(&mut building.group.error_type);
                    message.clone_into(&mut building.group.message);
                    building.group.example.1 = row.get(7)?;
                }
                building.traces.insert(trace);
                if row.get(8)? {
                    building.recovered.insert(trace);
                }
                building.times.push(start);
                first = first.min(start);
                last = last.max(start);
                Ok(())
            })?;
            self.check_time()?;
            let since = if query.window.since == i64::MIN { first } else { query.window.since };
            let until = query.window.until.min(self.now()).max(last.saturating_add(1));
            let width = (until.saturating_sub(since) / 24).saturating_add(1).max(1);
            let mut all: Vec<(String, Building)> = groups.into_iter().collect();
            all.sort_by_cached_key(|(id, group)| {
                (std::cmp::Reverse(group.times.len()), std::cmp::Reverse(group.newest), id.clone())
            });
            let more = all.len() > offset.saturating_add(query.rows());
            let mut page =
                ErrorPage { next: more.then(|| (offset + query.rows()).to_string()), ..ErrorPage::default() };
            let mut trace_id = connection.prepare_cached("SELECT trace_id FROM trace WHERE id = ?1")?;
            let mut known = connection.prepare_cached("SELECT min(first_ns) FROM error_group WHERE hash = ?1")?;
            for (id, building) in all.into_iter().skip(offset).take(query.rows()) {
                let mut group = building.group;
                let mut trend = [0; TREND];
                for time in &building.times {
                    let at = usize::try_from(time.saturating_sub(since) / width).unwrap_or(0).min(TREND - 1);
                    if let Some(count) = trend.get_mut(at) {
                        *count += 1;
                    }
                }
                let earliest = building.times.iter().copied().min().unwrap_or_default();
                let earlier: Option<i64> = known.query_row([&id], |row| row.get(0))?;
                group.first_ns = earlier.map_or(earliest, |earlier| earlier.min(earliest));
                group.last_ns = building.times.iter().copied().max().unwrap_or_default();
                group.count = i64::try_from(building.times.len()).unwrap_or(i64::MAX);
                group.traces = i64::try_from(building.traces.len()).unwrap_or(i64::MAX);
                group.recovered = i64::try_from(building.recovered.len()).unwrap_or(i64::MAX);
                group.example.0 = trace_id.query_row([building.newest_trace], |row| row.get(0))?;
                group.trend = trend.to_vec();
                group.id = id;
                page.groups.push(group);
            }
            Ok(page)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_differs_each_time_is_taken_out() {
        for (message, expected) in [
            ("timed out after 30s", "timed out after ?"),
            ("timed out after 1.5 s", "timed out after ? s"),
            ("no user '42' in \"a b\"", "no user ? in ?"),
            ("can't reach 10.0.0.1:8080", "can't reach ?"),
            ("id 550e8400-e29b-41d4-a716-446655440000 gone", "id ? gone"),
            ("at 2026-11-22T18:00:00Z", "at ?"),
            ("request req_0a1b2c3d4e5f6a7b failed", "request ? failed"),
            ("HTTP 503: gpt4 is busy", "HTTP ?: gpt4 is busy"),
            ("KeyError: 'name", "KeyError: 'name"),
            ("", ""),
        ] {
            assert_eq!(normalised(message), expected);
        }
        assert_ne!(group_id("a", "b", "", ""), group_id("ab", "", "", ""));
    }

    proptest! {
        #[test]
        fn any_message_is_normalised_and_stays_so(message in "\\PC{0,60}") {
            let once = normalised(&message);
            prop_assert!(once.len() <= message.len() + 1);
        }
    }
}
