//! No wait is longer than a minute; whole seconds are read as a second, simpler reader reads them; and whatever else
//! gives a wait is a date that lies in the future by just that, or by more than the minute.
#![no_main]

use std::time::{Duration, SystemTime};

use ironspan::sinks::otlp::retry::parse_retry_after;
use libfuzzer_sys::fuzz_target;

const MINUTE: Duration = Duration::from_secs(60);

fuzz_target!(|data: &[u8]| {
    let Some((seconds, text)) = data.split_first_chunk::<4>() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let since = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let now = u64::from(u32::from_le_bytes(*seconds));
    let wait = parse_retry_after(text, since(now));
    assert!(wait.is_none_or(|wait| wait <= MINUTE));
    let digits = text.trim();
    if !digits.is_empty() && digits.len() <= 64 && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let read =
            digits.bytes().fold(0_u64, |sum, byte| sum.saturating_mul(10).saturating_add(u64::from(byte - b'0')));
        assert_eq!(wait, Some(Duration::from_secs(read.min(60))));
    } else if let Some(wait) = wait {
        // The same date, asked about later by the wait, is due.
        let later = parse_retry_after(text, since(now) + wait);
        assert!(wait == MINUTE || later == Some(Duration::ZERO), "{wait:?} {later:?}");
    }
});
