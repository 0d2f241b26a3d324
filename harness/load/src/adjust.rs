//! Changes of a workload's rate and duration. The caller checks the result with [`Workload::check`].

use anyhow::{Context, Result, bail};

use poolproof_model::api::Api;
use poolproof_model::workload::slo::Slo;
use poolproof_model::workload::{Arrival, Count, Series, Workload};

/// A warm-up that does not fit into a shorter duration becomes this share of it.
const WARM_UP_SHARE: f64 = 0.1;

/// Sets the rate per second of a workload. A closed loop becomes a Poisson process of that rate. Fails for a workload that has no single
/// rate.
pub fn set_rate(workload: &mut Workload, to: f64) -> Result<()> {
    match &mut workload.arrival {
        Arrival::Closed { .. } => workload.arrival = Arrival::Poisson { rate_per_s: to },
        Arrival::Sessions { .. } => {
            bail!("the users of this workload are in sessions: set their number with --users")
        }
        arrival => {
            let rate = arrival.rate_mut();
            *rate.context("the arrivals of this workload have no single rate")? = to;
        }
    }
    Ok(())
}

/// Sets the number of users. Arrivals at a rate become a closed loop without pauses.
pub fn set_users(workload: &mut Workload, to: usize) {
    match &mut workload.arrival {
        Arrival::Closed { users, .. } | Arrival::Sessions { users, .. } => *users = to,
        arrival => {
            *arrival = Arrival::Closed {
                users: to,
                think_ms: 0,
            };
        }
    }
}

/// Sets the scale of a workload: its rate per second, or the number of users where it has users. Fails for a workload that has neither.
pub fn set_scale(workload: &mut Workload, to: f64) -> Result<()> {
    if workload.arrival.users().is_some() {
        set_users(workload, to as usize);
        Ok(())
    } else {
        set_rate(workload, to)
    }
}

/// Sets the API of all requests. Classes that are named after their API get the new name.
pub fn set_api(workload: &mut Workload, to: Api) {
    for class in &mut workload.mix {
        let from = std::mem::replace(&mut class.api, to).name();
        if !to.generates() {
            class.output_tokens = Count::Fixed(0);
            class.shared_prefix = None;
        }
        if class.class != from {
            continue;
        }
        class.class = to.name().to_owned();
        for slo in &mut workload.slos {
            if slo.class.as_deref() == Some(from) {
                slo.class = Some(to.name().to_owned());
            }
        }
    }
    if !to.generates() {
        // Objectives on tokens are none of answers that have none.
        workload.slos.retain(|slo| {
            let series = slo.metric.series();
            !series.is_some_and(Series::needs_stream)
        });
    }
}

/// Adds an objective, in place of the one on the same metric and percentile.
pub fn set_slo(workload: &mut Workload, to: Slo) {
    let key = |slo: &Slo| {
        (
            slo.class.clone(),
            slo.metric,
            slo.percentile.map(f64::to_bits),
        )
    };
    match workload.slos.iter_mut().find(|slo| key(slo) == key(&to)) {
        Some(slo) => *slo = to,
        None => workload.slos.push(to),
    }
}

/// Sets the duration, in seconds. Shortens a warm-up that would be as long.
pub fn set_duration(workload: &mut Workload, duration_s: f64) {
    workload.duration_s = Some(duration_s);
    if workload.warm_up_s >= duration_s {
        workload.warm_up_s = WARM_UP_SHARE * duration_s;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::made::workload;

    #[test]
    fn a_rate_replaces_the_rate_or_the_users_and_is_refused_where_neither_exists() {
        let mut poisson = workload("{ process = 'poisson', rate_per_s = 40 }");
        set_rate(&mut poisson, 7.5).unwrap();
        assert_eq!(poisson.arrival.rate_mut().copied(), Some(7.5));
        let mut closed = workload("{ process = 'closed', users = 3 }");
        set_scale(&mut closed, 12.0).unwrap();
        assert_eq!(closed.arrival.users(), Some(12));
        set_rate(&mut closed, 2.0).unwrap();
        assert_eq!(closed.arrival, Arrival::Poisson { rate_per_s: 2.0 });
        set_users(&mut closed, 5);
        assert_eq!(closed.arrival.users(), Some(5));
        let mut stages = workload(
            "{ process = 'stages', stages = [ { rate_per_s = 1, duration_s = 2 }, { rate_per_s = 2, duration_s = 2 } ] }",
        );
        assert!(set_rate(&mut stages, 7.5).is_err());
        let mut sessions = workload("{ process = 'sessions', users = 3, turns = 2 }");
        let message = set_rate(&mut sessions, 2.0).unwrap_err().to_string();
        assert!(message.contains("--users"), "{message}");
    }

    #[test]
    fn an_api_without_tokens_leaves_no_objective_on_them() {
        let mut workload = workload("{ process = 'poisson', rate_per_s = 40 }");
        workload.mix[0].class = "chat".to_owned();
        for line in ["ttft.p95=1s", "e2e.p99=3s"] {
            let mut slo: Slo = line.parse().unwrap();
            slo.class = Some("chat".to_owned());
            set_slo(&mut workload, slo);
        }
        set_api(&mut workload, Api::Rerank);
        workload.check().unwrap();
        assert_eq!(workload.mix[0].class, "rerank");
        let slos: Vec<String> = workload.slos.iter().map(ToString::to_string).collect();
        assert_eq!(slos, ["rerank: e2e p99 at most 3000 ms"]);
    }

    #[test]
    fn an_objective_replaces_that_on_the_same_percentile() {
        let mut workload = workload("{ process = 'poisson', rate_per_s = 40 }");
        for line in [
            "ttft.p95=1s",
            "ttft.p99=3s",
            "ttft.p95=2s",
            "failures=5%",
            "failures=1%",
        ] {
            set_slo(&mut workload, line.parse().unwrap());
        }
        let slos: Vec<String> = workload.slos.iter().map(ToString::to_string).collect();
        assert_eq!(
            slos,
            [
                "ttft p95 at most 2000 ms",
                "ttft p99 at most 3000 ms",
                "failed at most 1.00 %"
            ]
        );
    }

    #[test]
    fn a_warm_up_is_shortened_only_if_it_does_not_fit() {
        let mut workload = workload("{ process = 'poisson', rate_per_s = 40 }");
        set_duration(&mut workload, 20.0);
        assert_eq!((workload.duration_s, workload.warm_up_s), (Some(20.0), 5.0));
        set_duration(&mut workload, 4.0);
        assert_eq!((workload.duration_s, workload.warm_up_s), (Some(4.0), 0.4));
    }
}
