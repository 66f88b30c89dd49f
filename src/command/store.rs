//! Which store a command works on, and how it is opened.

use std::path::PathBuf;

use super::args::{Common, Selection};
use super::output::{Failure, Out};
use crate::store::location::default_file;
use crate::store::read::{Filter, ListQuery, Reader, Window};
use crate::store::{Access, Database};

/// The store's file: `--store`, or where it is when nobody says.
pub(crate) fn place(common: &Common, out: &Out<'_>) -> Result<PathBuf, Failure> {
    let folder = out.path(std::path::Path::new(""));
    let found = match &common.store {
        Some(path) => Some(out.path(path)),
        None => default_file(out.environment(), &folder),
    };
    found.ok_or_else(|| {
        Failure::Usage(
            String::from("there is no folder that could hold a store: HOME is not set"),
            Some(String::from("write --store PATH, or set IRONSPAN_STORE")),
        )
    })
}

/// The store, to be read.
pub(crate) fn reader(common: &Common, out: &Out<'_>) -> Result<Reader, Failure> {
    Ok(Reader::open(&place(common, out)?)?)
}

/// The store, to be written. It has to be there: a command that mistypes the path must not make an empty store.
pub(crate) fn writable(common: &Common, out: &Out<'_>) -> Result<Database, Failure> {
    let path = place(common, out)?;
    Database::open(&path, Access::Read)?;
    Ok(Database::open(&path, Access::Write)?)
}

/// A selection as a query. `limit` may be larger than a page of the reader: [`pages`] asks for the rest.
pub(crate) fn query(reader: &Reader, selection: &Selection) -> Result<ListQuery, Failure> {
    Ok(ListQuery {
        filter: Filter::parse(&selection.filter())?,
        window: Window::parse(selection.since.as_deref(), selection.until.as_deref(), reader.now())?,
        limit: 0,
        cursor: None,
    })
}

/// How many traces fit `query`, where somebody sees how far the work on them is; a store that takes long to count them
/// is worked on without.
pub(crate) fn count(reader: &Reader, query: &ListQuery, out: &Out<'_>) -> Option<u64> {
    if !out.shows_progress() {
        return None;
    }
    let one = ListQuery { limit: 1, ..query.clone() };
    let strip = reader.traces(&one, crate::store::read::traces::Sort::Start, true).ok()?.strip?;
    u64::try_from(strip.count).ok()
}

/// The id of a trace by the beginning of it; `last` is the one that began last.
pub(crate) fn trace_id(reader: &Reader, name: &str) -> Result<String, Failure> {
    if name == "last" {
        let query = ListQuery { limit: 1, ..ListQuery::default() };
        let page = reader.traces(&query, crate::store::read::traces::Sort::Start, false)?;
        let newest = page.traces.into_iter().next().map(|trace| trace.id);
        return newest.ok_or_else(|| Failure::Nothing(String::from("the store is empty")));
    }
    Ok(reader.trace_id(name.trim())?)
}
