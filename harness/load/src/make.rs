//! Builds the record of a run from its measurements.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::engine::Measured;
use super::failure::Failure;
use super::follow::Followed;
use super::judge::judge;
use super::recorder::{Cell, Key, Recorder};
use poolproof_client::machine;
use poolproof_model::component::Component;
use poolproof_model::remark::Remark;
use poolproof_model::target::Target;
use poolproof_model::verdict::Verdict;
use poolproof_model::workload::{Class, Series, Workload};
use poolproof_records::environment::Environment;
use poolproof_records::limits;
use poolproof_records::load::calibration::Calibration;
use poolproof_records::load::over_time::OverTime;
use poolproof_records::load::percentile::{above, percentile};
use poolproof_records::load::{
    AdapterShare, Client, Example, Group, LATE_MS, PoolShare, Record, SCHEMA, STOOD_STILL, Served,
    Times, TokenizerFile, Worker, without_header_values,
};
use poolproof_records::run::without_credentials;

/// What a run was about.
pub struct About<'a> {
    /// The name of its workload.
    pub name: &'a str,
    /// The workload.
    pub workload: Workload,
    /// The seed.
    pub seed: u64,
    /// The name of the stack.
    pub stack: &'a str,
    /// What the stack consists of.
    pub components: &'a [Component],
    /// Its addresses.
    pub target: &'a Target,
    /// The defect that was put in.
    pub flaw: Option<String>,
    /// When the last request was due, in seconds.
    pub end_s: f64,
    /// Whether it was interrupted.
    pub interrupted: bool,
    /// Whether it was ended because requests piled up.
    pub saturated: bool,
    /// The tokenizer that prompts were made for.
    pub tokenizer: Option<TokenizerFile>,
    /// The machine of the client, before the stack was started.
    pub environment: Environment,
    /// The workers, where several processes sent.
    pub workers: Vec<Worker>,
    /// What the servers reported meanwhile.
    pub followed: Followed,
}

/// Late requests that a measurement bears, over all.
const LATE_MAX: f64 = 0.01;
/// The part of a thread's time that may be processor time: above, answers wait until they are looked at.
const BUSY_MAX: f64 = 0.9;

const PERCENTILES: [f64; 6] = [50.0, 75.0, 90.0, 95.0, 99.0, 99.9];

/// The record of a run.
pub fn record(about: About<'_>, measured: &Measured) -> Record {
    let About {
        name,
        workload,
        seed,
        stack,
        components,
        target,
        flaw,
        end_s,
        interrupted,
        saturated,
        tokenizer,
        environment,
        workers,
        followed,
    } = about;
    let recorder = &measured.recorder;
    let ran_s = match interrupted || saturated {
        true => measured
            .costs
            .iter()
            .map(|it| it.wall_ms / 1000.0)
            .fold(0.0, f64::max),
        false => end_s,
    };
    let window_s = (ran_s - workload.warm_up_s).max(0.001);
    let group = |name: &str, of: &dyn Fn(&Key) -> bool| group_of(name, &recorder.sum(of), window_s);
    let class = |(place, class): (usize, &Class)| {
        let cell = recorder.sum(|key| key.class == place);
        with_histograms(group_of(&class.class, &cell, window_s), &cell)
    };
    let stages = match workload.arrival.stage_count() {
        1 => Vec::new(),
        count => (0..count)
            .map(|stage| {
                let name = workload.arrival.stage_name(stage);
                group(&name, &|key| key.stage == stage)
            })
            // Few sessions may have got that far.
            .filter(|group| group.requests > 0 || !workload.arrival.holds_sessions())
            .collect(),
    };
    let slos = workload.judged();
    let slos = slos.iter().map(|slo| {
        let about = |key: &Key| slo.is_about(&workload.mix[key.class].class);
        let mut judged = judge(slo, &recorder.sum(about));
        // Less load than the workload asks for shows nothing about that load.
        if judged.verdict == Verdict::Pass && workers.iter().any(|it| it.lost.is_some()) {
            judged.verdict = Verdict::Invalid;
        }
        judged
    });
    let client = client_of(measured);
    let pause = machine::longest_pause(measured.start);
    let examples = recorder.examples.iter().map(|example| Example {
        kind: example.kind.to_string(),
        request: example.request,
        detail: example.detail.clone(),
    });
    let endpoint_is = |name: &str, key: &Key| {
        key.endpoint
            .is_some_and(|place| recorder.endpoints()[place] == name)
    };
    Record {
        schema: SCHEMA.to_owned(),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        started: measured.started,
        window_s,
        interrupted,
        saturated,
        seed,
        name: name.to_owned(),
        stack: stack.to_owned(),
        flaw,
        components: components.to_vec(),
        target: without_credentials(target),
        doubts: workers
            .iter()
            .filter_map(Worker::doubt)
            .chain(doubts(&client, recorder, pause))
            .chain(paused(&client, workload.arrival.users(), window_s))
            .collect(),
        slos: slos.collect(),
        formulas: Series::ALL
            .map(|it| (it.name().to_owned(), it.formula().to_owned()))
            .into(),
        total: group("all", &|_| true),
        classes: workload.mix.iter().enumerate().map(class).collect(),
        adapters: adapters(&workload, target, group, endpoint_is),
        stages,
        pools: pools(target, |endpoint| {
            group(endpoint, &|key| endpoint_is(endpoint, key))
        }),
        unattributed: recorder
            .sum(|key| {
                let name = key.endpoint.map(|place| &recorder.endpoints()[place]);
                name.is_none_or(|name| target.pool_of(name).is_none())
            })
            .requests,
        examples: examples.collect(),
        workload: without_header_values(workload),
        client,
        tokenizer,
        environment: Some(environment),
        workers,
        over_time: Some(OverTime {
            window_s: recorder.windows.length_s(),
            windows: recorder.windows.windows(),
            series: followed.series,
            unread: followed.unread,
        }),
    }
}

