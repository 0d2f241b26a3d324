//! Changes of a workload's rate and duration. The caller checks the result with [`Workload::check`].

use anyhow::{Context, Result};

use poolproof_model::workload::{Arrival, Workload};

/// A warm-up that does not fit into a shorter duration becomes this share of it.
const WARM_UP_SHARE: f64 = 0.1;

/// Sets the rate per second of a workload that has one rate, or the number of users of one that has users. Fails for a workload that
/// has neither.
pub fn set_rate(workload: &mut Workload, to: f64) -> Result<()> {
    match &mut workload.arrival {
        Arrival::Closed { users, .. } | Arrival::Sessions { users, .. } => *users = to as usize,
        arrival => {
            let rate = arrival.rate_mut();
            *rate.context("the arrivals of this workload have no single rate")? = to;
        }
    }
    Ok(())
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

    fn workload(arrival: &str) -> Workload {
        toml::from_str(&format!(
            "shows = 'x'\nduration_s = 60\nwarm_up_s = 5\narrival = {arrival}\n\
             [[mix]]\nclass = 'c'\ninput_tokens = 1\noutput_tokens = 1\n"
        ))
        .unwrap()
    }

    #[test]
    fn a_rate_replaces_the_rate_or_the_users_and_is_refused_where_neither_exists() {
        let mut poisson = workload("{ process = 'poisson', rate_per_s = 40 }");
        set_rate(&mut poisson, 7.5).unwrap();
        assert_eq!(poisson.arrival.rate_mut().copied(), Some(7.5));
        let mut closed = workload("{ process = 'closed', users = 3 }");
        set_rate(&mut closed, 12.0).unwrap();
        assert_eq!(closed.arrival.users(), Some(12));
        let mut stages = workload(
            "{ process = 'stages', stages = [ { rate_per_s = 1, duration_s = 2 }, { rate_per_s = 2, duration_s = 2 } ] }",
        );
        assert!(set_rate(&mut stages, 7.5).is_err());
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
