//! What a conformance run was about, and how it was measured: stack, pools, error rates, machine.

use maud::{Markup, html};

use super::super::super::{clipped, moment};
use super::super::number::{figure, percent};
use super::super::part::{facts, machine, wide};
use poolproof_model::target::Pool;
use poolproof_records::run::Record;

/// The table of pools, and facts about the run.
pub(super) fn body(record: &Record) -> Markup {
    let steps = record.start_steps.iter();
    let steps =
        steps.map(|step| format!("{} {} s", step.name, figure(step.took_ms as f64 / 1000.0)));
    let took_s = record.saved.duration_since(record.started).as_secs_f64();
    let mut all = vec![
        ("started", moment(record.started)),
        ("took", super::super::number::duration(took_s.max(0.0))),
        (
            "poolproof",
            format!("{}, seed {}", record.tool_version, record.seed),
        ),
        (
            "error rates",
            format!(
                "a correct stack fails a whole run with probability at most {}; the smallest deviation that matters is caught with probability at least {}; split tolerance: {} points",
                record.run_alpha,
                record.power,
                record.split_tolerance * 100.0
            ),
        ),
        ("gateway", record.target.url.to_string()),
        (
            "client",
            machine(record.environment.as_ref(), record.client_cores),
        ),
        ("way", record.way().unwrap_or_default()),
        ("start of the stack", steps.collect::<Vec<_>>().join(", ")),
    ];
    all.extend(
        record
            .components
            .iter()
            .map(|it| (it.role.as_str(), it.version.clone())),
    );
    html! {
        (pools(record))
        (facts(&all))
    }
}

fn pools(record: &Record) -> Markup {
    let models = &record.target.models;
    html! {
        @if models.iter().any(|model| !model.pools.is_empty()) {
            (wide("Models and pools", html! {
                table {
                    thead { tr { th.text { "model" } th.text { "pool" } th { "weight" } th { "share" } th.text { "flow control" } th.text { "endpoints" } } }
                    tbody {
                        @for model in models {
                            @let all: u64 = model.pools.iter().map(|pool| u64::from(pool.weight)).sum();
                            @for pool in &model.pools {
                                tr {
                                    th scope="row" { bdi { (clipped(&model.name)) } }
                                    td.text { bdi { (clipped(&pool.name)) } }
                                    td { (pool.weight) }
                                    td { (percent(f64::from(pool.weight) / all.max(1) as f64)) }
                                    td.text { (match pool.flow_control { Some(true) => "on", Some(false) => "off", None => "unknown" }) }
                                    td.text.long { bdi { (endpoints(pool)) } }
                                }
                            }
                        }
                    }
                }
            }))
        }
    }
}

fn endpoints(pool: &Pool) -> String {
    let names = pool
        .endpoints
        .iter()
        .map(|endpoint| clipped(&endpoint.name));
    let names: Vec<_> = names.collect();
    if names.is_empty() {
        return "not known".to_owned();
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use poolproof_records::samples::record;

    #[test]
    fn pools_are_listed_with_their_share_of_the_model() {
        let mut record = record(&[]);
        let mut other = record.target.models[0].pools[0].clone();
        (other.name, other.weight) = ("other".to_owned(), 3);
        record.target.models[0].pools.push(other);
        let body = body(&record).into_string();
        assert!(body.contains("75 %") && body.contains("25 %"), "{body}");
        assert!(
            body.contains("not known") && body.contains("seed 1"),
            "{body}"
        );
    }
}