fn group_of(name: &str, cell: &Cell, window_s: f64) -> Group {
    let share = |part: u64, of: u64| part as f64 / of.max(1) as f64;
    let times = Series::ALL.iter().filter_map(|series| {
        let times = times_of(cell.series(*series)?, cell.never(*series))?;
        Some((series.name().to_owned(), times))
    });
    Group {
        name: name.to_owned(),
        requests: cell.requests,
        answered: cell.answered,
        failed: cell
            .failed
            .iter()
            .map(|(kind, n)| (kind.to_string(), *n))
            .collect(),
        goodput: share(cell.good, cell.requests),
        answered_per_s: cell.answered as f64 / window_s,
        input_tokens: cell.input_tokens,
        output_tokens: cell.output_tokens,
        output_tokens_per_s: cell.output_tokens as f64 / window_s,
        chunks_together: share(cell.together, cell.chunks),
        without_usage: cell.without_usage,
        asked_tokens: cell.asked_tokens,
        textless: cell.textless,
        remarks: Remark::ALL
            .into_iter()
            .map(|remark| (remark.name().to_owned(), cell.remarks[remark as usize]))
            .filter(|(_, count)| *count > 0)
            .collect(),
        times: times.collect(),
    }
}

/// The group with all recorded values.
fn with_histograms(mut group: Group, cell: &Cell) -> Group {
    for series in Series::ALL {
        let times = group.times.get_mut(series.name());
        if let (Some(times), Some(histogram)) = (times, cell.series(series)) {
            times.histogram_us = values_of(histogram);
        }
    }
    group
}

/// All recorded values, each with its count.
pub(crate) fn values_of(histogram: &Histogram<u64>) -> Vec<(u64, u64)> {
    let values = histogram.iter_recorded();
    let values = values.map(|value| (value.value_iterated_to(), value.count_at_value()));
    values.collect()
}

/// The summary of recorded times; `None` if there are none.
pub(crate) fn times_of(times_us: &Histogram<u64>, failed: u64) -> Option<Times> {
    (!times_us.is_empty()).then(|| Times {
        n: times_us.len(),
        mean_ms: times_us.mean() / 1000.0,
        min_ms: times_us.min() as f64 / 1000.0,
        max_ms: times_us.max() as f64 / 1000.0,
        percentiles: PERCENTILES
            .iter()
            .filter_map(|p| percentile(times_us, failed, *p))
            .collect(),
        histogram_us: Vec::new(),
    })
}

fn client_of(measured: &Measured) -> Client {
    let lag = &measured.recorder.lag.0;
    let late = above(lag, LATE_MS);
    let cpu_ms: f64 = measured.costs.iter().map(|cost| cost.cpu_ms).sum();
    Client {
        cores: limits::cores(),
        started_requests: measured.started_requests,
        unfinished: measured.unfinished,
        lag: times_of(lag, 0),
        late: late as f64 / lag.len().max(1) as f64,
        connect: times_of(&measured.recorder.connect.0, 0),
        threads: measured.costs.clone(),
        calibration: Calibration::last(),
        resent: measured.recorder.extra.resent,
        pauses: measured.recorder.extra.pauses,
        paused_ms: measured.recorder.extra.paused.as_secs_f64() * 1000.0,
        cpu_us_per_request: cpu_ms * 1000.0 / measured.started_requests.max(1) as f64,
    }
}

fn adapters(
    workload: &Workload,
    target: &Target,
    group: impl Fn(&str, &dyn Fn(&Key) -> bool) -> Group,
    endpoint_is: impl Fn(&str, &Key) -> bool,
) -> Vec<AdapterShare> {
    let mut shares = Vec::new();
    for (place, class) in workload.mix.iter().enumerate() {
        for (model, name) in class.adapters.iter().enumerate() {
            let own = |key: &Key| (key.class, key.model) == (place, model);
            let mut endpoints = Vec::new();
            for pool in target.pools() {
                for endpoint in pool.endpoints.iter().map(|it| &it.name) {
                    let here = group(endpoint, &|key| own(key) && endpoint_is(endpoint, key));
                    if here.requests > 0 {
                        endpoints.push(Served {
                            pool: pool.name.clone(),
                            endpoint: endpoint.clone(),
                            requests: here.requests,
                        });
                    }
                }
            }
            shares.push(AdapterShare {
                class: class.class.clone(),
                group: group(name, &own),
                endpoints,
            });
        }
    }
    shares
}

