//! Durations of the command line.

use anyhow::{Context, Result, ensure};

/// The longest duration, in seconds: a week.
const MAX_S: f64 = 7.0 * 86_400.0;

/// Reads a duration: seconds such as `30`, or a number with a unit such as `500ms`, `30s`, `5m` or `1h`. Returns seconds above 0.
pub(super) fn seconds(text: &str) -> Result<f64> {
    const FORM: &str = "must be seconds such as 30, or have a unit: 500ms, 30s, 5m, 1h";
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match &text[digits.len()..] {
        "ms" => Some(0.001),
        "" | "s" => Some(1.0),
        "m" | "min" => Some(60.0),
        "h" => Some(3600.0),
        _ => None,
    };
    let number = digits.parse::<f64>().ok().zip(factor);
    let (number, factor) = number.context(FORM)?;
    let seconds = number * factor;
    ensure!(
        seconds > 0.0 && seconds <= MAX_S,
        "must be above 0, and a week at most"
    );
    Ok(seconds)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_a_unit_or_is_in_seconds() {
        for (text, wanted) in [
            ("30", 30.0),
            ("0.5", 0.5),
            ("30s", 30.0),
            ("500ms", 0.5),
            ("5m", 300.0),
            ("1.5h", 5400.0),
        ] {
            assert_eq!(seconds(text).unwrap(), wanted);
        }
        for wrong in ["", "s", "5d", "0", "-1", "nan", "inf", "1e9", "1 s", "30ss"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
