//! Sizes and durations as Go's tools write them.

use std::time::Duration;

/// Reads a size in bytes: a number, with a fraction if need be, and one of b, k, m, g, t, p (1024 based, any case, `B` or
/// `iB` may follow), a space between allowed. `-1` is unlimited.
pub(super) fn parse_bytes(text: &str) -> Result<i64, String> {
    if text == "-1" {
        return Ok(-1);
    }
    let invalid = || format!("want a size such as 1073741824, 512M or -1, not {text:?}");
    let end = text
        .rfind(|c: char| c.is_ascii_digit() || c == '.' || c == ' ')
        .ok_or_else(invalid)?
        + 1;
    let (number, suffix) = text.split_at(end);
    let number = number.strip_suffix(' ').unwrap_or(number);
    let size: f64 = number.parse().ok().ok_or_else(invalid)?;
    let scaled = size * scale(&suffix.to_ascii_lowercase()).ok_or_else(invalid)?;
    // 2^63 as a float; a size at or above it, NaN included, does not fit.
    if (0.0..9_223_372_036_854_775_808.0).contains(&scaled) {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the range was checked; a fraction of a byte is dropped"
        )]
        return Ok(scaled as i64);
    }
    Err(invalid())
}

fn scale(suffix: &str) -> Option<f64> {
    let power = match suffix
        .strip_suffix("ib")
        .or_else(|| suffix.strip_suffix('b'))
        .unwrap_or(suffix)
    {
        "" if suffix == "ib" => return None,
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return None,
    };
    Some(1024_f64.powi(power))
}

/// Reads a duration above zero as Go writes it: `5s`, `1.5s`, `1m30s`, `250ms`.
pub(super) fn parse_interval(text: &str) -> Result<Duration, String> {
    let invalid = || format!("want a duration such as 5s, 250ms or 1m30s, not {text:?}");
    if text.starts_with('-') || text.trim_matches(['0', '.', '+']).is_empty() && !text.is_empty() {
        return Err("duration interval must be greater than 0".into());
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let (number, tail) = split_where(rest, |c| c.is_ascii_digit() || c == '.');
        let (unit, tail) = split_where(tail, |c| !c.is_ascii_digit() && c != '.');
        seconds += number.parse::<f64>().ok().ok_or_else(invalid)? * unit_seconds(unit).ok_or_else(invalid)?;
        rest = tail;
    }
    let interval = Duration::try_from_secs_f64(seconds).ok().ok_or_else(invalid)?;
    match (text.is_empty(), interval.is_zero()) {
        (true, _) => Err(invalid()),
        (_, true) => Err("duration interval must be greater than 0".into()),
        _ => Ok(interval),
    }
}

fn split_where(text: &str, is_head: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !is_head(c)).unwrap_or(text.len()))
}

fn unit_seconds(unit: &str) -> Option<f64> {
    match unit {
        "ns" => Some(1e-9),
        "us" | "µs" | "μs" => Some(1e-6),
        "ms" => Some(1e-3),
        "s" => Some(1.0),
        "m" => Some(60.0),
        "h" => Some(3600.0),
        _ => None,
    }
}
