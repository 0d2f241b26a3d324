//! kube-apiserver and etcd, without a kubelet: objects are validated by their schemas, and nothing runs.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Client, Config};
use serde_json::{Value, json};

use crate::kubernetes::api::value;
use crate::kubernetes::{Cluster, crds, text};
use crate::ports::Ports;
use crate::process::{Process, ProcessGroup, write};
use crate::programs::{CRDS, Get, Program, Programs};

/// Measured cold on two cores, beside other builds: eight seconds.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
const USER: &str = "poolproof";

const KUBE_APISERVER: Program = Program {
    name: "kube-apiserver",
    in_image: "/usr/local/bin/kube-apiserver",
    needed_for: "--kube-api real",
    get: Get::By("ci/upstream/build --kube-api, or --kube-api stand-in"),
};
const ETCD: Program = Program {
    name: "etcd",
    in_image: "/usr/local/bin/etcd",
    needed_for: "--kube-api real",
    get: Get::By("sudo apt-get install etcd-server, or --kube-api stand-in"),
};
/// The programs it consists of.
pub(super) const PROGRAMS: &[Program] = &[KUBE_APISERVER, ETCD, CRDS];

/// Running kube-apiserver and etcd.
pub(super) struct Server {
    etcd: Process,
    apiserver: Process,
    cluster: Cluster,
    address: SocketAddr,
    token: String,
    pub(super) version: String,
}

/// Starts both, and installs the CRDs of the Gateway API Inference Extension.
pub(super) async fn start(
    programs: &Programs,
    group: &ProcessGroup,
    ports: &mut Ports,
) -> Result<Server> {
    let (etcd_client, etcd_peer) = (ports.take()?, ports.take()?);
    let etcd = start_etcd(programs, group, etcd_client, etcd_peer).await?;
    let address = ports.take()?;
    let token = format!("{:032x}", rand::random::<u128>());
    let apiserver = start_apiserver(programs, group, etcd_client, address, &token).await?;

    let mut config = Config::new(format!("https://{address}").parse()?);
    // Its certificate is self-signed at this start; the token is a secret shared only with it.
    config.accept_invalid_certs = true;
    config.auth_info.token = Some(token.clone().into());
    let client = Client::try_from(config).context("client of kube-apiserver")?;
    let version = programs.version(&KUBE_APISERVER, "--version")?;
    let mut server = Server {
        etcd,
        apiserver,
        cluster: Cluster::new(client),
        address,
        token,
        version: format!(
            "kube-apiserver:{version}{}",
            programs.origin(&KUBE_APISERVER)
        ),
    };
    server.ready().await?;
    for file in programs.definitions()? {
        crds::apply(&server.cluster, &file).await?;
    }
    Ok(server)
}

async fn start_etcd(
    programs: &Programs,
    group: &ProcessGroup,
    client: SocketAddr,
    peer: SocketAddr,
) -> Result<Process> {
    let (client, peer) = (format!("http://{client}"), format!("http://{peer}"));
    let mut launch = programs.launch(&ETCD)?;
    launch
        .command
        .arg("--data-dir")
        .arg(group.logs.join("etcd"))
        .args([
            "--listen-client-urls",
            &client,
            "--advertise-client-urls",
            &client,
        ])
        .args([
            "--listen-peer-urls",
            &peer,
            "--initial-advertise-peer-urls",
            &peer,
        ])
        .args(["--initial-cluster", &format!("default={peer}")]);
    group.launch("etcd", &launch).await
}

async fn start_apiserver(
    programs: &Programs,
    group: &ProcessGroup,
    etcd: SocketAddr,
    address: SocketAddr,
    token: &str,
) -> Result<Process> {
    let tokens = group.logs.join("tokens.csv");
    write(&tokens, &format!("{token},{USER},{USER}\n"))?;
    let (private, public) = (
        group.logs.join("service-accounts.key"),
        group.logs.join("service-accounts.pub"),
    );
    let pair = rcgen::KeyPair::generate().context("a key for service accounts")?;
    write(&private, &pair.serialize_pem())?;
    write(&public, &pair.public_key_pem())?;
    let mut launch = programs.launch(&KUBE_APISERVER)?;
    launch
        .command
        .arg(format!("--etcd-servers=http://{etcd}"))
        .arg(format!("--bind-address={}", address.ip()))
        .arg(format!("--secure-port={}", address.port()))
        .arg(format!("--cert-dir={}", group.logs.join("certs").display()))
        .arg(format!("--token-auth-file={}", tokens.display()))
        .arg(format!("--service-account-key-file={}", public.display()))
        .arg(format!(
            "--service-account-signing-key-file={}",
            private.display()
        ))
        .arg("--service-account-issuer=https://kubernetes.default.svc")
        .arg("--service-cluster-ip-range=10.0.0.0/24")
        .arg("--authorization-mode=AlwaysAllow")
        .arg("--disable-admission-plugins=ServiceAccount");
    group.launch("kube-apiserver", &launch).await
}

impl Server {
    async fn ready(&mut self) -> Result<()> {
        let client = &self.cluster.client;
        let ready = || async move {
            let request = http::Request::get("/readyz").body(Vec::new()).ok()?;
            let text = client.request_text(request).await.ok()?;
            (text == "ok").then_some(())
        };
        self.etcd.check().await?;
        self.apiserver
            .wait_for("readiness", READY_TIMEOUT, ready)
            .await
    }

    /// Creates an object with its namespace, then writes its status as a controller would.
    pub(super) async fn apply(&self, mut object: Value) -> Result<()> {
        let namespace = Namespace {
            metadata: ObjectMeta {
                name: Some(text(&object, "/metadata/namespace").to_owned()),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        self.cluster.apply(&value(namespace)).await?;
        let status = object
            .as_object_mut()
            .and_then(|fields| fields.remove("status"));
        self.cluster.apply(&object).await?;
        match status {
            Some(status) => self.cluster.write_status(&object, &status).await,
            None => Ok(()),
        }
    }

    /// A kubeconfig for it.
    pub(super) fn kubeconfig(&self) -> String {
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "poolproof", "cluster": {
                "server": format!("https://{}", self.address), "insecure-skip-tls-verify": true,
            }}],
            "users": [{"name": USER, "user": {"token": self.token}}],
            "contexts": [{"name": "poolproof", "context": {"cluster": "poolproof", "user": USER}}],
            "current-context": "poolproof",
        })
        .to_string()
    }

    /// Stops both.
    pub(super) async fn stop(self) {
        self.apiserver.stop().await;
        self.etcd.stop().await;
    }
}
