//! The objects that cases of this suite create.

use poolproof_model::status::{Arrangement, Backend, Gateway, Place, Pool, Route};

/// The name of the only Gateway of most cases.
pub(super) const GATEWAY: &str = "gateway";
/// The name of the only pool of most cases.
pub(super) const POOL: &str = "pool";
/// The target port of pools.
pub(super) const POOL_PORT: u16 = 8000;

/// A Gateway.
pub(super) fn gateway(name: &str) -> Gateway {
    Gateway {
        name: name.to_owned(),
        port: 80,
    }
}

/// A pool in the own namespace, whose endpoint picker has a Service.
pub(super) fn pool() -> Pool {
    Pool {
        name: POOL.to_owned(),
        place: Place::Own,
        port: POOL_PORT,
        picker: true,
    }
}

/// A route from a Gateway to the pool of the own namespace.
pub(super) fn route(name: &str, gateway: &str) -> Route {
    Route {
        name: name.to_owned(),
        gateway: gateway.to_owned(),
        listener: None,
        path: format!("/{name}"),
        backend: Backend {
            name: POOL.to_owned(),
            place: Place::Own,
            unknown_kind: false,
            port: None,
        },
    }
}

/// The Gateway and the pool, with these routes.
pub(super) fn with_routes(routes: Vec<Route>) -> Arrangement {
    Arrangement {
        gateways: vec![gateway(GATEWAY)],
        routes,
        pools: vec![pool()],
        grant: false,
    }
}
