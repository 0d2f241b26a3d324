//! The result of an objective.

use anyhow::{Context, Result, bail};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::percentile::Ms;
use poolproof_model::verdict::Verdict;
use poolproof_model::workload::Series;
use poolproof_model::workload::slo::{Metric, Slo};

/// The result of an objective.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Judged {
    /// The objective. Older records contain it as a sentence.
    #[serde(deserialize_with = "typed_or_in_words")]
    #[schemars(with = "TypedOrInWords")]
    pub slo: Slo,
    /// Pass, fail, inconclusive, or invalid.
    pub verdict: Verdict,
    /// The sample size in requests. For gaps between frames, the number of responses with gaps.
    pub n: u64,
    /// For an objective on gaps between frames, the number of gaps. Absent for others, and in older records, whose `n`
    /// counted the gaps themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gaps: Option<u64>,
    /// The observed share of requests, or of gaps: those beyond the limit, failed, or (for goodput) good.
    pub share: f64,
    /// The confidence interval of the true share at 95 %.
    pub share_interval: (f64, f64),
    /// The limit of the share.
    pub share_limit: f64,
    /// The percentile itself, if the sample supports it.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present"
    )]
    pub ms: Option<Ms>,
}

impl Judged {
    /// The unit of [`Judged::n`], in the plural.
    pub fn unit(&self) -> &'static str {
        match (self.slo.metric, self.gaps) {
            (Metric::Time(Series::ItlChunk), Some(_)) => "answers",
            (Metric::Time(Series::ItlChunk), None) => "gaps",
            _ => "requests",
        }
    }

    /// What [`Judged::share`] is a share of, in words.
    pub fn share_of(&self) -> &'static str {
        match self.slo.metric {
            Metric::GOODPUT => "good",
            Metric::FAILED => "failed",
            Metric::Time(Series::ItlChunk) => "of the gaps beyond it, judged by answer",
            Metric::Time(_) => "beyond it",
        }
    }
}

/// Reads a percentile that the record has. A null is one of failures; without this, it would be read as an absent one.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Ms>, D::Error> {
    Ms::deserialize(deserializer).map(Some)
}

/// The two forms of an objective in records.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected an objective")]
#[schemars(inline)]
enum TypedOrInWords {
    /// The current form.
    Typed(Slo),
    /// A sentence, in older records.
    InWords(String),
}

/// Reads an objective in its current form, or as the sentence of older records.
fn typed_or_in_words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Slo, D::Error> {
    match TypedOrInWords::deserialize(deserializer)? {
        TypedOrInWords::Typed(slo) => Ok(slo),
        TypedOrInWords::InWords(text) => from_words(&text)
            .with_context(|| format!("slo {text:?}"))
            .map_err(|error| serde::de::Error::custom(format!("{error:#}"))),
    }
}

/// Parses the sentence of older records: `[CLASS: ]NAME pP at most LIMIT ms`, `[CLASS: ]failed at most SHARE %` or
/// `[CLASS: ]goodput at least SHARE %`.
fn from_words(text: &str) -> Result<Slo> {
    let (class, what) = match text.rsplit_once(": ") {
        Some((class, what)) => (Some(class.to_owned()), what),
        None => (None, text),
    };
    let number = |text: &str| {
        text.parse::<f64>()
            .with_context(|| format!("{text:?} is not a number"))
    };
    let words: Vec<&str> = what.split(' ').collect();
    let mut slo = Slo {
        class,
        ..Slo::few_failures()
    };
    match words[..] {
        ["failed", "at", "most", percent, "%"] => slo.at_most = Some(number(percent)? / 100.0),
        ["goodput", "at", "least", percent, "%"] => {
            slo.metric = Metric::GOODPUT;
            (slo.at_most, slo.at_least) = (None, Some(number(percent)? / 100.0));
        }
        [name, percentile, "at", "most", ms, "ms"] => {
            let series = Series::ALL.into_iter().find(|series| series.name() == name);
            slo.metric = Metric::Time(series.with_context(|| format!("no time {name:?}"))?);
            let percentile = percentile
                .strip_prefix('p')
                .context("no percentile, such as p95")?;
            slo.percentile = Some(number(percentile)?);
            (slo.at_most, slo.at_most_ms) = (None, Some(number(ms)?));
        }
        _ => bail!("not an objective in words"),
    }
    Ok(slo)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_objective_in_words_is_read_as_a_typed_one() {
        let slo = from_words("a: b: itl_chunk p99.5 at most 20.5 ms").unwrap();
        assert_eq!(slo.class.as_deref(), Some("a: b"));
        assert_eq!(slo.metric, Metric::Time(Series::ItlChunk));
        assert_eq!((slo.percentile, slo.at_most_ms), (Some(99.5), Some(20.5)));
        assert_eq!((slo.at_most, slo.at_least), (None, None));
        let slo = from_words("goodput at least 95.00 %").unwrap();
        assert_eq!((slo.metric, slo.at_least), (Metric::GOODPUT, Some(0.95)));
        let slo = from_words("failed at most 0.50 %").unwrap();
        assert_eq!((slo.metric, slo.at_most), (Metric::FAILED, Some(0.005)));
        for text in [
            "",
            "goodput",
            "ttfx p9 at most 1 ms",
            "ttft 95 at most 1 ms",
        ] {
            assert!(from_words(text).is_err(), "{text}");
        }
    }

    #[test]
    fn both_forms_of_a_record_are_read_and_the_typed_one_is_written() {
        const REST: &str =
            r#""verdict":"pass","n":9,"share":0.0,"share_interval":[0.0,0.1],"share_limit":0.05"#;
        let read = |slo: &str| -> Judged {
            serde_json::from_str(&format!("{{\"slo\":{slo},{REST}}}")).unwrap()
        };
        let old = read(r#""ttft p95 at most 200 ms""#);
        let new = read(r#"{"metric":"ttft","percentile":95,"at_most_ms":200}"#);
        assert_eq!(old.slo, new.slo);
        let written = serde_json::to_value(&old).unwrap();
        assert_eq!(written["slo"]["metric"], "ttft");
        assert!(old.ms.is_none() && written.get("ms").is_none());
    }

    #[test]
    fn a_percentile_of_failures_is_read_back_as_one() {
        let mut judged: Judged = serde_json::from_str(
            r#"{"slo":"ttft p95 at most 200 ms","verdict":"fail","n":9,"share":0.5,"share_interval":[0.4,0.6],"share_limit":0.05}"#,
        )
        .unwrap();
        for ms in [None, Some(None), Some(Some(1.5))] {
            judged.ms = ms;
            let text = serde_json::to_string(&judged).unwrap();
            assert_eq!(
                serde_json::from_str::<Judged>(&text).unwrap().ms,
                ms,
                "{text}"
            );
        }
    }
}
