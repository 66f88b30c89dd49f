//! The words and figures that several answers share.

use rusqlite::Row;

use super::json::{Json, object};
use crate::kind::Kind;
pub use crate::store::tokens::Tokens;

/// How something ended, or that it has not. The numbers are the store's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Status {
    /// Nothing went wrong.
    #[default]
    Ok = 0,
    /// It failed.
    Error = 1,
    /// It was stopped from outside.
    Cancelled = 2,
    /// It paused to be resumed later.
    Interrupted = 3,
    /// Its handle went away without an end.
    Abandoned = 4,
    /// It has begun, and its process lives.
    Running = 5,
    /// It has begun, and its process is gone.
    Lost = 6,
}

impl Status {
    /// Every status, in the order of their numbers.
    pub const ALL: [Self; 7] =
        [Self::Ok, Self::Error, Self::Cancelled, Self::Interrupted, Self::Abandoned, Self::Running, Self::Lost];

    /// Whether it has not ended.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Running | Self::Lost)
    }

    /// The word of record.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
            Self::Abandoned => "abandoned",
            Self::Running => "running",
            Self::Lost => "lost",
        }
    }

    /// The status of that word.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }

    /// The status of that number; unknown numbers are errors, so that none is hidden.
    #[must_use]
    pub fn from_number(number: i64) -> Self {
        Self::ALL.into_iter().find(|status| *status as i64 == number).unwrap_or(Self::Error)
    }
}

/// The kind of that number; unknown ones are plain spans.
#[must_use]
pub fn kind_from_number(number: i64) -> Kind {
    Kind::ALL.into_iter().find(|kind| *kind as i64 == number).unwrap_or_default()
}

/// SQL: the kinds that call a model, whose tokens and cost count.
pub(crate) const MODEL_CALLS: &str = "(3, 5, 6)";

impl Tokens {
    /// From four columns in this order, the first of them at `at`.
    pub(crate) fn from_row(row: &Row<'_>, at: usize) -> rusqlite::Result<Self> {
        Ok(Self {
            input: row.get(at)?,
            output: row.get(at + 1)?,
            cached: row.get(at + 2)?,
            reasoning: row.get(at + 3)?,
        })
    }
}

impl Json for Tokens {
    fn write(&self, out: &mut String) {
        object!(out, "input": self.input, "output": self.output, "cached": self.cached, "reasoning": self.reasoning);
    }
}
