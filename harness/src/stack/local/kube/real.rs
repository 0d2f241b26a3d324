//! kube-apiserver and etcd, without a kubelet: objects are checked by their schemas, and nothing is run.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::{Client, Config};
use serde_json::{Value, json};

use super::super::super::process::{Nursery, Process};
use super::super::Options;
use super::super::ports::Ports;
use super::super::programs::find;
use super::write;

/// On two cores, cold, beside other builds: eight seconds.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
const FIELD_MANAGER: &str = "poolproof";
const USER: &str = "poolproof";

/// Running kube-apiserver and etcd.
pub(super) struct Server {
    etcd: Process,
    apiserver: Process,
    client: Client,
    address: SocketAddr,
    token: String,
    pub(super) version: String,
}

/// Starts both, and puts in the CRDs of the Gateway API Inference Extension.
pub(super) async fn start(
    options: &Options,
    nursery: &Nursery,
    ports: &mut Ports,
) -> Result<Server> {
    let program = find(options, "kube-apiserver")?;
    let (etcd_client, etcd_peer) = (ports.take()?, ports.take()?);
    let etcd = start_etcd(options, nursery, etcd_client, etcd_peer)?;
    let address = ports.take()?;
    let token = format!("{:032x}", rand::random::<u128>());
    let apiserver = start_apiserver(&program, nursery, etcd_client, address, &token)?;

    let mut config = Config::new(format!("https://{address}").parse()?);
    // Its certificate is one that it has just signed itself; the token is a secret between us and it.
    config.accept_invalid_certs = true;
    config.auth_info.token = Some(token.clone().into());
    let client = Client::try_from(config).context("client of kube-apiserver")?;
    let version = Command::new(&program)
        .arg("--version")
        .output()
        .context("kube-apiserver --version")?;
    let mut server = Server {
        etcd,
        apiserver,
        client,
        address,
        token,
        version: format!(
            "kube-apiserver: {}",
            String::from_utf8_lossy(&version.stdout).trim()
        ),
    };
    server.ready().await?;
    server.add_crds(&find(options, "crds")?).await?;
    Ok(server)
}

fn start_etcd(
    options: &Options,
    nursery: &Nursery,
    client: SocketAddr,
    peer: SocketAddr,
) -> Result<Process> {
    let (client, peer) = (format!("http://{client}"), format!("http://{peer}"));
    let mut command = Command::new(find(options, "etcd")?);
    command
        .arg("--data-dir")
        .arg(nursery.logs.join("etcd"))
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
    nursery.start("etcd", &command)
}

fn start_apiserver(
    program: &Path,
    nursery: &Nursery,
    etcd: SocketAddr,
    address: SocketAddr,
    token: &str,
) -> Result<Process> {
    let tokens = nursery.logs.join("tokens.csv");
    write(&tokens, &format!("{token},{USER},{USER}\n"))?;
    let (private, public) = (
        nursery.logs.join("service-accounts.key"),
        nursery.logs.join("service-accounts.pub"),
    );
    let pair = rcgen::KeyPair::generate().context("a key for service accounts")?;
    write(&private, &pair.serialize_pem())?;
    write(&public, &pair.public_key_pem())?;
    let mut command = Command::new(program);
    command
        .arg(format!("--etcd-servers=http://{etcd}"))
        .arg(format!("--bind-address={}", address.ip()))
        .arg(format!("--secure-port={}", address.port()))
        .arg(format!(
            "--cert-dir={}",
            nursery.logs.join("certs").display()
        ))
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
    nursery.start("kube-apiserver", &command)
}

impl Server {
    async fn ready(&mut self) -> Result<()> {
        let client = &self.client;
        let ready = || async move {
            let request = http::Request::get("/readyz").body(Vec::new()).ok()?;
            let text = client.request_text(request).await.ok()?;
            (text == "ok").then_some(())
        };
        self.etcd.check()?;
        self.apiserver
            .wait_for("readiness", READY_TIMEOUT, ready)
            .await
    }

    /// Applies every CRD file of a folder as it is, and waits until the kinds are served.
    async fn add_crds(&mut self, folder: &Path) -> Result<()> {
        let entries =
            std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            // As controller-gen names them: GROUP_PLURAL.yaml.
            let Some((group, plural)) = stem.and_then(|stem| stem.split_once('_')) else {
                continue;
            };
            let text =
                std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
            let name = format!("{plural}.{group}");
            let url = format!(
                "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}?fieldManager={FIELD_MANAGER}"
            );
            let request = http::Request::patch(url)
                .header("content-type", "application/apply-patch+yaml")
                .body(text)?;
            let made: Value = self
                .client
                .request(request)
                .await
                .with_context(|| format!("applying {}", path.display()))?;
            let version = made["spec"]["versions"][0]["name"]
                .as_str()
                .unwrap_or_default();
            let list = format!("/apis/{group}/{version}/{plural}");
            let client = &self.client;
            let served = || {
                let list = list.clone();
                async move {
                    let request = http::Request::get(list).body(Vec::new()).ok()?;
                    client.request_text(request).await.ok().map(|_| ())
                }
            };
            self.apiserver
                .wait_for(&format!("service of {name}"), READY_TIMEOUT, served)
                .await?;
        }
        Ok(())
    }

    /// Creates an object with its namespace, then writes its status, as a controller would.
    pub(super) async fn apply(&self, mut object: Value) -> Result<()> {
        let field = |object: &Value, path: &str| {
            let value = object.pointer(path).and_then(Value::as_str);
            value.unwrap_or_default().to_owned()
        };
        let namespace = field(&object, "/metadata/namespace");
        let name = field(&object, "/metadata/name");
        let api_version = field(&object, "/apiVersion");
        let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
        let kind = GroupVersionKind::gvk(group, version, &field(&object, "/kind"));
        self.apply_namespace(&namespace).await?;

        let resource = ApiResource::from_gvk(&kind);
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &namespace, &resource);
        let status = object.as_object_mut().and_then(|it| it.remove("status"));
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        api.patch(&name, &parameters, &Patch::Apply(&object))
            .await
            .with_context(|| format!("applying {} {namespace}/{name}", kind.kind))?;
        if let Some(status) = status {
            let status = json!({ "status": status });
            api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status))
                .await
                .with_context(|| format!("status of {} {namespace}/{name}", kind.kind))?;
        }
        Ok(())
    }

    async fn apply_namespace(&self, name: &str) -> Result<()> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Namespace"));
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        api.patch(
            name,
            &PatchParams::apply(FIELD_MANAGER),
            &Patch::Apply(&namespace),
        )
        .await
        .with_context(|| format!("applying namespace {name}"))?;
        Ok(())
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
