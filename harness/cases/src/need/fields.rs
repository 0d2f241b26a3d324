//! The fields of a target file that provide what cases need, as messages name them.

/// The field for answers that name their endpoint. A target may have it and lack only the endpoints.
pub(crate) const SERVED_BY: &str = "`served_by_header`";
pub(super) const ENDPOINTS: &str = "`[[models.pools.endpoints]]` by `name`";
pub(super) const URLS: &str = "the `url` of each endpoint, two or more in a pool";
pub(super) const CONTROL: &str = "the `control` url of each endpoint";
pub(super) const OBJECTIVES: &str = "`[objectives]` above and below 0";
pub(super) const FLOW_CONTROL: &str = "`flow_control` of each pool";
pub(super) const WEIGHTS: &str = "two or more `[[models.pools]]` of a model with their `weight`";
pub(super) const CHANGES: &str = "`[changes]`, a hook that changes the stack";
