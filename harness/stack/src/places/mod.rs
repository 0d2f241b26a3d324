//! Where stacks run.

pub mod cluster;
pub(crate) mod deployment;
pub(crate) mod embedded;
pub mod kind;
pub mod processes;
mod url;

use super::place::Place;
use poolproof_model::parts::StackKind;

/// The place of a kind of stack.
pub(crate) fn place(kind: StackKind) -> &'static dyn Place {
    match kind {
        StackKind::Embedded => &embedded::Place,
        StackKind::Local | StackKind::Containers => &processes::Place,
        StackKind::Kind => &kind::Place,
        StackKind::Cluster => &cluster::Place,
        StackKind::Url => &url::Place,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::parts;
    use poolproof_model::parts::{Asked, Gateway, ModelServer};
    use poolproof_model::target::Target;
    use poolproof_model::topology::Topology;
    use poolproof_records::run::Record;

    /// The properties of a target that parts decide: a body limit, control of endpoints, supported changes,
    /// and whether conditions can be read.
    fn offers(target: &Target) -> String {
        let control = target
            .endpoints()
            .all(|endpoint| endpoint.control.is_some());
        let changes = target.changes.as_ref().map(|changes| &changes.kinds);
        let body_limit = target.body_limit_bytes;
        let statuses = target.statuses.is_some();
        format!("{body_limit:?} {control} {changes:?} {statuses}")
    }

    #[test]
    fn a_planned_target_offers_what_committed_runs_had() {
        let reports = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reports");
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
            let mut options = deployment::committed::options(Gateway::Envoy);
            options.kind = kind;
            options.parts = parts::choose(kind, &asked).unwrap();
            let mut planned = place(kind).planned_target(&options).unwrap();
            let (of_plan, of_run) = (planned.changes.as_mut(), had.target.changes.as_ref());
            if let (Some(of_plan), Some(of_run)) = (of_plan, of_run) {
                // A run from before a kind of change existed lacks it.
                of_plan.kinds.retain(|kind| of_run.kinds.contains(kind));
            }
            assert_eq!(offers(&planned), offers(&had.target), "{folder}");
        }
    }

    #[tokio::test]
    async fn a_planned_target_equals_the_started_one_but_for_its_addresses() {
        let mut options = deployment::committed::options(Gateway::Poolproof);
        options.kind = StackKind::Embedded;
        options.parts = poolproof_model::parts::Parts::default_of(StackKind::Embedded);
        options.topology = Topology::default();
        let planned = options.planned_target().unwrap();
        let stack = crate::Stack::start(&options, &mut |_| {}).await.unwrap();
        assert_eq!(offers(&planned), offers(&stack.target));
        let names = |target: &Target| {
            let names = target.endpoints().map(|endpoint| endpoint.name.clone());
            names.collect::<Vec<_>>()
        };
        assert_eq!(names(&planned), names(&stack.target));
        stack.stop().await;
        // Plans without a stack assume the reference parts.
        let plain = Target::planned(&Topology::default()).unwrap();
        assert_eq!(offers(&plain), offers(&planned));
    }
}
