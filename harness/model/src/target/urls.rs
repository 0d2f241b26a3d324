//! The target of a stack that was built from a topology, by its addresses.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use url::Url;

use super::{BODY_LIMIT_BYTES, Endpoint, Model, Pool, SESSION_HEADER, Target};
use crate::change::{Changes, Kind};
use crate::topology::{self, Topology};

/// The addresses of a stack that was built from a topology.
#[derive(Clone, Debug)]
pub struct Urls {
    /// The gateway.
    pub gateway: Url,
    /// The pools, in the order of the topology.
    pub pools: Vec<PoolUrls>,
}

/// The addresses of a pool.
#[derive(Clone, Debug)]
pub struct PoolUrls {
    /// The `/metrics` of the endpoint picker.
    pub epp_metrics: Url,
    /// The model servers, in the order of their names.
    pub endpoints: Vec<Url>,
}

impl Urls {
    /// Unreachable addresses, for planning.
    pub fn nowhere(topology: &Topology) -> Result<Self> {
        let nowhere = Url::parse("http://127.0.0.1:9")?;
        let pools = topology.pools().map(|pool| PoolUrls {
            epp_metrics: nowhere.clone(),
            endpoints: vec![nowhere.clone(); pool.endpoints],
        });
        Ok(Self {
            pools: pools.collect(),
            gateway: nowhere,
        })
    }
}

impl Target {
    /// The target of a stack that was built from a topology. It has the topology's name and accepts no changes.
    /// `control_path` is the path of the control API of model servers, if they have one.
    pub fn of_topology(
        topology: &Topology,
        urls: Urls,
        body_limit_bytes: Option<usize>,
        control_path: Option<&str>,
    ) -> Result<Self> {
        let mut urls_of_pools = urls.pools.into_iter();
        let mut pool = |pool: &topology::Pool| {
            let urls = urls_of_pools.next();
            let urls = urls.with_context(|| format!("pool {:?} has no addresses", pool.name))?;
            let endpoints = pool.endpoint_names().zip(urls.endpoints);
            let endpoints = endpoints.map(|(name, url)| {
                let control = control_path.map(|path| url.join(path)).transpose()?;
                Ok(Endpoint {
                    name,
                    url: Some(url),
                    control,
                })
            });
            Ok(Pool {
                name: pool.name.clone(),
                weight: pool.weight,
                epp_metrics: Some(urls.epp_metrics),
                flow_control: Some(pool.flow_control),
                fair_flows: Some(pool.flow_control),
                // Every picker that a stack of ours starts has GIE's default scorers.
                prefix_affinity: Some(true),
                session_header: pool.session_affinity.then(|| SESSION_HEADER.to_owned()),
                held_ttl_ms: pool.flow_control.then_some(pool.held_ttl_ms),
                max_in_flight: pool.max_in_flight.filter(|_| pool.flow_control),
                held_max: if pool.flow_control {
                    pool.held_max.clone()
                } else {
                    BTreeMap::new()
                },
                endpoints: endpoints.collect::<Result<_>>()?,
            })
        };
        let models = topology.models.iter().map(|model| {
            Ok(Model {
                name: model.name.clone(),
                adapters: model.adapters.clone(),
                request_timeout_ms: model.request_timeout_ms,
                rewrites: model.rewrites.clone(),
                pools: model.pools.iter().map(&mut pool).collect::<Result<_>>()?,
            })
        });
        Ok(Self {
            models: models.collect::<Result<_>>()?,
            body_limit_bytes,
            objectives: topology.objectives.clone(),
            ..Self::at(topology.name.clone(), urls.gateway)
        })
    }

    /// A target for planning, as a stack of reference parts would have it. Its addresses are unreachable.
    pub fn planned(topology: &Topology) -> Result<Self> {
        let urls = Urls::nowhere(topology)?;
        let changes = Changes {
            url: urls.gateway.clone(),
            kinds: Kind::ALL.into(),
        };
        let limit = Some(BODY_LIMIT_BYTES);
        let mut target = Self::of_topology(topology, urls, limit, Some("/poolproof"))?;
        target.changes = Some(changes);
        Ok(target)
    }
}
