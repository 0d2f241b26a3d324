//! The values of the chart that installs GIE's endpoint picker and its InferencePool.

use serde_json::{Value, json};

use super::config::{self, Api};
use crate::kubernetes::Deployment;
use crate::kubernetes::deployment::MODEL_SERVER_PORT;
use poolproof_model::topology::Pool;

/// Values of GIE's chart `inferencepool` for a pool: the configuration of every stack's endpoint picker, FailClose, and
/// the small resource requests it needs.
pub(super) fn values(api: &Api, deployment: &Deployment, pool: &Pool) -> Value {
    let config = config::config(api, &deployment.topology, pool, deployment.flaw);
    json!({
        "inferenceExtension": {
            "image": {"pullPolicy": "IfNotPresent"},
            "failureMode": "FailClose",
            "pluginsConfigFile": "poolproof.yaml",
            "pluginsCustomConfig": {"poolproof.yaml": format!("{config:#}")},
            "flags": {
                "v": "1",
                "refresh-metrics-interval": config::scrape_interval(pool),
                "refresh-prometheus-metrics-interval": "1s",
            },
            "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "2Gi"}},
            // Its ServiceAccount may not review tokens, so with authentication no client could read the metrics.
            "monitoring": {"prometheus": {"enabled": false, "auth": {"enabled": false}}},
        },
        "inferencePool": {
            "targetPorts": [{"number": MODEL_SERVER_PORT}],
            "modelServers": {"matchLabels": deployment.names(pool).endpoint_labels},
        },
        "provider": {"name": "none"},
    })
}
