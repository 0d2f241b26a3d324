//! The embedded stack: stand-ins for every component, in this process, on loopback sockets.

mod operator;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kube::{Client, Config};
use poolproof_fixtures::epp::{self, EndpointPicker};
use poolproof_fixtures::flaw::{Component as Flawed, Flaw};
use poolproof_fixtures::gateway::{self, FailureMode, Gateway, Route};
use poolproof_fixtures::kube_api::KubeApi;
use poolproof_fixtures::model_server::{self, ModelServer};
use tokio::net::TcpSocket;
use tokio::runtime::Runtime;
use tokio::sync::Mutex;
use url::Url;

use crate::kubernetes::Cluster;
use crate::options::Options;
use crate::parts::gie::config::LORA_AFFINITY_WEIGHT;
use crate::parts::{self, flaws};
use crate::place::{self, Running, Started};
use crate::progress::Progress;
use crate::statuses::Objects;
use poolproof_model::change::Kind;
use poolproof_model::component::Component;
use poolproof_model::parts::{Parts, StackKind};
use poolproof_model::target::{BODY_LIMIT_BYTES, PoolUrls, Target, Urls};
use poolproof_model::topology::{Model, Pool, Topology};
use poolproof_records::limits;

use operator::Operator;

/// The open files of a stack and its client: cases that hold hundreds of requests have 965 at most, a socket at every hop. With fewer, a
/// stand-in would refuse connections, and look like a gateway that fails.
pub const OPEN_FILES: u64 = 1_280;
/// Picks follow a change of load within a few of these intervals; cases wait for four.
const SCRAPE_INTERVAL: Duration = Duration::from_millis(20);
/// The GatewayClass of the stand-in controller.
const CLASS: &str = "poolproof";
const READY_TIMEOUT: Duration = Duration::from_secs(10);
/// Longer than a picker holds a request.
const GATEWAY_EPP_TIMEOUT: Duration = Duration::from_secs(120);

/// Sockets of this process.
pub(super) struct Place;

impl place::Place for Place {
    fn check(&self, options: &Options) -> Result<()> {
        flaws::check(options.kind, options.parts, options.flaw)
    }

    fn kinds_of_changes(&self, _parts: Parts) -> Vec<Kind> {
        Kind::ALL.into()
    }

    fn start<'a>(
        &self,
        options: &'a Options,
        progress: &'a mut Progress<'_>,
    ) -> BoxFuture<'a, Result<Started>> {
        start(options, progress).boxed()
    }

    fn names_endpoints(&self) -> bool {
        true
    }

    fn has_statuses(&self, _parts: Parts) -> bool {
        true
    }
}

/// The servers of a running embedded stack. They run on their own threads, so they share only sockets with the client.
struct Embedded {
    runtime: Option<Runtime>,
    servers: Arc<Mutex<Servers>>,
    kube_api: Option<SocketAddr>,
}

#[derive(Default)]
struct Servers {
    gateway: Option<Gateway>,
    pickers: Vec<Part<epp::Config, EndpointPicker>>,
    model_servers: Vec<Part<model_server::Config, ModelServer>>,
    /// The first addresses of the endpoints that have moved, by name.
    moved: BTreeMap<String, Home>,
    /// A Kubernetes API with a controller of Gateways.
    kube_api: Option<KubeApi>,
}

/// The address that a moved endpoint has left. It stays bound, so that nothing else answers there.
struct Home {
    address: SocketAddr,
    _held: Vec<TcpSocket>,
}

/// A server, and how to restart it at the same address.
struct Part<C, S> {
    config: C,
    state: State<S>,
}

enum State<S> {
    Up(S),
    /// A stopped server's addresses stay bound, so that no other process takes them.
    Down(Vec<TcpSocket>),
}

impl<S> State<S> {
    fn up(&self) -> Option<&S> {
        match self {
            Self::Up(server) => Some(server),
            Self::Down(_) => None,
        }
    }

    /// Takes the running server out, and leaves the entry stopped with no address bound.
    fn take(&mut self) -> Self {
        std::mem::replace(self, Self::Down(Vec::new()))
    }
}

