//! The values that a workload may have.

use anyhow::{Context, Result, bail, ensure};

use super::{Arrival, Class, DURATION_MAX_S, Workload};
use crate::api::Api;

/// Keys of the body that poolproof writes itself.
const OWN_KEYS: [&str; 9] = [
    "model",
    "messages",
    "prompt",
    "input",
    "max_tokens",
    "max_output_tokens",
    "ignore_eos",
    "stream",
    "stream_options",
];

impl Workload {
    /// Fails on invalid values, with the name of the key.
    pub fn check(&self) -> Result<()> {
        self.arrival.check()?;
        self.parameters.check().context("parameters")?;
        if self.dataset.is_some() {
            ensure!(
                !self.arrival.holds_sessions() && !matches!(self.arrival, Arrival::Trace { .. }),
                "`dataset`: its prompts cannot be sent with arrivals that are sessions or a trace: use constant, poisson, gamma, ramp, stages or closed"
            );
            ensure!(
                self.mix.iter().all(|class| class.shared_prefix.is_none()),
                "`dataset`: its prompts are sent as they are: leave `shared_prefix` out"
            );
        }
        if let Some(topology) = &self.topology {
            topology.check().context("topology")?;
        }
        for (name, seconds) in [
            (
                "duration_s",
                self.duration_s.or(self.arrival.duration_s()).unwrap_or(1.0),
            ),
            ("timeout_s", self.timeout_s),
        ] {
            ensure!(
                seconds > 0.0 && seconds <= DURATION_MAX_S,
                "`{name}` is {seconds}: must be above 0, and {DURATION_MAX_S} at most"
            );
        }
        match &self.arrival {
            Arrival::Stages { .. } => ensure!(
                self.duration_s.is_none(),
                "`duration_s` and `arrival.stages` both set the duration: leave `duration_s` out"
            ),
            Arrival::Trace { .. } => {}
            _ => ensure!(
                self.duration_s.is_some(),
                "`duration_s` is missing: how long requests are sent, in seconds"
            ),
        }
        let duration_s = self.duration_s.or(self.arrival.duration_s());
        ensure!(
            (0.0..duration_s.unwrap_or(DURATION_MAX_S)).contains(&self.warm_up_s),
            "`warm_up_s` is {}: must be 0 or more, and less than the duration",
            self.warm_up_s
        );
        ensure!(
            !self.mix.is_empty(),
            "`mix` is empty: at least one [[mix]] is needed"
        );
        for (number, class) in self.mix.iter().enumerate() {
            class
                .check(self.arrival.holds_sessions())
                .with_context(|| format!("mix: class {:?}", class.class))?;
            let before = &self.mix[..number];
            ensure!(
                before.iter().all(|other| other.class != class.class),
                "mix: duplicate class {:?}",
                class.class
            );
        }
        for (number, slo) in self.slos.iter().enumerate() {
            slo.check(&self.mix)
                .with_context(|| format!("slo {}", number + 1))?;
        }
        Ok(())
    }
}

impl Class {
    fn check(&self, in_sessions: bool) -> Result<()> {
        ensure!(
            self.api.converses() || !in_sessions,
            "`api` must be \"chat\", \"responses\" or \"messages\" in a workload with sessions"
        );
        ensure!(
            self.api != Api::Messages || !in_sessions || self.shared_prefix.is_none(),
            "`shared_prefix`: messages have no system prompt among them: leave it out in a workload with sessions"
        );
        ensure!(
            self.share > 0.0 && self.share.is_finite(),
            "`share` is {}: must be above 0",
            self.share
        );
        self.input_tokens.check("input_tokens")?;
        self.output_tokens.check("output_tokens")?;
        if let Some(shared) = self.shared_prefix {
            ensure!(
                shared.groups > 0 && (1..=1 << 20).contains(&shared.tokens),
                "`shared_prefix`: `groups` must be at least 1, `tokens` 1 to 1,048,576"
            );
        }
        for (name, value) in &self.headers {
            ensure!(
                name.parse::<http::HeaderName>().is_ok()
                    && value.parse::<http::HeaderValue>().is_ok(),
                "`headers`: {name:?} cannot be sent as a header with this value"
            );
        }
        if let Some(key) = self
            .body
            .keys()
            .find(|key| OWN_KEYS.contains(&key.as_str()))
        {
            bail!("`body`: {key:?} is set by poolproof itself");
        }
        Ok(())
    }
}
