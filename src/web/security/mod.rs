//! What a request must prove before a handler sees it, and what every response says to the browser.

mod headers;
mod host;
mod same_origin;

pub(super) use headers::add_security_headers;
pub(super) use host::{AllowedHosts, refuse_foreign_hosts};
pub(super) use same_origin::{proofs_match, refuse_cross_site_changes};
