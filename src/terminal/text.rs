//! Text of strangers made safe for a terminal, a log or an error message: control characters, escape sequences and
//! characters that hide or reverse other text are shown as escapes (CVE-2025-58160 and CVE-2021-42574 are what happens
//! otherwise), and text is cut to a width in columns.

use std::fmt::Write as _;

use unicode_width::UnicodeWidthChar;

/// Whether a terminal or a reader could be fooled by `character`: controls, line and paragraph separators, direction
/// marks and overrides, invisible spaces and tags. Joiners and combining marks are part of ordinary words.
#[must_use]
pub fn is_deceptive(character: char) -> bool {
    matches!(
        character,
        '\0'..='\u{1F}'
            | '\u{7F}'..='\u{9F}'
            | '\u{AD}'
            | '\u{61C}'
            | '\u{180E}'
            | '\u{200B}'
            | '\u{200E}'..='\u{200F}'
            | '\u{2028}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}'
            | '\u{FEFF}'
            | '\u{FFF9}'..='\u{FFFB}'
            | '\u{E0000}'..='\u{E007F}'
    )
}

/// Appends `character`, escaped when it is deceptive, or not ASCII where only ASCII can be shown.
pub fn push_escaped(out: &mut String, character: char, ascii_only: bool) {
    if is_deceptive(character) {
        out.extend(character.escape_default());
    } else if ascii_only && !character.is_ascii() {
        out.extend(character.escape_unicode());
    } else {
        out.push(character);
    }
}

/// `text` with every deceptive character escaped.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    text.chars().for_each(|character| push_escaped(&mut out, character, false));
    out
}

/// The first line of `text` that says something, without space around it, cut after `most` characters. Three dots show
/// that there was more.
#[must_use]
pub fn first_line(text: &str, most: usize) -> String {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = lines.next().unwrap_or_default();
    let mut out: String = line.chars().take(most).collect();
    if out.len() < line.len() || lines.next().is_some() {
        out.push_str("...");
    }
    out
}

/// Columns that `text` takes.
#[must_use]
pub fn width(text: &str) -> usize {
    text.chars().map(|character| character.width().unwrap_or(0)).sum()
}

/// Appends as much of `text` as fits into `columns`, escaped, and returns the columns it took. What was cut is shown by
/// an ellipsis, which is counted in.
pub fn push_fitting(out: &mut String, text: &str, columns: usize, ascii_only: bool) -> usize {
    let ellipsis = if ascii_only { "..." } else { "…" };
    let begin = out.len();
    let mut used = 0;
    // Where to cut if not everything fits: the last place with room for the ellipsis.
    let mut cut = (begin, 0);
    for character in text.chars() {
        let before = out.len();
        push_escaped(out, character, ascii_only);
        used += width(out.get(before..).unwrap_or_default());
        if used > columns {
            out.truncate(cut.0);
            let room = columns - cut.1;
            let dots: String = ellipsis.chars().take(room).collect();
            out.push_str(&dots);
            return cut.1 + width(&dots);
        }
        if used + width(ellipsis) <= columns {
            cut = (out.len(), used);
        }
    }
    used
}

/// Appends `count` spaces.
pub fn pad(out: &mut String, count: usize) {
    let written = write!(out, "{:count$}", "");
    debug_assert!(written.is_ok(), "writing to a String cannot fail");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fitting(text: &str, columns: usize, ascii_only: bool) -> (String, usize) {
        let mut out = String::new();
        let used = push_fitting(&mut out, text, columns, ascii_only);
        (out, used)
    }

    #[test]
    fn what_could_fool_a_terminal_is_shown_as_an_escape() {
        assert_eq!(escaped("a\u{1b}[31m\r\n\u{9b}b"), "a\\u{1b}[31m\\r\\n\\u{9b}b");
        assert_eq!(escaped("\u{202e}txt.exe\u{200b}"), "\\u{202e}txt.exe\\u{200b}");
        assert_eq!(escaped("Größe 東京 👩\u{200d}🚒 e\u{301}"), "Größe 東京 👩\u{200d}🚒 e\u{301}");
    }

    #[test]
    fn text_is_cut_to_columns_and_not_to_characters() {
        assert_eq!(fitting("abcdef", 6, false), ("abcdef".into(), 6));
        assert_eq!(fitting("abcdefg", 6, false), ("abcde…".into(), 6));
        assert_eq!(fitting("東京都", 5, false), ("東京…".into(), 5));
        assert_eq!(fitting("東京都", 4, false), ("東…".into(), 3));
        assert_eq!(fitting("abcdefg", 6, true), ("abc...".into(), 6));
        assert_eq!(fitting("abc", 2, true), ("..".into(), 2));
        assert_eq!(fitting("abc", 0, false), (String::new(), 0));
        assert_eq!(fitting("\n\n\n", 4, false), ("\\n…".into(), 3));
        assert_eq!(fitting("é", 9, true), ("\\u{e9}".into(), 6));
    }

    #[test]
    fn the_first_line_that_says_something_is_taken() {
        assert_eq!(first_line("\n  boom \n", 10), "boom");
        assert_eq!(first_line("boom\n  at x", 10), "boom...");
        assert_eq!(first_line("0123456789abc", 10), "0123456789...");
        assert_eq!(first_line(" \n", 10), "");
    }

    proptest! {
        #[test]
        fn any_text_fits_and_holds_nothing_deceptive(text in any::<String>(), columns in 0_usize..40, ascii: bool) {
            let (out, used) = fitting(&text, columns, ascii);
            prop_assert!(used <= columns);
            prop_assert_eq!(width(&out), used);
            prop_assert!(!out.chars().any(is_deceptive));
            prop_assert!(!ascii || out.is_ascii());
        }
    }
}
