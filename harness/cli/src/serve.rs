//! `poolproof serve`: one component of a stack as a separate process.

mod epp;
mod gateway;
mod model_server;
mod stub;

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::Context;
use clap::Subcommand;
use poolproof_fixtures::epp::EndpointPicker;
use poolproof_fixtures::gateway::Gateway;
use poolproof_fixtures::model_server::ModelServer;
use poolproof_fixtures::stub::Stub;

use super::{App, Exit, Failure, stop_on_signal};
use poolproof_cases::inside;
use poolproof_load::workers;

#[derive(Debug, Subcommand)]
pub(super) enum Component {
    /// A model server that behaves like vLLM
    ModelServer(model_server::Args),
    /// An endpoint picker that behaves like the one of the Gateway API Inference Extension
    Epp(epp::Args),
    /// A gateway that routes by model name, splits by weight and asks endpoint pickers
    Gateway(gateway::Args),
    /// A server that answers immediately, to measure clients
    Stub(stub::Args),
    /// A worker of `poolproof load --workers` or `run --inside`, controlled over HTTP
    #[command(hide = true)]
    Worker(WorkerArgs),
}

/// Listen address of a worker.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct WorkerArgs {
    /// Listen address; must be a loopback address, since anyone who can connect can make the worker send traffic
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

pub(super) async fn serve(app: App, component: Component) -> Result<Exit, Failure> {
    let stop = stop_on_signal()?;
    match component {
        Component::ModelServer(args) => {
            let config = args.into_config().map_err(Failure::usage)?;
            let server = ModelServer::start(config).await.map_err(Failure::usage)?;
            println!("listening on {}", server.address());
            stop.cancelled().await;
            server.drain(model_server::GRACE_PERIOD).await;
        }
        Component::Epp(args) => {
            let config = args.into_config().map_err(Failure::usage)?;
            let picker = EndpointPicker::start(config)
                .await
                .map_err(Failure::usage)?;
            println!("listening on {}", picker.address());
            println!("metrics on {}", picker.metrics_address());
            stop.cancelled().await;
            picker.stop().await;
        }
        Component::Gateway(args) => {
            let config = args.into_config().map_err(Failure::usage)?;
            let gateway = Gateway::start(config).await.map_err(Failure::usage)?;
            println!("listening on {}", gateway.address());
            println!("management on {}", gateway.management_address());
            stop.cancelled().await;
            gateway.stop().await;
        }
        Component::Stub(args) => {
            let log = args.log.clone();
            let config = args.into_config().map_err(Failure::usage)?;
            let stub = Stub::bind(config).map_err(Failure::usage)?;
            println!("listening on {}", stub.address()?);
            match log {
                None => drop(stub.serve(stop).await?),
                Some(log) => {
                    let start = Instant::now();
                    let answers = stub.recording().serve(stop).await?;
                    stub::write_log(&log, answers, start)?;
                }
            }
        }
        Component::Worker(args) => {
            let worker = workers::Server::bind(args.listen)
                .await
                .context("--listen")
                .map_err(Failure::usage)?;
            println!("listening on {}", worker.address()?);
            worker.serve(inside::routes(app.suites), stop).await?;
        }
    }
    Ok(Exit::Passed)
}
