//! The effect of flaws on a topology before a real component is configured from it: weights and routes of a gateway,
//! priorities of objectives.

use poolproof_fixtures::flaw::Flaw;

use poolproof_model::topology::{Model, Topology};

/// The weight, in percent, that the flaw `weight-zero-leak` gives to a pool of weight 0.
const LEAKED_PERCENT: u32 = 1;

/// The weights of a model's pools, in their order.
pub(super) fn weights(model: &Model, flaw: Option<Flaw>) -> Vec<u32> {
    let mut weights: Vec<u32> = model.pools.iter().map(|pool| pool.weight).collect();
    let weighted: Vec<usize> = (0..weights.len()).filter(|i| weights[*i] > 0).collect();
    match (flaw, weighted.as_slice()) {
        (Some(Flaw::Split8020), [first, second]) => (weights[*first], weights[*second]) = (80, 20),
        (Some(Flaw::Split8713), [first, second]) => (weights[*first], weights[*second]) = (87, 13),
        (Some(Flaw::CanaryStarved), [first, rest @ ..]) => {
            let heavier = |a: usize, b: &usize| if weights[*b] > weights[a] { *b } else { a };
            let heaviest = rest.iter().fold(*first, heavier);
            let only = |i| if i == heaviest { weights[i] } else { 0 };
            weights = (0..weights.len()).map(only).collect();
        }
        (Some(Flaw::WeightZeroLeak), _) => {
            let total: u32 = weights.iter().sum();
            if let Some(unweighted) = weights.iter().position(|weight| *weight == 0) {
                for weight in &mut weights {
                    *weight *= 100 - LEAKED_PERCENT;
                }
                weights[unweighted] = total * LEAKED_PERCENT;
            }
        }
        _ => {}
    }
    weights
}

/// The model whose pools this model's route leads to.
pub(super) fn destination(topology: &Topology, number: usize, flaw: Option<Flaw>) -> &Model {
    let models = &topology.models;
    match flaw {
        Some(Flaw::CrossedRoutes) => &models[(number + 1) % models.len()],
        _ => &models[number],
    }
}

/// The configured priority of an objective, which some flaws change.
pub(crate) fn priority(priority: i32, flaw: Option<Flaw>) -> i32 {
    match flaw {
        Some(Flaw::PriorityIgnored) => 0,
        Some(Flaw::PriorityInverted) => priority.saturating_neg(),
        _ => priority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights_under(flaw: Option<Flaw>) -> Vec<u32> {
        weights(&Topology::default().models[1], flaw)
    }

    #[test]
    fn weights_are_those_of_the_topology_but_for_flaws() {
        assert_eq!(weights_under(None), [90, 10, 0]);
        assert_eq!(weights_under(Some(Flaw::Split8713)), [87, 13, 0]);
        assert_eq!(weights_under(Some(Flaw::CanaryStarved)), [90, 0, 0]);
        let leak = weights_under(Some(Flaw::WeightZeroLeak));
        assert_eq!(leak[2] * 100, leak.iter().sum::<u32>());
    }
}
