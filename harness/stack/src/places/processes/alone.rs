//! An endpoint picker by itself: no gateway, and a single model server that stands for any number of endpoints.
//!
//! Every address of 127.0.0.0/8 is this machine on Linux, so that one server on several of them is as many endpoints as are wanted, each
//! with an address and metrics of its own to scrape. It listens on no other address: no other machine reaches it. The picker is started
//! as on stack `local`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context, Result, ensure};
use poolproof_fixtures::model_server::{Config, ModelServer, Settings};
use serde_json::{Value, json};

use super::kube::{self, Kube};
use super::objects::{self, Standing};
use super::picker::Picker;
use crate::parts::picker::PickerPart;
use crate::parts::{self, picker};
use crate::ports::Ports;
use crate::process::{Folder, ProcessGroup};
use crate::programs::Programs;
use crate::{Options, StartError};
use poolproof_client as client;
use poolproof_model::parts::KubeApi;
use poolproof_model::topology::{Model, Pool, Topology};
use poolproof_records::limits;

/// The model of its pool.
pub const MODEL: &str = "model-a";
/// The name of its pool.
const POOL: &str = "picked";
/// The most endpoints: the last two bytes of an address.
pub const ENDPOINTS_MAX: usize = 10_000;

/// A running endpoint picker.
pub struct PickerAlone {
    /// Its ext_proc address.
    pub address: SocketAddr,
    /// Its process.
    pub process: Option<u32>,
    /// Its name and version.
    pub version: String,
    picker: Picker,
    kube: Kube,
    server: ModelServer,
    _folder: Folder,
}

impl PickerAlone {
    /// Starts the picker of the options with this many endpoints, and waits until it has metrics of all.
    pub async fn start(options: &Options, endpoints: usize) -> Result<Self, StartError> {
        let started = start(options, endpoints).await;
        started.map_err(StartError::Unavailable)
    }

    /// Stops it.
    pub async fn stop(mut self) {
        self.picker.stop().await;
        self.kube.stop().await;
        self.server.stop().await;
    }
}

async fn start(options: &Options, endpoints: usize) -> Result<PickerAlone> {
    ensure!(
        (1..=ENDPOINTS_MAX).contains(&endpoints),
        "{endpoints} endpoints: must be 1 to {ENDPOINTS_MAX}"
    );
    let which = options.parts.epp;
    let part = parts::picker(which);
    let programs = Programs::files(options, part.programs())?;
    let (group, folder) = ProcessGroup::in_new_folder(options.program.clone())?;
    let mut ports = Ports::new();
    let http = client::http(usize::MAX)?;
    // A listener and a connection for each.
    limits::check_connections(2 * endpoints, endpoints)?;
    let config = Config {
        listen: SocketAddr::from((address(0), 0)),
        name: POOL.to_owned(),
        namespace: POOL.to_owned(),
        models: vec![MODEL.to_owned()],
        adapters: Vec::new(),
        settings: Settings::default(),
    };
    let others = (1..endpoints).map(|number| IpAddr::from(address(number)));
    let server = ModelServer::start_on(config, others).await?;
    let port = server.address().port();
    let topology = topology(endpoints);
    let pool = topology.pools().next().context("the pool")?;
    let addresses = pool
        .endpoint_names()
        .enumerate()
        .map(|(number, name)| (name, SocketAddr::from((address(number), port))));
    let addresses: Vec<(String, SocketAddr)> = addresses.collect();
    let kube = kube::start(KubeApi::StandIn, &programs, &group, &mut ports).await?;
    let ports = picker::PickerPorts::take(&mut ports)?;
    let objects = objects_of(&topology, pool, &addresses, ports.grpc.port(), part);
    kube.apply(objects).await?;
    let start = picker::Start {
        name: "epp",
        programs: &programs,
        group: &group,
        ports: &ports,
        topology: &topology,
        pool,
        namespace: objects::namespace(pool),
        endpoints: &addresses,
        kubeconfig: &kube.kubeconfig,
        flaw: options.flaw,
    };
    let mut picker = Picker::new(which, &start)?;
    picker.start(&group).await?;
    picker.ready(&http).await?;
    Ok(PickerAlone {
        address: picker.address,
        process: picker.process_id(),
        version: picker.version(which, &programs, &http).await,
        picker,
        kube,
        server,
        _folder: folder,
    })
}

fn topology(endpoints: usize) -> Topology {
    let mut topology = Topology {
        objectives: std::collections::BTreeMap::new(),
        ..Topology::default()
    };
    let pool = topology
        .models
        .first()
        .and_then(|model| model.pools.first());
    let pool = pool.map(|pool| Pool {
        name: POOL.to_owned(),
        weight: 100,
        endpoints,
        // GIE's default. With it, picks would wait for endpoints, which is not the work of the picker.
        flow_control: false,
        held_max: std::collections::BTreeMap::new(),
        ..pool.clone()
    });
    topology.models.truncate(1);
    for model in &mut topology.models {
        *model = Model {
            name: MODEL.to_owned(),
            pools: pool.clone().into_iter().collect(),
            ..model.clone()
        };
    }
    topology
}

/// The address of an endpoint: 127.1.0.1 and those after it.
fn address(number: usize) -> Ipv4Addr {
    let number = number + 1;
    Ipv4Addr::new(127, 1, (number >> 8) as u8, (number & 0xff) as u8)
}

/// The objects of the pool. All endpoints have one port, since each has an address of its own.
fn objects_of(
    topology: &Topology,
    pool: &Pool,
    endpoints: &[(String, SocketAddr)],
    epp_port: u16,
    part: &dyn PickerPart,
) -> Vec<Value> {
    let mut all = objects::of_pool(topology, pool, &[], epp_port, part, None);
    let port = endpoints.first().map_or(0, |(_, address)| address.port());
    for object in all.iter_mut().filter(|it| it["kind"] == "InferencePool") {
        object["spec"]["targetPorts"] = json!([{"number": port}]);
    }
    all.extend(
        endpoints
            .iter()
            .map(|(name, address)| objects::pod(pool, name, *address, Standing::Ready)),
    );
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use poolproof_model::parts::EndpointPicker;

    #[test]
    fn every_endpoint_has_an_address_of_its_own_and_the_pool_one_port() {
        let all: std::collections::BTreeSet<Ipv4Addr> = (0..ENDPOINTS_MAX).map(address).collect();
        assert_eq!(all.len(), ENDPOINTS_MAX);
        let topology = topology(100);
        let pools: Vec<&Pool> = topology.pools().collect();
        assert_eq!((pools.len(), pools[0].endpoints), (1, 100));
        let endpoints: Vec<_> = pools[0]
            .endpoint_names()
            .enumerate()
            .map(|(number, name)| (name, SocketAddr::from((address(number), 8000))))
            .collect();
        let part = parts::picker(EndpointPicker::Gie);
        let objects = objects_of(&topology, pools[0], &endpoints, 9002, part);
        let pods = objects.iter().filter(|object| object["kind"] == "Pod");
        assert_eq!(pods.count(), 100);
        assert_eq!(objects[0]["spec"]["targetPorts"], json!([{"number": 8000}]));
    }
}
