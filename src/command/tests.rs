//! Commands by what they print.

#![allow(clippy::unwrap_used, reason = "a failing test may panic")]

use std::path::PathBuf;

use super::testing::ironspan;
use crate::config::testing::Folder;
use crate::store::read::testing::story;
use crate::store::{Access, Database};

fn stored() -> (Folder, PathBuf) {
    let folder = Folder::new();
    let path = folder.0.join("traces.db");
    story(&Database::open(&path, Access::Write).unwrap().connection);
    (folder, path)
}

/// The text with single spaces.
fn words(text: &str) -> Vec<String> {
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn show_is_headline_tree_path_and_what_to_do_next() {
    let (_folder, path) = stored();
    let ran = ironspan(&path, &["show", "last", "--color", "never"], Some(69));
    assert_eq!((ran.status, ran.err.as_str()), (0, ""));
    let lines = words(&ran.out);
    let expected = [
        "> Compare SQLite with DuckDB",
        "",
        "o support_workflow 1 m 00 s",
        "`- @ manager 50.00 s",
        "|- * gpt-4o 1.00 s 120 $0.0100",
        "|- + web_search x2 (1 failed: web_searc... 2.00 s",
        "|- @ researcher 30.00 s",
        "| `- * gpt-4o 1.00 s 55 $0.0020",
        "`- * gpt-4o 1.00 s 360 $0.0300",
        "",
        "critical path gpt-4o > web_search x2 > gpt-4o",
        "score helpful 0.25",
    ];
    assert!(lines[0].starts_with("support_workflow OK 1 error recovered 1 m 00 s"), "{}", lines[0]);
    assert_eq!(lines[1..13], expected);
    assert_eq!(lines[13], format!("all errors ironspan errors --store {}", path.display()));
    assert_eq!(lines[14], format!("open ironspan view 0000000 --store {}", path.display()));
}

#[test]
fn colours_are_for_terminals() {
    let (_folder, path) = stored();
    assert!(!ironspan(&path, &["list"], None).out.contains('\u{1b}'));
    assert!(ironspan(&path, &["list"], Some(100)).out.contains('\u{1b}'));
    assert!(!ironspan(&path, &["list", "--color", "never"], Some(100)).out.contains('\u{1b}'));
    assert!(ironspan(&path, &["list", "--color", "always"], None).out.contains('\u{1b}'));
}

#[test]
fn purge_asks_and_takes_silence_for_no() {
    let (_folder, path) = stored();
    let ran = ironspan(&path, &["purge", "--all"], None);
    assert_eq!((ran.status, ran.out.as_str()), (1, ""));
    assert!(ran.err.contains("delete 1 trace with 8 spans") && ran.err.contains("nothing was deleted"), "{}", ran.err);
    assert_eq!(ironspan(&path, &["list"], None).status, 0);
}

#[test]
fn failures_are_one_line_and_a_hint() {
    let (folder, path) = stored();
    let ran = ironspan(&path, &["list", "weather:fine"], None);
    assert_eq!(ran.status, 2);
    assert!(words(&ran.err)[0].starts_with("error: ") && words(&ran.err)[1].starts_with("hint: "), "{}", ran.err);
    let ran = ironspan(&folder.0.join("none.db"), &["list"], None);
    assert_eq!((ran.status, ran.err.lines().count()), (3, 1), "{}", ran.err);
}
