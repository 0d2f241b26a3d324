//! The Prometheus text format, limited to what counters and gauges need.
//!
//! Source: Prometheus, "Exposition formats", text-based format version 0.0.4.

/// One sample of a scrape.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample<'a> {
    /// The name of the metric.
    pub(super) name: &'a str,
    /// The labels, in their original order.
    pub(super) labels: Vec<(&'a str, String)>,
    /// The value.
    pub(super) value: f64,
}

impl Sample<'_> {
    /// The value of a label; empty if the label is absent.
    pub(super) fn label(&self, name: &str) -> &str {
        self.labels
            .iter()
            .find(|(label, _)| *label == name)
            .map_or("", |(_, value)| value)
    }
}

/// Parses the samples of a text. Other lines are skipped.
pub(super) fn parse(text: &str) -> impl Iterator<Item = Sample<'_>> {
    text.lines().filter_map(sample)
}

fn sample(line: &str) -> Option<Sample<'_>> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let end = line.find(|c: char| c == '{' || c.is_whitespace())?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    let value = rest.split_whitespace().next()?;
    let value = match value {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        other => other.parse().ok()?,
    };
    Some(Sample {
        name,
        labels,
        value,
    })
}

/// Parses labels up to the closing brace. Returns them with the rest of the line.
fn labels(mut rest: &str) -> Option<(Vec<(&str, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (name, after) = rest.split_once('=')?;
        let (value, after) = quoted(after.strip_prefix('"')?)?;
        labels.push((name.trim(), value));
        rest = after;
    }
}

/// Parses a label value up to its closing quote. Returns it with the rest of the line.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_with_and_without_labels() {
        let text = "# TYPE a gauge\na 1\nb{x=\"1,}\\\"\\n\",y=\"\"} 2.5e3 1700000000\nbroken{x=\"\nc +Inf\n\n";
        let samples: Vec<_> = parse(text).collect();
        assert_eq!(samples.len(), 3);
        assert_eq!((samples[0].name, samples[0].value), ("a", 1.0));
        assert_eq!(samples[1].label("x"), "1,}\"\n");
        assert_eq!(samples[1].label("y"), "");
        assert_eq!(samples[1].value, 2500.0);
        assert_eq!(samples[2].value, f64::INFINITY);
    }
}

#[cfg(test)]
mod properties {
    use super::*;
    use poolproof_property::config;
    use proptest::collection::vec;
    use proptest::prelude::*;

    /// Text of which many characters mean something to the parser.
    const NEARLY_METRICS: &str = "([a-z{}=\",\\\\ \n#+.0-9]|\\PC){0,60}";

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn any_text_is_read_line_by_line(texts in vec(NEARLY_METRICS, 0..4)) {
            let whole = texts.join("\n");
            let parts: Vec<_> = texts.iter().flat_map(|text| parse(text)).collect();
            // Compared as text: a value may be NaN.
            prop_assert_eq!(format!("{:?}", Vec::from_iter(parse(&whole))), format!("{parts:?}"));
        }

        #[test]
        fn written_samples_are_read_back(
            samples in vec(
                ("[a-z_:][a-z0-9_:]{0,8}", vec(("[a-z_][a-z0-9_]{0,8}", "([\"\\\\\n{},= ]|\\PC){0,8}"), 0..4), any::<f64>()),
                0..6,
            ),
        ) {
            let mut text = "# TYPE a gauge\n".to_owned();
            for (name, labels, value) in &samples {
                let labels: Vec<String> = labels
                    .iter()
                    .map(|(label, value)| {
                        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
                        format!("{label}=\"{value}\"")
                    })
                    .collect();
                text += &format!("{name}{{{}}} {value} 1700000000\n", labels.join(","));
            }
            let read: Vec<_> = parse(&text).collect();
            prop_assert_eq!(read.len(), samples.len());
            for (sample, (name, labels, value)) in read.iter().zip(&samples) {
                prop_assert_eq!(sample.name, name);
                prop_assert_eq!(sample.value, *value);
                let labels: Vec<_> = labels.iter().map(|(label, value)| (label.as_str(), value.clone())).collect();
                prop_assert_eq!(&sample.labels, &labels);
            }
        }
    }
}
