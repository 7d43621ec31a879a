//! Times as people write them: `2026-05-01T12:00:00Z`, with an offset, with a fraction, or milliseconds.

const DAY_MS: i64 = 86_400_000;

/// Milliseconds since 1970 of a text. Without an offset it is UTC.
pub(super) fn parse_ms(text: &str) -> Result<i64, String> {
    let text = text.trim();
    if let Ok(ms) = text.parse() {
        return Ok(ms);
    }
    parse(text).ok_or_else(|| format!("{text:?} is no time like 2026-05-01T12:00:00Z"))
}

fn parse(text: &str) -> Option<i64> {
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let [year, month, day] = numbers(date, '-')?;
    let month_days = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let of_month = month_days.get(usize::try_from(month - 1).ok()?)?;
    if !(1970..=9999).contains(&year) || !(1..=*of_month).contains(&day) {
        return None;
    }
    let at = time.find(['Z', 'z', '+', '-']).unwrap_or(time.len());
    let (time, zone) = time.split_at(at);
    let (clock, fraction) = time.split_once('.').unwrap_or((time, ""));
    let [hour, minute, second] = numbers(clock, ':')?;
    if !(0..24).contains(&hour) || !(0..60).contains(&minute) || !(0..60).contains(&second) {
        return None;
    }
    let clock_ms = ((hour * 60 + minute) * 60 + second) * 1_000 + milliseconds(fraction)?;
    Some(days_since_1970(year, month, day) * DAY_MS + clock_ms - zone_ms(zone)?)
}

/// Exactly three numbers without signs.
fn numbers(text: &str, between: char) -> Option<[i64; 3]> {
    let parts: Vec<&str> = text.split(between).collect();
    let parts = <[&str; 3]>::try_from(parts).ok()?;
    let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|it| it.is_ascii_digit());
    if !parts.iter().all(is_number) {
        return None;
    }
    let [a, b, c] = parts.map(|part| part.parse().ok());
    Some([a?, b?, c?])
}

/// The first three digits of a fraction.
fn milliseconds(fraction: &str) -> Option<i64> {
    if !fraction.bytes().all(|it| it.is_ascii_digit()) {
        return None;
    }
    let three: String = fraction.chars().chain("000".chars()).take(3).collect();
    three.parse().ok()
}

fn zone_ms(zone: &str) -> Option<i64> {
    let (sign, rest) = match zone.split_at_checked(1) {
        None | Some(("Z" | "z", "")) => return Some(0),
        Some(("+", rest)) => (1, rest),
        Some(("-", rest)) => (-1, rest),
        Some(_) => return None,
    };
    let digits: String = rest.chars().filter(|it| *it != ':').collect();
    if digits.len() != 4 || !digits.bytes().all(|it| it.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes) = digits.split_at(2);
    let minutes = hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?;
    Some(sign * minutes * 60_000)
}

/// Days between 1 January 1970 and a day of the Gregorian calendar. Years begin in March, so that the
/// day that is not always there comes last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let leap_days = year / 4 - year / 100 + year / 400;
    365 * year + leap_days + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_and_without_an_offset() {
        for (text, ms) in [
            ("0", 0),
            ("1700000000123", 1_700_000_000_123),
            ("1970-01-01T00:00:00Z", 0),
            ("2023-11-14T22:13:20.123Z", 1_700_000_000_123),
            ("2023-11-14T23:13:20.123456+01:00", 1_700_000_000_123),
            ("2023-11-14 17:13:20.1-0500", 1_700_000_000_100),
            ("2024-02-29T00:00:00", 1_709_164_800_000),
            ("2000-03-01T00:00:00Z", 951_868_800_000),
        ] {
            assert_eq!(parse_ms(text), Ok(ms), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "yesterday",
            "2024-02-29",
            "2024-13-01T00:00:00Z",
            "2024-01-32T00:00:00Z",
            "2024-01-01T24:00:00Z",
            "2024-01-01T00:00Z",
            "2024-01-01T00:00:00Zulu",
            "2024-01-01T00:00:00+1",
            "2024-01-01T00:00:00.xZ",
            "1969-12-31T23:59:59Z",
        ] {
            assert!(parse_ms(text).is_err(), "{text}");
        }
    }
}
