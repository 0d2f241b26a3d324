//! Numbers for people. A number has at most four significant digits, and groups of three digits have commas.

/// A whole number.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number with three significant digits, or all digits before the point.
pub(super) fn figure(value: f64) -> String {
    if !value.is_finite() {
        return "-".to_owned();
    }
    let sign = if value < 0.0 { "-" } else { "" };
    let size = value.abs();
    // 99.95 rounds to 100, which has no digit after the point.
    let places = match size {
        size if size < 9.995 => 2,
        size if size < 99.95 => 1,
        _ => 0,
    };
    if places == 0 {
        return format!("{sign}{}", count(size.round() as u64));
    }
    if size > 0.0 && size < 0.095 {
        return trimmed(&format!("{value:.3}"));
    }
    format!("{value:.places$}")
}

/// A label of an axis: no zeros at the end, and a prefix from 10,000 on.
pub(super) fn tick(value: f64) -> String {
    let size = value.abs();
    let (scaled, prefix) = match size {
        size if size >= 1e9 => (value / 1e9, "G"),
        size if size >= 1e6 => (value / 1e6, "M"),
        size if size >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let text = if size > 0.0 && size < 0.001 {
        format!("{scaled:.1e}")
    } else {
        trimmed(&format!("{scaled:.3}"))
    };
    text + prefix
}

fn trimmed(text: &str) -> String {
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A share in percent. Only 0 is shown as 0 %, and only 1 as 100 %.
pub(super) fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    if percent > 0.0 && percent < 0.005 {
        "<0.01 %".to_owned()
    } else if (99.995..100.0).contains(&percent) {
        ">99.99 %".to_owned()
    } else {
        format!("{} %", trimmed(&format!("{percent:.2}")))
    }
}

/// The unit of a column of times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Milliseconds.
    Ms,
    /// Seconds.
    S,
}

impl Unit {
    /// The unit in which all of these times, in milliseconds, are shown.
    pub(super) fn of(times_ms: impl Iterator<Item = f64>) -> Self {
        const SECONDS_FROM_MS: f64 = 10_000.0;
        let finite = times_ms.filter(|ms| ms.is_finite());
        if finite.fold(0.0, f64::max) < SECONDS_FROM_MS {
            Self::Ms
        } else {
            Self::S
        }
    }

    /// The symbol of the unit.
    pub(super) fn symbol(self) -> &'static str {
        match self {
            Self::Ms => "ms",
            Self::S => "s",
        }
    }

    /// A time in this unit.
    pub(super) fn scaled(self, ms: f64) -> f64 {
        match self {
            Self::Ms => ms,
            Self::S => ms / 1000.0,
        }
    }

    /// A time in this unit, as text without the symbol. Infinitely late is `never`.
    pub(super) fn show(self, ms: f64) -> String {
        if ms == f64::INFINITY {
            "never".to_owned()
        } else {
            figure(self.scaled(ms))
        }
    }
}

/// A time with its unit.
pub(super) fn time(ms: f64) -> String {
    let unit = Unit::of(std::iter::once(ms));
    match unit.show(ms) {
        never if ms == f64::INFINITY => never,
        text => format!("{text} {}", unit.symbol()),
    }
}

/// A duration in seconds, in the largest units that it has.
pub(super) fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..=119 => format!("{} s", tick(seconds)),
        120..=7199 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_three_digits_and_large_ones_are_grouped() {
        for (value, text) in [
            (0.0, "0.00"),
            (0.0123, "0.012"),
            (0.5, "0.50"),
            (9.994, "9.99"),
            (9.996, "10.0"),
            (99.96, "100"),
            (-1234.4, "-1,234"),
            (1_234_567.0, "1,234,567"),
            (f64::NAN, "-"),
        ] {
            assert_eq!(figure(value), text, "{value}");
        }
        assert_eq!((count(999), count(1000)), ("999".into(), "1,000".into()));
    }

    #[test]
    fn a_share_is_never_rounded_to_none_or_all() {
        for (share, text) in [
            (0.0, "0 %"),
            (0.00001, "<0.01 %"),
            (0.125, "12.5 %"),
            (0.99996, ">99.99 %"),
            (1.0, "100 %"),
        ] {
            assert_eq!(percent(share), text, "{share}");
        }
    }

    #[test]
    fn all_times_of_a_column_have_one_unit() {
        assert_eq!(Unit::of([1.0, 9_999.0].into_iter()), Unit::Ms);
        let unit = Unit::of([1.0, 65_000.0, f64::INFINITY].into_iter());
        assert_eq!(unit, Unit::S);
        assert_eq!(
            (unit.show(1.0), unit.show(65_000.0)),
            ("0.001".into(), "65.0".into())
        );
        assert_eq!(unit.show(f64::INFINITY), "never");
        assert_eq!(
            (time(12.0), duration(150.0)),
            ("12.0 ms".into(), "2 min 30 s".into())
        );
    }

    #[test]
    fn labels_of_axes_have_no_zeros_at_the_end() {
        let labels = [0.0, 0.25, 20.0, 25_000.0, 3e6].map(tick);
        assert_eq!(labels, ["0", "0.25", "20", "25k", "3M"]);
    }
}
