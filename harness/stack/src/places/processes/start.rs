//! Starts a stack of processes or containers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use url::Url;

use super::model_server::{self, Endpoints};
use super::operator::Changing;
use super::picker::Picker;
use super::running::{Local, Stack};
use super::{kube, needed, objects};
use crate::containers::Containers;
use crate::options::Options;
use crate::parts::gie::config::known_model;
use crate::parts::{self, gateway, picker};
use crate::place::Started;
use crate::ports::Ports;
use crate::process::{Process, ProcessGroup};
use crate::programs::Programs;
use crate::progress::Progress;
use poolproof_client::evidence::served;
use poolproof_client::{self as client, Api, Client, Connections, Request};
use poolproof_model::component::Component;
use poolproof_model::parts::StackKind;
use poolproof_model::target::{PoolUrls, Target, Urls};

const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// Starts all processes. A failed start stops those already running.
pub(super) async fn start(options: &Options, progress: &mut Progress<'_>) -> Result<Started> {
    let mut local = Local::default();
    match local.start(options, progress).await {
        Ok((target, components)) => Ok(Started {
            target,
            components,
            running: Box::new(Stack::of(local)),
        }),
        Err(error) => {
            local.stop().await;
            Err(error)
        }
    }
}

impl Local {
    async fn start(
        &mut self,
        options: &Options,
        progress: &mut Progress<'_>,
    ) -> Result<(Target, Vec<Component>)> {
        let (group, folder) = ProcessGroup::in_new_folder(options.program.clone())?;
        self.folder = Some(folder);
        let needed = needed(options);
        let programs = &if options.kind == StackKind::Containers {
            Programs::images(&group, options, &needed).await?
        } else {
            Programs::files(options, &needed)?
        };
        if options.kind == StackKind::Containers {
            self.containers = Some(Containers::of(&group)?);
            progress.done("images");
        }
        let topology = &options.topology;
        let mut ports = Ports::new();
        let http = client::http(usize::MAX)?;

        let which = options.processes.kube_api;
        let kube = kube::start(which, programs, &group, &mut ports).await?;
        let kube = self.kube.insert(kube);
        progress.done("Kubernetes API");

        let with = (&group, &mut ports, &http);
        let endpoints =
            model_server::start_all(options, programs, with, &mut self.model_servers).await?;
        progress.done("model servers");

        for pool in topology.pools() {
            let ports = picker::PickerPorts::take(&mut ports)?;
            let of_pool = &endpoints[pool.name.as_str()];
            let port = ports.grpc.port();
            kube.apply(objects::of_pool(
                topology,
                pool,
                of_pool,
                port,
                parts::picker(options.parts.epp),
                options.flaw,
            ))
            .await?;
            let start = picker::Start {
                name: &format!("epp-{}", pool.name),
                programs,
                group: &group,
                ports: &ports,
                topology,
                pool,
                namespace: objects::namespace(pool),
                endpoints: of_pool,
                kubeconfig: &kube.kubeconfig,
                flaw: options.flaw,
            };
            let mut picker = Picker::new(options.parts.epp, &start)?;
            picker.start(&group).await?;
            self.pickers.push(picker);
        }
        let models = topology.models.iter();
        let models =
            models.map(|model| known_model(model, objects::MODELS_NAMESPACE, options.flaw));
        kube.apply(models.collect()).await?;
        for picker in &mut self.pickers {
            picker.ready(&http).await?;
        }
        progress.done("endpoint pickers");

        let pickers = self.pickers.iter().map(|picker| picker.address);
        let pickers: Vec<SocketAddr> = pickers.collect();
        let gateway = parts::gateway(options.parts.gateway);
        let running = gateway.start(gateway::Start {
            programs,
            group: &group,
            ports: &mut ports,
            http: &http,
            kubeconfig: &kube.kubeconfig,
            models_namespace: objects::MODELS_NAMESPACE,
            topology,
            pickers: &pickers,
            flaw: options.flaw,
            seed: options.seed,
        });
        let running = running.await?;
        self.gateway = running.processes;
        for model in &topology.models {
            first_answer(&mut self.gateway, running.address, &model.name).await?;
        }
        progress.done("gateway, to the first answer for each model");

        let mut components = vec![Component::new("kube-api", kube.version.clone())];
        if let Some(picker) = self.pickers.first() {
            let version = picker.version(options.parts.epp, programs, &http).await;
            components.push(Component::new("epp", version));
        }
        let server = parts::model_server(options.parts.model_server).version(programs)?;
        components.push(Component::new("model-server", server));
        let of_gateway = running.versions.into_iter();
        components.extend(of_gateway.map(|(role, version)| Component::new(role, version)));
        let metrics = self.pickers.iter().map(|picker| picker.metrics.clone());
        let target = target(options, running.address, metrics, &endpoints)?;
        self.changing = Some(Changing {
            topology: topology.clone(),
            parts: options.parts,
            flaw: options.flaw,
            control: running.control,
            group,
            http,
        });
        Ok((target, components))
    }
}

/// Waits until an endpoint answers a request for a model: a gateway may listen before it knows its models.
async fn first_answer(gateway: &mut [Process], address: SocketAddr, model: &str) -> Result<()> {
    let url = format!("http://{address}").parse()?;
    let client = Client::new("first", &url, Connections::NewPerRequest, Arc::default())?;
    let served = || {
        let request = Request::new(Api::Completions, model, 1, &mut rand::rng());
        async {
            let exchange = client.send(request).await;
            served::is_by_an_endpoint(&exchange).then_some(())
        }
    };
    match gateway {
        [process, ..] => {
            let what = format!("answer for model {model}");
            process.wait_for(&what, READY_TIMEOUT, served).await
        }
        [] => Ok(()),
    }
}

fn target(
    options: &Options,
    gateway: SocketAddr,
    metrics: impl Iterator<Item = Url>,
    endpoints: &Endpoints<'_>,
) -> Result<Target> {
    let pools = options.topology.pools().zip(metrics);
    let pools = pools.map(|(pool, epp_metrics)| {
        let endpoints = endpoints[pool.name.as_str()].iter();
        let endpoints = endpoints.map(|(_, address)| Ok(format!("http://{address}").parse()?));
        Ok(PoolUrls {
            epp_metrics,
            endpoints: endpoints.collect::<Result<_>>()?,
        })
    });
    let urls = Urls {
        gateway: format!("http://{gateway}").parse()?,
        pools: pools.collect::<Result<_>>()?,
    };
    let mut target = parts::target(&options.topology, options.parts, urls)?;
    target.name = format!("{} ({})", options.kind, options.parts.gateway);
    Ok(target)
}
