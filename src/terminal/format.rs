//! Numbers for people: durations, amounts of money, counts.

/// A duration: `840 µs`, `90 ms`, `9.42 s`, `2 m 05 s`, `3 h 07 m`. `us` where only ASCII can be shown.
#[must_use]
pub fn duration(nanoseconds: u64, ascii_only: bool) -> String {
    let rounded = |unit: u64| nanoseconds.saturating_add(unit / 2) / unit;
    // Each unit ends where its rounded number would need one digit more.
    if rounded(1_000) < 1_000 {
        return format!("{} {}", rounded(1_000), if ascii_only { "us" } else { "µs" });
    }
    if rounded(1_000_000) < 1_000 {
        return format!("{} ms", rounded(1_000_000));
    }
    let hundredths = rounded(10_000_000);
    if hundredths < 6_000 {
        return format!("{}.{:02} s", hundredths / 100, hundredths % 100);
    }
    let seconds = rounded(1_000_000_000);
    if seconds < 3_600 {
        return format!("{} m {:02} s", seconds / 60, seconds % 60);
    }
    format!("{} h {:02} m", seconds / 3_600, seconds / 60 % 60)
}

/// An amount in USD with digits that mean something: `$0.00199`, `$0.0211`, `$1.25`, `$1,204.00`. An amount that is not
/// known is a matter of the caller, and never $0.
#[must_use]
pub fn money(usd: f64) -> String {
    if !usd.is_finite() {
        return String::from("$?");
    }
    let amount = usd.abs();
    let sign = if usd < 0.0 { "-" } else { "" };
    if amount == 0.0 {
        return String::from("$0");
    }
    if amount < 0.000_000_001 {
        return format!("{sign}<$0.000000001");
    }
    if amount < 0.01 {
        // Three digits after the zeros, without zeros at the end beyond the fourth decimal.
        let mut decimals = 5;
        let mut scaled = amount * 1_000.0;
        while scaled < 1.0 {
            scaled *= 10.0;
            decimals += 1;
        }
        let mut text = format!("{sign}${amount:.decimals$}");
        while decimals > 4 && text.ends_with('0') {
            text.pop();
            decimals -= 1;
        }
        return text;
    }
    if amount < 1.0 {
        return format!("{sign}${amount:.4}");
    }
    let text = format!("{amount:.2}");
    match text.split_once('.') {
        Some((whole, cents)) => format!("{sign}${}.{cents}", grouped(whole)),
        None => format!("{sign}${text}"),
    }
}

/// A count with its thousands apart: `7,132`.
#[must_use]
pub fn count(number: u64) -> String {
    grouped(&number.to_string())
}

/// Commas between groups of three digits.
fn grouped(digits: &str) -> String {
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 span`, `17 spans`.
#[must_use]
pub fn plural(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_three_digits_or_two_units() {
        for (nanoseconds, text) in [
            (0, "0 µs"),
            (499, "0 µs"),
            (840_000, "840 µs"),
            (999_499, "999 µs"),
            (999_500, "1 ms"),
            (90_000_000, "90 ms"),
            (999_499_999, "999 ms"),
            (999_500_000, "1.00 s"),
            (9_420_000_000, "9.42 s"),
            (59_994_000_000, "59.99 s"),
            (59_996_000_000, "1 m 00 s"),
            (125_000_000_000, "2 m 05 s"),
            (3_599_600_000_000, "1 h 00 m"),
            (11_220_000_000_000, "3 h 07 m"),
        ] {
            assert_eq!(duration(nanoseconds, false), text, "{nanoseconds}");
        }
        assert_eq!(duration(1_000, true), "1 us");
        assert!(duration(u64::MAX, true).ends_with(" m"));
    }

    #[test]
    fn money_keeps_the_digits_that_mean_something() {
        for (usd, text) in [
            (0.0, "$0"),
            (0.0211, "$0.0211"),
            (0.00199, "$0.00199"),
            (0.002, "$0.0020"),
            (0.000_312_4, "$0.000312"),
            (0.009_999_9, "$0.0100"),
            (1e-7, "$0.0000001"),
            (1e-12, "<$0.000000001"),
            (0.5, "$0.5000"),
            (1.25, "$1.25"),
            (1204.0, "$1,204.00"),
            (-0.5, "-$0.5000"),
            (f64::NAN, "$?"),
            (f64::INFINITY, "$?"),
        ] {
            assert_eq!(money(usd), text, "{usd}");
        }
    }

    #[test]
    fn counts_are_grouped_and_nouns_agree() {
        assert_eq!(count(7132), "7,132");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_000_000), "1,000,000");
        assert_eq!(plural(1, "span"), "1 span");
        assert_eq!(plural(17_000, "span"), "17,000 spans");
    }
}
