//! A need finds what its entry describes, or names what is missing.

#![allow(clippy::unwrap_used)]

use super::*;
use poolproof_model::topology::Topology;

fn target() -> Target {
    Target::planned(&Topology::default()).unwrap()
}

#[test]
fn a_need_finds_what_its_entry_promises() {
    let mut target = target();
    let (model, pool) = PoolToLoad::find(&target).unwrap();
    assert_eq!((&*model.name, &*pool.name), ("model-a", "model-a"));
    assert_eq!(CanaryToLoad::find(&target).unwrap().name, "model-b");
    assert!(PoolToLoad::NEED.is_met(&target) && CanaryToLoad::NEED.is_met(&target));

    for endpoint in &mut target.models[0].pools[0].endpoints {
        endpoint.url = None;
    }
    assert!(!PoolToLoad::NEED.is_met(&target) && !Faults::NEED.is_met(&target));
    let missing = PoolToLoad::find(&target).unwrap_err();
    assert_eq!(missing.0, PoolToLoad::NEED.describe());
}

#[test]
fn classes_of_one_priority_are_not_two_classes() {
    let mut target = target();
    let (.., classes) = HeldByPriority::find(&target).unwrap();
    assert_eq!(
        (classes.interactive, classes.batch),
        ("interactive", "batch")
    );
    target.objectives.retain(|_, priority| *priority > 0);
    assert!(HeldByPriority::find(&target).is_err());
    assert!(ShedByPriority::find(&target).is_err());
}

#[test]
fn a_change_is_met_only_by_a_target_that_takes_its_kind() {
    let mut target = target();
    let need = Need::change(Kind::Picker);
    assert!(need.is_met(&target) && need.is_change());
    target.changes.as_mut().unwrap().kinds = [Kind::Weights].into();
    assert!(!need.is_met(&target));
}
