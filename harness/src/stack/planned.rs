//! The target that a stack will have, as far as that is known before anything is started.

use anyhow::Result;

use super::parts::{Gateway, ModelServer, Parts};
use super::{Options, StackKind, kubernetes, local};
use crate::change::Kind;
use crate::target::Target;

impl Options {
    /// The target that the stack will have; its addresses lead nowhere, unless it is there already. Fails where a start would,
    /// for what was asked for.
    pub fn planned_target(&self) -> Result<Target> {
        self.check()?;
        match self.kind {
            StackKind::Url => self.load_target(),
            kind => Ok(as_parts_are(
                Target::planned(&self.topology)?,
                kind,
                self.parts,
            )),
        }
    }
}

/// The target without what these parts do not offer.
fn as_parts_are(mut target: Target, kind: StackKind, parts: Parts) -> Target {
    if parts.gateway == Gateway::Envoy {
        target.body_limit_bytes = None;
    }
    if parts.model_server != ModelServer::Poolproof {
        let pools = target.models.iter_mut().flat_map(|model| &mut model.pools);
        for endpoint in pools.flat_map(|pool| &mut pool.endpoints) {
            endpoint.control = None;
        }
    }
    if let Some(changes) = &mut target.changes {
        changes.kinds = match kind {
            StackKind::Kind | StackKind::Cluster => kubernetes::kinds_of_changes(parts),
            StackKind::Local | StackKind::Containers => local::kinds_of_changes(parts),
            StackKind::Embedded | StackKind::Url => Kind::ALL.into(),
        }
        .into_iter()
        .collect();
    }
    target
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::records::run::Record;
    use crate::stack::parts::Asked;
    use crate::topology::Topology;

    /// Whether a target offers what parts decide on: a body limit, control of its endpoints, and which changes.
    fn offers(target: &Target) -> String {
        let control = target.endpoints().all(|it| it.control.is_some());
        let changes = target.changes.as_ref().map(|it| &it.kinds);
        let body_limit = target.body_limit_bytes.is_some();
        format!("{body_limit} {control} {changes:?}")
    }

    #[test]
    fn what_is_planned_is_what_committed_runs_had() {
        let reports = Path::new(env!("CARGO_MANIFEST_DIR")).join("../reports");
        for (folder, kind, gateway, model_server) in [
            (
                "kind-envoy",
                StackKind::Kind,
                Some(Gateway::Envoy),
                Some(ModelServer::Poolproof),
            ),
            ("local-envoy", StackKind::Local, None, None),
            (
                "local-poolproof",
                StackKind::Local,
                Some(Gateway::Poolproof),
                None,
            ),
        ] {
            let had = Record::read(&reports.join(folder).join("run.json")).unwrap();
            let asked = Asked {
                gateway,
                model_server,
                ..Asked::default()
            };
            let parts = Parts::of(kind, &asked).unwrap();
            let target = Target::planned(&Topology::default()).unwrap();
            let planned = as_parts_are(target, kind, parts);
            assert_eq!(offers(&planned), offers(&had.target), "{folder}");
        }
    }
}
