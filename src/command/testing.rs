//! Running the command in tests: words in, status and text out.

#![allow(clippy::unwrap_used, reason = "a failing test may panic")]

use std::path::Path;

use super::{Surroundings, run};
use crate::config::MapEnvironment;

/// What a command did.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) status: u8,
    pub(super) out: String,
    pub(super) err: String,
}

/// Runs `ironspan` with these words on the store at `store`, on a terminal if that has `columns`.
pub(super) fn ironspan(store: &Path, words: &[&str], columns: Option<u16>) -> Ran {
    let mut arguments = vec![String::from("ironspan")];
    arguments.extend(words.iter().map(|&word| word.to_owned()));
    arguments.extend([String::from("--store"), store.to_str().unwrap().to_owned()]);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let environment = MapEnvironment::default();
    let status = run(
        arguments,
        Surroundings {
            environment: &environment,
            folder: store.parent().unwrap().to_owned(),
            input: None,
            out: &mut out,
            err: &mut err,
            columns,
            shows_progress: false,
            utc_offset: 0,
            interrupted: None,
            parquet: None,
        },
    );
    Ran { status, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
}
