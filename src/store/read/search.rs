//! Finding spans by what they say: with the text index where it reaches, and by looking at every span otherwise.
//!
//! ```text
//! words                   spans past the index: one by one; the rest: text index, newest first
//! "a phrase", CJK, a%b    one by one, newest first, for a second at most; `next` goes on from there
//! ```
//!
//! One by one means the recorded JSON as it is: a long text that many spans share is looked at once, and nothing is
//! parsed until there is a hit.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::Value;

use super::content::{Body, Texts};
use super::filter_sql::Scope;
use super::json::{Json, Time, object};
use super::page::ListQuery;
use super::sql::{Sql, phrase};
use super::words::kind_from_number;
use super::{ReadError, Reader, Trouble};
use crate::json::write_str;
use crate::kind::Kind;

/// How long spans are looked at one by one.
const LOOK: Duration = Duration::from_secs(1);
/// The longest text to look for, bytes.
const LONGEST: usize = 1_024;
/// Characters of a snippet on either side of the match.
const AROUND: usize = 80;
/// The key in `meta` of the last span that the text index holds.
pub(crate) const INDEXED: &str = "text_span";

/// A span that says what was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Its trace.
    pub trace: String,
    /// The span.
    pub span: String,
    /// What it is called.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Nanoseconds since the Unix epoch.
    pub start_ns: i64,
    /// Text before the match, the match, text after it.
    pub snippet: [String; 3],
}

impl Json for Hit {
    fn write(&self, out: &mut String) {
        object!(out, "trace": self.trace, "span": self.span, "name": self.name, "kind": self.kind,
            "start": Time(self.start_ns), "snippet": self.snippet);
    }
}

/// A page of hits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The newest first.
    pub hits: Vec<Hit>,
    /// Where to go on; `None` when everything has been seen.
    pub next: Option<String>,
    /// The start of the last span that was looked at.
    pub searched_until: Option<i64>,
}

impl Json for Found {
    fn write(&self, out: &mut String) {
        object!(out, "hits": self.hits, "next": self.next, "searched_until": self.searched_until.map(Time));
    }
}

impl Reader {
    /// Spans that say `text`: all its words, or the text as it is when it stands in quotes.
    ///
    /// # Errors
    ///
    /// Nothing to look for, a cursor that is none, or the store.
    pub fn search(&self, text: &str, query: &ListQuery) -> Result<Found, ReadError> {
        let text: String = text.chars().filter(|letter| *letter != '\0').collect();
        let text = text.trim();
        if text.trim_matches('"').trim().is_empty() {
            return Err(ReadError::Parameter(String::from("text has to hold what to look for")));
        }
        if text.len() > LONGEST {
            return Err(ReadError::Parameter(format!("text has to be {LONGEST} bytes at most")));
        }
        let before = match &query.cursor {
            None => i64::MAX,
            Some(cursor) => {
                cursor.parse().map_err(|_| ReadError::Parameter(String::from("cursor has to be what `next` held")))?
            }
        };
        let wanted = Wanted::new(text);
        self.ask(|connection| {
            let indexed = if wanted.exact { 0 } else { indexed(connection)? };
            let mut found = Found::default();
            let deadline = Instant::now() + LOOK;
            if before > indexed.saturating_add(1) {
                let ended = self.look(connection, &wanted, query, (indexed, before), deadline, &mut found)?;
                if !ended || indexed == 0 {
                    return Ok(found);
                }
            }
            self.look_up(connection, &wanted, query, before.min(indexed.saturating_add(1)), &mut found)?;
            Ok(found)
        })
    }

