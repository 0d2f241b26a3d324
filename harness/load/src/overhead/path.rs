//! The path past the gateway: the endpoints of the one pool that all requests of a workload go to.

use anyhow::{Context, Result, bail, ensure};
use url::Url;

use poolproof_model::target::{Pool, Target};
use poolproof_model::workload::Workload;

/// The pool that all requests of a workload go to.
pub(super) fn pool_of<'a>(workload: &Workload, target: &'a Target) -> Result<&'a Pool> {
    let first = target.models.first().context("the target has no model")?;
    let mut models = workload
        .mix
        .iter()
        .map(|class| class.model.as_deref().unwrap_or(&first.name));
    let name = models.next().unwrap_or(&first.name);
    ensure!(
        models.all(|model| model == name),
        "the workload's classes use several models: gateway and round robin must reach the same endpoints"
    );
    let model = target.models.iter().find(|model| model.name == name);
    let model = model.with_context(|| format!("the target does not have model {name:?}"))?;
    let mut pools = model.weighted_pools();
    match (pools.next(), pools.next()) {
        (Some(pool), None) => Ok(pool),
        _ => bail!(
            "model {name:?} is split over several pools: gateway and round robin must reach the same endpoints"
        ),
    }
}

/// The addresses of the endpoints of a pool.
pub(super) fn urls(pool: &Pool) -> Result<Vec<Url>> {
    let urls = pool.endpoints.iter().map(|endpoint| endpoint.url.clone());
    let urls: Option<Vec<Url>> = urls.collect();
    let urls = urls.filter(|urls| !urls.is_empty());
    urls.with_context(|| {
        format!(
            "pool {:?}: an endpoint has no `url`, which is needed to bypass the gateway",
            pool.name
        )
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use poolproof_model::topology::Topology;

    fn workload(models: &[&str]) -> Workload {
        let mix = models.iter().enumerate().map(|(number, model)| {
            format!("[[mix]]\nclass = 'c{number}'\nmodel = '{model}'\ninput_tokens = 1\noutput_tokens = 1\n")
        });
        let head =
            "shows = 'x'\nduration_s = 1\narrival = { process = 'poisson', rate_per_s = 1 }\n";
        toml::from_str(&(head.to_owned() + &mix.collect::<String>())).unwrap()
    }

    #[test]
    fn a_workload_of_one_model_with_one_pool_has_a_path_and_others_are_refused() {
        let target = Target::planned(&Topology::default()).unwrap();
        let pool = pool_of(&workload(&["model-a", "model-a"]), &target).unwrap();
        assert_eq!(pool.name, "model-a");
        for (models, named) in [
            (&["model-a", "model-b"][..], "several models"),
            (&["model-b"], "several pools"),
            (&["gpt"], "does not have model \"gpt\""),
        ] {
            let message = pool_of(&workload(models), &target).unwrap_err().to_string();
            assert!(message.contains(named), "{message}");
        }
    }

    #[test]
    fn a_pool_with_an_endpoint_without_url_is_refused_by_name() {
        let mut target = Target::planned(&Topology::default()).unwrap();
        let pool = &mut target.models[0].pools[0];
        for (number, endpoint) in pool.endpoints.iter_mut().enumerate() {
            endpoint.url = Some(format!("http://127.0.0.1:{}", number + 1).parse().unwrap());
        }
        assert_eq!(urls(pool).unwrap().len(), pool.endpoints.len());
        pool.endpoints[1].url = None;
        let message = urls(pool).unwrap_err().to_string();
        assert!(message.contains("pool \"model-a\""), "{message}");
    }
}
