//! Further addresses of metrics that a load run follows.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::{Position, Url};

/// A server with metrics in the text format of Prometheus, such as a GPU exporter. Its kind shows in the names of its metrics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// The name in reports [default: the host and the port of the address].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The address of the page. Headers and keys of the target go there only if it is at the host and port of the gateway or
    /// of an endpoint.
    pub url: Url,
}

impl Metrics {
    /// The metrics at an address.
    pub fn at(url: Url) -> Self {
        Self {
            name: String::new(),
            url,
        }
    }

    /// The name in reports.
    pub fn shown(&self) -> String {
        if self.name.is_empty() {
            self.url[Position::BeforeHost..Position::AfterPort].to_owned()
        } else {
            self.name.clone()
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_name_is_shown_without_its_login() {
        let url = "http://me:secret@gpu-node:9400/metrics?x=1"
            .parse()
            .unwrap();
        assert_eq!(Metrics::at(url).shown(), "gpu-node:9400");
    }
}