    /// One by one, the spans with rows between the two. Says whether all have been seen.
    fn look(
        &self,
        connection: &Connection,
        wanted: &Wanted,
        query: &ListQuery,
        (after, before): (i64, i64),
        deadline: Instant,
        found: &mut Found,
    ) -> Result<bool, Trouble> {
        let mut sql =
            Sql::new(self, connection, "SELECT s.id, s.start_ns, s.name, s.error, b.data FROM span s NOT INDEXED ")?;
        sql.push("LEFT JOIN body b ON b.id = s.id JOIN trace t ON t.id = s.trace WHERE ?1 IS NOT NULL AND s.id > ");
        sql.bind(after).push(" AND s.id < ").bind(before).window("s.start_ns", query.window);
        query.filter.write(Scope::Span, &mut sql);
        sql.push(" ORDER BY s.id DESC");
        let mut seen = HashMap::new();
        let mut hits = Vec::new();
        let mut stopped = None;
        let looked = sql.each(connection, |row| {
            let id: i64 = row.get(0)?;
            found.searched_until = Some(row.get(1)?);
            let name = row.get_ref(2)?.as_str().unwrap_or_default();
            let error = row.get_ref(3)?.as_str_or_null().ok().flatten().unwrap_or_default();
            let data = row.get_ref(4)?.as_str_or_null().ok().flatten().unwrap_or_default();
            if wanted.is_in(&[name, error, data], connection, &mut seen)? {
                hits.push(id);
            }
            if hits.len() >= query.rows() || Instant::now() > deadline {
                stopped = Some(id);
                // The only way to end a walk over rows from inside it.
                return Err(rusqlite::Error::QueryReturnedNoRows);
            }
            Ok(())
        });
        match looked {
            Err(Trouble::Sqlite(rusqlite::Error::QueryReturnedNoRows)) if stopped.is_some() => {}
            other => other?,
        }
        found.next = stopped.filter(|id| *id > 1).map(|id| id.to_string());
        for id in hits {
            found.hits.extend(hit(connection, id, wanted)?);
        }
        Ok(stopped.is_none())
    }

    /// In the text index, rows below `before`.
    fn look_up(
        &self,
        connection: &Connection,
        wanted: &Wanted,
        query: &ListQuery,
        before: i64,
        found: &mut Found,
    ) -> Result<(), Trouble> {
        let room = query.rows().saturating_sub(found.hits.len());
        let mut sql = Sql::new(
            self,
            connection,
            "SELECT s.id, s.start_ns FROM text_index x CROSS JOIN span s ON s.id = x.rowid ",
        )?;
        sql.push("JOIN trace t ON t.id = s.trace WHERE ?1 IS NOT NULL AND x.text MATCH ").bind(wanted.expression());
        sql.push(" AND x.rowid < ").bind(before).window("s.start_ns", query.window);
        query.filter.write(Scope::Span, &mut sql);
        sql.push(" ORDER BY x.rowid DESC LIMIT ").bind(i64::try_from(room + 1).unwrap_or(501));
        let rows: Vec<(i64, i64)> = sql.rows(connection, |row| Ok((row.get(0)?, row.get(1)?)))?;
        let more = rows.len() > room;
        for (id, start) in rows.into_iter().take(room) {
            found.searched_until = Some(start);
            found.next = more.then(|| id.to_string());
            found.hits.extend(hit(connection, id, wanted)?);
        }
        Ok(())
    }
}

/// The last span that the text index holds.
fn indexed(connection: &Connection) -> Result<i64, Trouble> {
    let value: Option<String> =
        connection.query_row("SELECT value FROM meta WHERE key = ?1", [INDEXED], |row| row.get(0)).optional()?;
    Ok(value.and_then(|value| value.parse().ok()).unwrap_or(0))
}

/// What is looked for.
struct Wanted {
    /// As it is, instead of word by word.
    exact: bool,
    /// Words, or the one text; each in the spellings that JSON has for it, in lower case.
    words: Vec<(String, Vec<Vec<u8>>)>,
}

impl Wanted {
    fn new(text: &str) -> Self {
        let quoted = text.len() > 1 && text.starts_with('"') && text.ends_with('"');
        // Languages without spaces between words have no words in the index.
        let has_words = text.chars().all(|letter| (letter as u32) < 0x2E80);
        let odd = text.chars().any(|letter| !letter.is_alphanumeric() && !letter.is_whitespace());
        let exact = quoted || !has_words || odd;
        let words: Vec<&str> = if exact { vec![text.trim_matches('"')] } else { text.split_whitespace().collect() };
        Self { exact, words: words.into_iter().map(|word| (word.to_owned(), spellings(word))).collect() }
    }

