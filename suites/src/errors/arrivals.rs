//! Where requests arrived, by the logs of all endpoints.

use std::collections::HashMap;

use anyhow::Result;
use futures_util::future::try_join_all;
use poolproof_cases::context::Context;
use poolproof_client::evidence::control;

/// The pools in which requests arrived, one for each arrival, by the ids of the requests. `gone`: an endpoint whose log cannot be read.
pub(super) async fn arrivals<'a>(
    ctx: &'a Context,
    gone: Option<&str>,
) -> Result<HashMap<String, Vec<&'a str>>> {
    let logs = ctx.target.pools().flat_map(|pool| {
        let logging = pool.endpoints.iter().filter(|it| it.control.is_some());
        let readable = logging.filter(|endpoint| Some(endpoint.name.as_str()) != gone);
        readable.map(|endpoint| async {
            let requests = control::requests(&ctx.http, endpoint).await?;
            anyhow::Ok((pool.name.as_str(), requests))
        })
    });
    let mut arrivals: HashMap<String, Vec<&str>> = HashMap::new();
    for (pool, requests) in try_join_all(logs).await? {
        for id in requests.into_iter().filter_map(|request| request.id) {
            arrivals.entry(id).or_default().push(pool);
        }
    }
    Ok(arrivals)
}
