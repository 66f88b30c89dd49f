//! What every list takes: a filter, a window of time, how many rows, and where the page before ended.

use super::{Filter, ReadError, Reader};

/// Rows of a page when nobody says, and at most.
pub const LIMIT: usize = 50;
/// The most rows of a page.
pub const MOST: usize = 500;

/// From (inclusive) and until (exclusive), nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first nanosecond that counts.
    pub since: i64,
    /// The first one that no longer does.
    pub until: i64,
}

impl Default for Window {
    fn default() -> Self {
        Self { since: i64::MIN, until: i64::MAX }
    }
}

impl Window {
    /// Reads `since` and `until`: `15m`, `24h`, `7d` before `now`, or nanoseconds since the epoch.
    ///
    /// # Errors
    ///
    /// Neither of those.
    pub fn parse(since: Option<&str>, until: Option<&str>, now: i64) -> Result<Self, ReadError> {
        let mut window = Self::default();
        if let Some(text) = since {
            window.since = moment("since", text, now)?;
        }
        if let Some(text) = until {
            window.until = moment("until", text, now)?;
        }
        Ok(window)
    }

    /// The window of the same length just before, where this one has a beginning.
    #[must_use]
    pub fn before(&self, now: i64) -> Option<Self> {
        if self.since == i64::MIN {
            return None;
        }
        let length = self.until.min(now).saturating_sub(self.since);
        (length > 0).then(|| Self { since: self.since.saturating_sub(length), until: self.since })
    }
}

fn moment(name: &str, text: &str, now: i64) -> Result<i64, ReadError> {
    let text = text.trim();
    let wrong = || {
        let shown: String = text.chars().take(40).collect();
        ReadError::Parameter(format!("{name} {shown:?}: write 15m, 24h, 7d or nanoseconds since 1970"))
    };
    if let Ok(nanos) = text.parse::<i64>() {
        return Ok(nanos);
    }
    let (digits, unit) = text.split_at_checked(text.len().wrapping_sub(1)).ok_or_else(wrong)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return Err(wrong()),
    };
    let count: i64 = digits.parse().ok().filter(|count| *count >= 0).ok_or_else(wrong)?;
    Ok(now.saturating_sub(count.saturating_mul(seconds).saturating_mul(1_000_000_000)))
}

/// One page of a list.
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    /// What has to hold.
    pub filter: Filter,
    /// When.
    pub window: Window,
    /// Rows, 0 for [`LIMIT`].
    pub limit: usize,
    /// What `next` of the page before held.
    pub cursor: Option<String>,
}

impl ListQuery {
    /// From the parameters as text.
    ///
    /// # Errors
    ///
    /// One of them cannot be read.
    pub fn parse(
        reader: &Reader,
        q: Option<&str>,
        since: Option<&str>,
        until: Option<&str>,
        limit: Option<&str>,
        cursor: Option<&str>,
    ) -> Result<Self, ReadError> {
        let limit = match limit {
            None => LIMIT,
            Some(text) => text
                .parse::<usize>()
                .ok()
                .filter(|limit| (1..=MOST).contains(limit))
                .ok_or_else(|| ReadError::Parameter(format!("limit has to be a number from 1 to {MOST}")))?,
        };
        Ok(Self {
            filter: Filter::parse(q.unwrap_or_default())?,
            window: Window::parse(since, until, reader.now())?,
            limit,
            cursor: cursor.filter(|cursor| !cursor.is_empty()).map(str::to_owned),
        })
    }

    /// Rows of the page.
    #[must_use]
    pub fn rows(&self) -> usize {
        if self.limit == 0 { LIMIT } else { self.limit.min(MOST) }
    }
}

/// Where a page ended: the value that the list is sorted by, and the row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) value: i64,
    pub(super) row: String,
}

impl Cursor {
    pub(super) fn text(&self) -> String {
        format!("{}.{}", self.value, self.row)
    }

    pub(super) fn parse(text: &str) -> Result<Self, ReadError> {
        let parsed = text
            .split_once('.')
            .and_then(|(value, row)| Some(Self { value: value.parse().ok()?, row: row.to_owned() }));
        parsed.ok_or_else(|| ReadError::Parameter(String::from("cursor has to be what `next` held")))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failing test may panic")]
mod tests {
    use super::*;

    #[test]
    fn windows_are_ages_or_nanoseconds() {
        const DAY: i64 = 86_400_000_000_000;
        let now = 100 * DAY;
        let window = Window::parse(Some("7d"), Some(" 24h "), now).unwrap();
        assert_eq!(window, Window { since: 93 * DAY, until: 99 * DAY });
        assert_eq!(Window::parse(Some("12"), None, now).unwrap(), Window { since: 12, until: i64::MAX });
        assert_eq!(window.before(now).unwrap(), Window { since: 87 * DAY, until: 93 * DAY });
        assert_eq!(Window::default().before(now), None);
        for wrong in ["", "d", "7", "-7d", "7x", "é", "7 days", "99999999999999999999d"] {
            let parsed = Window::parse(Some(wrong), None, now);
            assert!(wrong == "7" || parsed.is_err(), "{wrong}: {parsed:?}");
        }
    }

    #[test]
    fn a_cursor_is_what_next_held() {
        let cursor = Cursor { value: -4, row: String::from("9.x") };
        assert_eq!(Cursor::parse(&cursor.text()).unwrap(), cursor);
        assert!(Cursor::parse("nonsense").is_err());
    }
}