    fn expression(&self) -> String {
        let last = self.words.len().saturating_sub(1);
        let words = self.words.iter().enumerate().map(|(index, (word, _))| phrase(word, index == last));
        words.collect::<Vec<_>>().join(" ")
    }

    /// Whether every word is in one of the texts, or in the long texts that they refer to. `seen` remembers those.
    fn is_in(&self, texts: &[&str], connection: &Connection, seen: &mut HashMap<i64, u64>) -> rusqlite::Result<bool> {
        let all = (1_u64 << self.words.len().min(63)) - 1;
        let mut found = texts.iter().fold(0, |found, text| found | self.bits(text.as_bytes()));
        if found == all {
            return Ok(true);
        }
        for id in texts.iter().flat_map(|text| references(text)) {
            let bits = if let Some(bits) = seen.get(&id) {
                *bits
            } else {
                let mut statement = connection.prepare_cached("SELECT data FROM blob WHERE id = ?1")?;
                let mut rows = statement.query(params![id])?;
                let bits = match rows.next()? {
                    Some(row) => self.bits(row.get_ref(0)?.as_str().unwrap_or_default().as_bytes()),
                    None => 0,
                };
                seen.insert(id, bits);
                bits
            };
            found |= bits;
            if found == all {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A bit for each word that the text holds.
    fn bits(&self, text: &[u8]) -> u64 {
        let holds = |spellings: &Vec<Vec<u8>>| spellings.iter().any(|spelling| position(text, spelling).is_some());
        let words = self.words.iter().take(63).enumerate();
        words.fold(0, |bits, (index, (_, spellings))| bits | u64::from(holds(spellings)) << index)
    }
}

/// A text as it is, as JSON writes it, and as JSON writes it inside JSON.
fn spellings(text: &str) -> Vec<Vec<u8>> {
    let escaped = |text: &str| {
        let mut out = String::new();
        write_str(text, &mut out);
        out.get(1..out.len().saturating_sub(1)).unwrap_or_default().to_owned()
    };
    let once = escaped(text);
    let twice = escaped(&once);
    let mut all: Vec<Vec<u8>> =
        [text.to_owned(), once, twice].iter().map(|text| text.to_ascii_lowercase().into_bytes()).collect();
    all.dedup();
    all
}

/// Where `wanted`, in lower case, begins in `text`; ASCII letters of either case are the same.
fn position(text: &[u8], wanted: &[u8]) -> Option<usize> {
    let first = *wanted.first()?;
    let other = first.to_ascii_uppercase();
    let last = text.len().checked_sub(wanted.len())?;
    let mut at = 0;
    while at <= last {
        at += text.get(at..=last)?.iter().position(|byte| *byte == first || *byte == other)?;
        if text.get(at..at + wanted.len())?.eq_ignore_ascii_case(wanted) {
            return Some(at);
        }
        at += 1;
    }
    None
}

/// The numbers of long texts that a body refers to. What only looks like one costs a lookup.
pub(crate) fn references(data: &str) -> impl Iterator<Item = i64> + '_ {
    let lists = ["{\"$text\":[", "{\"$list\":["].into_iter().flat_map(move |mark| data.split(mark).skip(1));
    lists.flat_map(|list| {
        // Pieces that are texts may hold anything, brackets included: those are stepped over. A piece may be a list itself,
        // of a number and a text.
        let mut rest = list;
        let mut inside = false;
        std::iter::from_fn(move || {
            loop {
                rest = rest.trim_start_matches(',');
                if let Some(after) = rest.strip_prefix(if inside { ']' } else { '[' }) {
                    inside = !inside;
                    rest = after;
                    continue;
                }
                let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
                if end > 0 {
                    let number = rest.get(..end)?.parse().ok();
                    rest = rest.get(end..)?;
                    return number;
                }
                rest = after_string(rest)?;
            }
        })
    })
}

/// What follows the JSON string that `text` begins with.
fn after_string(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('"')?;
    let mut escaped = false;
    for (at, byte) in inner.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return inner.get(at + 1..),
            _ => {}
        }
    }
    None
}

