//! A line of text that knows how many columns it has, and what it may be drawn with.

use std::fmt::Write as _;

use crate::kind::Kind;
use crate::terminal::text::{pad, push_fitting, width};

/// What lines are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    /// Columns of a line; taken as 40 to 200.
    pub columns: usize,
    /// Whether box characters and glyphs can be shown.
    pub unicode: bool,
    /// Whether to colour.
    pub colour: bool,
}

impl Screen {
    /// The columns that are used.
    #[must_use]
    pub fn columns(self) -> usize {
        self.columns.clamp(40, 200)
    }

    /// The first where it can be shown, else the second.
    #[must_use]
    pub fn pick(self, unicode: &'static str, ascii: &'static str) -> &'static str {
        if self.unicode { unicode } else { ascii }
    }
}

/// ECMA-48, select graphic rendition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Style {
    #[default]
    Plain,
    Bold,
    Dim,
    Red,
    Green,
    Yellow,
    Blue,
    Magenta,
    Cyan,
}

impl Style {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Red => "31",
            Self::Green => "32",
            Self::Yellow => "33",
            Self::Blue => "34",
            Self::Magenta => "35",
            Self::Cyan => "36",
        }
    }

    pub(crate) fn of(kind: Kind) -> Self {
        match kind {
            Kind::Span | Kind::Workflow => Self::Plain,
            Kind::Agent => Self::Cyan,
            Kind::Generation => Self::Magenta,
            Kind::Retrieval | Kind::Rerank => Self::Green,
            Kind::Embedding => Self::Blue,
            Kind::Tool => Self::Yellow,
            Kind::Evaluator | Kind::Guardrail => Self::Red,
        }
    }
}

/// The sign of a kind. In ASCII: o, @, *, ?, ~, ^, +, v, #.
pub(crate) fn glyph(kind: Kind, screen: Screen) -> &'static str {
    match kind {
        Kind::Span | Kind::Workflow => screen.pick("○", "o"),
        Kind::Agent => screen.pick("●", "@"),
        Kind::Generation => screen.pick("◆", "*"),
        Kind::Retrieval => screen.pick("⌕", "?"),
        Kind::Embedding => screen.pick("≈", "~"),
        Kind::Rerank => screen.pick("↕", "^"),
        Kind::Tool => screen.pick("⚙", "+"),
        Kind::Evaluator => screen.pick("✓", "v"),
        Kind::Guardrail => screen.pick("◈", "#"),
    }
}

/// A line that knows how many columns it has.
#[derive(Debug)]
pub(crate) struct Line {
    out: String,
    pub(crate) used: usize,
    pub(crate) screen: Screen,
}

impl Line {
    pub(crate) fn new(screen: Screen) -> Self {
        Self { out: String::new(), used: 0, screen }
    }

    /// Appends `text`, escaped and cut to what is left of `columns`.
    pub(crate) fn push(&mut self, style: Style, text: &str, columns: usize) {
        let room = columns.saturating_sub(self.used);
        if room == 0 || text.is_empty() {
            return;
        }
        let is_styled = self.screen.colour && style != Style::Plain;
        if is_styled {
            let written = write!(self.out, "\x1b[{}m", style.code());
            debug_assert!(written.is_ok(), "writing to a String cannot fail");
        }
        self.used += push_fitting(&mut self.out, text, room, !self.screen.unicode);
        if is_styled {
            self.out.push_str("\x1b[0m");
        }
    }

    /// Appends our own signs, which always fit and need no escapes.
    pub(crate) fn push_own(&mut self, style: Style, text: &str) {
        if self.screen.colour && style != Style::Plain {
            let written = write!(self.out, "\x1b[{}m{text}\x1b[0m", style.code());
            debug_assert!(written.is_ok(), "writing to a String cannot fail");
        } else {
            self.out.push_str(text);
        }
        self.used += width(text);
    }

    pub(crate) fn fill(&mut self, columns: usize) {
        pad(&mut self.out, columns.saturating_sub(self.used));
        self.used = self.used.max(columns);
    }

    pub(crate) fn push_right(&mut self, style: Style, text: &str, columns: usize) {
        self.fill(self.used + columns.saturating_sub(width(text)));
        self.push_own(style, text);
    }

    pub(crate) fn finish(mut self) -> String {
        self.out.truncate(self.out.trim_end_matches(' ').len());
        self.out
    }
}
