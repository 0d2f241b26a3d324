//! What a workload sends, in words.

use std::fmt::Write as _;

use super::{Arrival, Class, Workload};

impl Workload {
    /// What it sends: when, for how long, and a line for each class. Objectives are not part of it.
    pub fn outline(&self) -> String {
        let mut text = self.arrival.in_words();
        let duration_s = self.duration_s.or(self.arrival.duration_s());
        // Writing to a string cannot fail, here and below.
        if let Some(duration_s) = duration_s {
            let _ = write!(text, ", for {duration_s} s");
        }
        if self.warm_up_s > 0.0 {
            let _ = write!(
                text,
                ", of which the first {} s do not count",
                self.warm_up_s
            );
        }
        let all: f64 = self.mix.iter().map(|class| class.share).sum();
        for class in &self.mix {
            let _ = write!(text, "\n{}: ", class.class);
            if self.mix.len() > 1 {
                let _ = write!(text, "{:.0} % of the requests, ", 100.0 * class.share / all);
            }
            text += &class.in_words(self);
        }
        text
    }
}

impl Class {
    fn in_words(&self, of: &Workload) -> String {
        let mut text = self.api.name().to_owned();
        text += if self.stream {
            ", streamed"
        } else {
            ", not streamed"
        };
        let _ = match &of.dataset {
            None => write!(text, ", prompts of {} tokens", self.input_tokens),
            Some(dataset) => write!(text, ", prompts of {}", dataset.file.display()),
        };
        if let Some(shared) = self.shared_prefix {
            let _ = write!(
                text,
                " after one of {} shared prefixes of {} tokens",
                shared.groups, shared.tokens
            );
        }
        let _ = write!(text, ", answers of {} tokens", self.output_tokens);
        if of
            .dataset
            .as_ref()
            .is_some_and(|dataset| dataset.answer_lengths)
        {
            text += " where the file has no answer";
        }
        text
    }
}

impl Arrival {
    fn in_words(&self) -> String {
        match self {
            Self::Constant { rate_per_s } => {
                format!("{rate_per_s} requests per second, at even intervals")
            }
            Self::Poisson { rate_per_s } => {
                format!("{rate_per_s} requests per second on average, independent of one another")
            }
            Self::Gamma {
                rate_per_s,
                burstiness,
            } => {
                format!("{rate_per_s} requests per second on average, with burstiness {burstiness}")
            }
            Self::Ramp {
                from_per_s,
                to_per_s,
            } => format!("from {from_per_s} to {to_per_s} requests per second"),
            Self::Stages { stages } => {
                let rates = stages.iter().map(|stage| stage.rate_per_s.to_string());
                format!(
                    "{} requests per second, one stage after the other",
                    rates.collect::<Vec<_>>().join(", ")
                )
            }
            Self::Trace { file } => format!("the requests of trace {}", file.display()),
            Self::Closed { users, think_ms } => {
                let mut text = format!("{users} users, each with one request at a time");
                if *think_ms > 0 {
                    let _ = write!(text, " and a pause of {think_ms} ms after each answer");
                }
                text
            }
            Self::Sessions {
                users,
                turns,
                think_time_s,
            } => format!(
                "{users} users, each in a session of {turns} turns with pauses of {think_time_s} s"
            ),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::SHIPPED;
    use super::*;

    #[test]
    fn the_outline_has_the_arrivals_the_duration_and_each_class() {
        let (quick, _) = Workload::load("quick-chat").unwrap();
        assert_eq!(
            quick.outline(),
            "8 users, each with one request at a time, for 5 s\n\
             chat: chat, streamed, prompts of 200 tokens, answers of 100 tokens"
        );
        for (name, _) in SHIPPED {
            let (workload, _) = Workload::load(name).unwrap();
            let outline = workload.outline();
            assert_eq!(outline.lines().count(), 1 + workload.mix.len(), "{outline}");
        }
    }
}