/// A hit with its snippet, from the whole content.
fn hit(connection: &Connection, id: i64, wanted: &Wanted) -> Result<Option<Hit>, Trouble> {
    let mut statement = connection.prepare_cached(
        "SELECT t.trace_id, s.span_id, s.name, s.kind, s.start_ns, s.error, b.data FROM span s \
         JOIN trace t ON t.id = s.trace LEFT JOIN body b ON b.id = s.id WHERE s.id = ?1",
    )?;
    let found = statement.query_row(params![id], |row| {
        let hit = Hit {
            trace: row.get(0)?,
            span: row.get(1)?,
            name: row.get(2)?,
            kind: kind_from_number(row.get(3)?),
            start_ns: row.get(4)?,
            snippet: <[String; 3]>::default(),
        };
        Ok((hit, row.get::<_, Option<String>>(5)?, row.get::<_, Option<String>>(6)?.unwrap_or_default()))
    });
    let Some((mut hit, error, data)) = found.optional()? else { return Ok(None) };
    let body = Body::expanded(&data, &mut Texts::new(connection))?;
    let mut texts = vec![hit.name.clone()];
    texts.extend(error);
    for value in body.attributes().into_iter().flat_map(serde_json::Map::values) {
        collect(value, &mut texts);
    }
    for event in body.events() {
        collect(event, &mut texts);
    }
    let spelled: Vec<Vec<u8>> = wanted.words.iter().map(|(word, _)| word.to_ascii_lowercase().into_bytes()).collect();
    let place = spelled
        .iter()
        .find_map(|word| texts.iter().find_map(|text| Some((text, position(text.as_bytes(), word)?, word.len()))));
    // The index also folds accents; then there is nothing to point at.
    let (text, at, length) = place.unwrap_or_else(|| (texts.get(1).unwrap_or(&hit.name), 0, 0));
    hit.snippet = snippet(text, at, length);
    Ok(Some(hit))
}

/// The texts in a value; JSON in a text is opened, so that snippets have no quotes and backslashes.
pub(in crate::store) fn collect(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => match serde_json::from_str(text) {
            Ok(inner @ (Value::Array(_) | Value::Object(_))) => collect(&inner, texts),
            _ => texts.push(text.clone()),
        },
        Value::Array(items) => items.iter().for_each(|item| collect(item, texts)),
        Value::Object(map) => map.values().for_each(|item| collect(item, texts)),
        _ => {}
    }
}

fn snippet(text: &str, at: usize, length: usize) -> [String; 3] {
    let (before, rest) = text.split_at_checked(at).unwrap_or(("", text));
    let (matched, after) = rest.split_at_checked(length).unwrap_or(("", rest));
    let begin = before.char_indices().rev().take(AROUND).last().map_or(0, |(index, _)| index);
    let end = after.char_indices().nth(AROUND).map_or(after.len(), |(index, _)| index);
    [before.get(begin..), Some(matched), after.get(..end)].map(|part| part.unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_past_texts_that_look_like_them() {
        let data = r#"{"attributes":{"a":{"$text":[7]},"b":{"$list":[8,"{\"x\":\"]9,{\"}",[9,",\"}"],10]},"c":"11"}}"#;
        assert_eq!(references(data).collect::<Vec<_>>(), [7, 8, 9, 10]);
        assert_eq!(references("{\"$list\":[\"open").count(), 0);
    }

    #[test]
    fn letters_of_either_case_are_found() {
        assert_eq!(position("Find ÄPFEL here".as_bytes(), b"here"), Some(12));
        assert_eq!(position(b"aaAB", b"aab"), Some(1));
        assert_eq!(position(b"short", b"longer than that"), None);
        assert_eq!(snippet("über alles", 6, 5), ["über ".to_owned(), "alles".to_owned(), String::new()]);
    }
}