/// Starts all servers.
async fn start(options: &Options, progress: &mut Progress<'_>) -> Result<Started> {
    limits::check_files(OPEN_FILES, "an embedded stack")?;
    // The client gets the other half. With one thread per processor, threads are woken more often than requests are
    // served.
    let threads = limits::cores().div_ceil(2);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("fixtures")
        .enable_all()
        .build()
        .context("starting the threads of the embedded stack")?;
    let (topology, flaw, seed) = (options.topology.clone(), options.flaw, options.seed);
    let started = runtime.spawn(async move {
        let mut servers = Servers::default();
        let target = servers.start(&topology, flaw, seed).await?;
        anyhow::Ok((servers, target))
    });
    // Shuts the threads down if this start fails or is abandoned, too.
    let mut embedded = Embedded {
        runtime: Some(runtime),
        servers: Arc::default(),
        kube_api: None,
    };
    let (servers, target) = started.await.context("starting the embedded stack")??;
    embedded.kube_api = servers.kube_api.as_ref().map(KubeApi::address);
    *embedded.servers.lock().await = servers;
    progress.done("gateway, endpoint pickers and model servers");
    let version = format!("poolproof fixture {}", env!("CARGO_PKG_VERSION"));
    let components = ["gateway", "epp", "model-server"];
    let components = components.map(|role| Component::new(role, version.as_str()));
    Ok(Started {
        target,
        components: components.into(),
        running: Box::new(embedded),
    })
}

impl Running for Embedded {
    fn operator(&self) -> Option<Arc<dyn place::Operator>> {
        let threads = self.runtime.as_ref()?.handle().clone();
        Some(Arc::new(Operator::new(self.servers.clone(), threads)))
    }

    fn objects(&self) -> Result<Option<Objects>> {
        let Some(address) = self.kube_api else {
            return Ok(None);
        };
        let config = Config::new(format!("http://{address}").parse()?);
        let client = Client::try_from(config).context("client of the Kubernetes API")?;
        Ok(Some(Objects::new(Cluster::new(client), CLASS, CLASS)))
    }

    fn stop(self: Box<Self>) -> BoxFuture<'static, ()> {
        async move {
            let servers = std::mem::take(&mut *self.servers.lock().await);
            if let Some(runtime) = &self.runtime {
                // The panic hook has already printed it.
                let _ = runtime.spawn(servers.stop()).await;
            }
        }
        .boxed()
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Async code must not block on threads; none of them holds a resource.
            runtime.shutdown_background();
        }
    }
}

impl Servers {
    async fn start(
        &mut self,
        topology: &Topology,
        flaw: Option<Flaw>,
        seed: u64,
    ) -> Result<Target> {
        let mut pools = Vec::new();
        let mut routes = Vec::new();
        for model in &topology.models {
            let mut backends = Vec::new();
            for pool in &model.pools {
                let endpoints = self.start_model_servers(model, pool).await?;
                let (backend, metrics) = self
                    .start_picker(topology, (model, pool), &endpoints, flaw, seed)
                    .await?;
                let endpoints = endpoints.iter().map(|endpoint| url(endpoint.address, ""));
                pools.push(PoolUrls {
                    epp_metrics: url(metrics, "/metrics")?,
                    endpoints: endpoints.collect::<Result<_>>()?,
                });
                backends.push(backend);
            }
            routes.push(Route {
                model: model.name.clone(),
                adapters: model.routed_names().cloned().collect(),
                timeout: model.request_timeout_ms.map(Duration::from_millis),
                pools: backends,
            });
        }
        let gateway = Gateway::start(gateway::Config {
            listen: any_port(),
            management_listen: any_port(),
            routes,
            body_limit_bytes: BODY_LIMIT_BYTES,
            epp_timeout: GATEWAY_EPP_TIMEOUT,
            seed,
            flaw: flaw.filter(|flaw| flaw.component() == Flawed::Gateway),
        })
        .await?;
        let address = gateway.address();
        self.gateway = Some(gateway);
        let flaw = flaw.filter(|flaw| flaw.component() == Flawed::Controller);
        self.kube_api = Some(KubeApi::start_controlled(any_port(), CLASS, flaw).await?);
        for picker in self.pickers.iter().filter_map(|picker| picker.state.up()) {
            picker.ready(READY_TIMEOUT).await?;
        }
        let urls = Urls {
            gateway: url(address, "")?,
            pools,
        };
        let parts = Parts::default_of(StackKind::Embedded);
        let mut target = parts::target(topology, parts, urls)?;
        target.name = StackKind::Embedded.to_string();
        Ok(target)
    }