fn pools(target: &Target, endpoint: impl Fn(&str) -> Group) -> Vec<PoolShare> {
    let mut pools = Vec::new();
    for model in &target.models {
        let first = pools.len();
        for pool in &model.pools {
            let endpoints = pool.endpoints.iter().map(|it| endpoint(&it.name));
            let endpoints: Vec<Group> = endpoints.collect();
            let counts: Vec<f64> = endpoints.iter().map(|it| it.requests as f64).collect();
            pools.push(PoolShare {
                pool: pool.name.clone(),
                model: model.name.clone(),
                share: counts.iter().sum(),
                weight_share: f64::from(pool.weight) / f64::from(model.total_weight()),
                jain: jain(&counts),
                endpoints,
            });
        }
        let of_model: f64 = pools[first..].iter().map(|pool| pool.share).sum();
        for pool in &mut pools[first..] {
            pool.share /= of_model.max(1.0);
        }
        // An endpoint without any request was not asked for.
        if of_model == 0.0 {
            pools.truncate(first);
        }
    }
    pools
}

/// Jain's index of fairness; 1 where there is nothing to share.
fn jain(counts: &[f64]) -> f64 {
    let sum: f64 = counts.iter().sum();
    let squares: f64 = counts.iter().map(|count| count * count).sum();
    if squares > 0.0 {
        sum * sum / (counts.len() as f64 * squares)
    } else {
        1.0
    }
}

/// The longest time that a client may stand still: every request that is under way takes that much longer.
const PAUSE_MAX: Duration = Duration::from_millis(250);

/// Why a measurement cannot be trusted: the client was the bottleneck, or stood still for a while.
fn doubts(client: &Client, recorder: &Recorder, pause: Duration) -> Vec<String> {
    let mut doubts = Vec::new();
    if pause > PAUSE_MAX {
        doubts.push(format!(
            "{STOOD_STILL} for {:.1} s: it was suspended, or this machine is too busy",
            pause.as_secs_f64()
        ));
    }
    if client.late > LATE_MAX {
        doubts.push(format!(
            "{:.1} % of the requests left more than {LATE_MS} ms after they were due: this machine could not keep up",
            100.0 * client.late
        ));
    }
    let busy = client
        .threads
        .iter()
        .map(|it| it.cpu_ms / it.wall_ms.max(1.0));
    let busiest = busy.fold(0.0, f64::max);
    if busiest > BUSY_MAX {
        doubts.push(format!(
            "a sending thread was busy for {:.0} % of the time: answers waited to be looked at",
            100.0 * busiest
        ));
    }
    let limited = recorder
        .sum(|_| true)
        .failed
        .get(&Failure::ClientLimit)
        .copied();
    if let Some(count) = limited {
        doubts.push(format!(
            "{count} requests found no port or descriptor on this machine: see `poolproof doctor`"
        ));
    }
    doubts
}

/// The share of the users' time that they may pause: above, much less was sent than the workload asks for.
const PAUSED_MAX: f64 = 0.01;

/// Whether the users of a closed loop paused for long.
fn paused(client: &Client, users: Option<usize>, window_s: f64) -> Option<String> {
    let users_ms = users? as f64 * window_s * 1000.0;
    let share = client.paused_ms / users_ms.max(1.0);
    (share > PAUSED_MAX).then(|| {
        format!(
            "users paused {} times after failures, for {:.0} % of their time, by retry-after or in growing steps: less was sent than the workload asks for",
            client.pauses,
            100.0 * share.min(1.0)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use poolproof_records::load::Cost;

    #[test]
    fn jains_index_tells_even_from_uneven() {
        assert_eq!(jain(&[5.0, 5.0, 5.0]), 1.0);
        assert_eq!(jain(&[9.0, 0.0, 0.0]), 1.0 / 3.0);
        assert_eq!(jain(&[0.0, 0.0]), 1.0);
    }

    #[test]
    fn a_late_a_busy_and_a_suspended_client_are_doubted() {
        let client = |late, cpu_ms| Client {
            cores: 2,
            started_requests: 1,
            unfinished: 0,
            lag: None,
            late,
            connect: None,
            threads: vec![Cost {
                wall_ms: 1000.0,
                cpu_ms,
                run_queue_ms: 0.0,
            }],
            cpu_us_per_request: 0.0,
            calibration: None,
            resent: 0,
            pauses: 0,
            paused_ms: 0.0,
        };
        let recorder = Recorder::default();
        let of =
            |client: &Client, pause_s| doubts(client, &recorder, Duration::from_secs_f64(pause_s));
        assert!(of(&client(0.009, 800.0), 0.2).is_empty());
        assert_eq!(of(&client(0.02, 800.0), 0.2).len(), 1);
        assert_eq!(of(&client(0.02, 950.0), 0.2).len(), 2);
        assert!(of(&client(0.0, 0.0), 0.5)[0].contains("stood still for 0.5 s"));
    }
}