    async fn start_model_servers(
        &mut self,
        model: &Model,
        pool: &Pool,
    ) -> Result<Vec<epp::Endpoint>> {
        let mut endpoints = Vec::new();
        for name in pool.endpoint_names() {
            let mut config = model_server::Config {
                listen: any_port(),
                name: name.clone(),
                namespace: "default".to_owned(),
                models: model.served_names().cloned().collect(),
                adapters: model.adapters.clone(),
                settings: model_server::Settings {
                    max_loras: model.max_loras,
                    ..model_server::Settings::default()
                },
            };
            let server = ModelServer::start(config.clone()).await?;
            config.listen = server.address();
            endpoints.push(epp::Endpoint {
                name,
                address: server.address(),
                host: None,
            });
            self.model_servers.push(Part {
                config,
                state: State::Up(server),
            });
        }
        Ok(endpoints)
    }

    async fn start_picker(
        &mut self,
        topology: &Topology,
        (model, pool): (&Model, &Pool),
        endpoints: &[epp::Endpoint],
        flaw: Option<Flaw>,
        seed: u64,
    ) -> Result<(gateway::Pool, SocketAddr)> {
        let mut config = epp::Config::new(pool.name.as_str(), endpoints.to_vec());
        config.objectives = topology.objectives.clone();
        config.rewrites = model.rewrites.clone();
        config.session_affinity = pool.session_affinity;
        config.scrape.interval = SCRAPE_INTERVAL;
        if pool.lora_affinity {
            config.weights.lora_affinity = LORA_AFFINITY_WEIGHT.into();
        }
        config.flow_control = pool.flow_control.then(|| epp::FlowControl {
            round_robin: true,
            ttl: Some(Duration::from_millis(pool.held_ttl_ms)),
            max_requests: pool.held_max_by_priority(&topology.objectives),
            ..epp::FlowControl::default()
        });
        config.saturation.max_in_flight = pool.max_in_flight.filter(|_| pool.flow_control);
        config.seed = seed.wrapping_add(self.pickers.len() as u64);
        config.flaw = flaw.filter(|flaw| flaw.component() == Flawed::EndpointPicker);
        let picker = EndpointPicker::start(config.clone())
            .await
            .with_context(|| format!("endpoint picker of pool {}", pool.name))?;
        let epp = picker.address();
        let metrics = picker.metrics_address();
        (config.listen, config.metrics_listen) = (epp, metrics);
        self.pickers.push(Part {
            config,
            state: State::Up(picker),
        });
        let pool = gateway::Pool {
            name: pool.name.clone(),
            weight: pool.weight,
            epp: epp.into(),
            failure_mode: FailureMode::FailClose,
        };
        Ok((pool, metrics))
    }

    /// Stops all servers, the client's side first.
    async fn stop(self) {
        if let Some(gateway) = self.gateway {
            gateway.stop().await;
        }
        for picker in self.pickers {
            if let State::Up(picker) = picker.state {
                picker.stop().await;
            }
        }
        for server in self.model_servers {
            if let State::Up(server) = server.state {
                server.stop().await;
            }
        }
        // Its connections are those of this process, which keeps them alive.
        drop(self.kube_api);
    }
}

fn any_port() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

fn url(address: SocketAddr, path: &str) -> Result<Url> {
    Ok(Url::parse(&format!("http://{address}{path}"))?)
}
