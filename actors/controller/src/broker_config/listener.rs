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

const LISTENERS: &str = "listeners";
const ADVERTISED: &str = "advertised.listeners";
const PROTOCOL_MAP: &str = "listener.security.protocol.map";

/// Reads `listeners` and `advertised.listeners`. Listeners of controllers are left out: the one local
/// voter talks to nobody.
pub(super) fn parse(
    values: &BTreeMap<String, String>,
    host_name: &str,
) -> Result<Vec<Listener>, BrokerConfigRefused> {
    let given = |key: &str| {
        values
            .get(key)
            .map(|value| value.trim())
            .filter(|v| !v.is_empty())
    };
    let bound = parse_endpoints(LISTENERS, given(LISTENERS).unwrap_or("PLAINTEXT://:9092"))?;
    check_ports(&bound)?;
    let protocols = parse_protocols(given(PROTOCOL_MAP))?;
    let controllers: Vec<String> = entries(given("controller.listener.names").unwrap_or(""))
        .map(str::to_uppercase)
        .collect();
    let advertised = parse_endpoints(ADVERTISED, given(ADVERTISED).unwrap_or(""))?;
    if let Some(stray) = advertised
        .iter()
        .find(|stray| bound.iter().all(|own| !own.is_for(stray)))
    {
        return Err(bad(
            ADVERTISED,
            format!("{} is not among the listeners", stray.listener),
        ));
    }

    let mut listeners = Vec::new();
    for own in bound
        .iter()
        .filter(|own| !controllers.contains(&own.listener))
    {
        check_protocol(&own.listener, &protocols)?;
        let mut shown = advertised
            .iter()
            .find(|shown| own.is_for(shown))
            .unwrap_or(own)
            .clone();
        if shown.host.is_empty() {
            shown.host = host_name.to_owned();
        }
        if matches!(shown.host.as_str(), "0.0.0.0" | "::") {
            let cause = format!(
                "{} would tell clients to connect to {}, which leads nowhere; set {ADVERTISED}",
                shown.listener, shown.host
            );
            return Err(bad(ADVERTISED, cause));
        }
        listeners.push(Listener {
            name: own.listener.clone(),
            host: own.host.clone(),
            port: own.port,
            advertised: shown,
        });
    }
    if listeners.is_empty() {
        return Err(bad(LISTENERS, "no listener for clients is left".to_owned()));
    }
    check_inter_broker(values, &listeners)?;
    Ok(listeners)
}

impl Endpoint {
    fn is_for(&self, other: &Self) -> bool {
        self.listener == other.listener
    }
}

fn bad(key: &'static str, cause: String) -> BrokerConfigRefused {
    BrokerConfigRefused::BadListener { key, cause }
}

fn entries(list: &str) -> impl Iterator<Item = &str> {
    list.split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
}

fn parse_endpoints(key: &'static str, list: &str) -> Result<Vec<Endpoint>, BrokerConfigRefused> {
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for entry in entries(list) {
        let endpoint = parse_endpoint(entry).ok_or_else(|| {
            bad(
                key,
                format!("{entry:?} is not NAME://host:port with a port up to 65535"),
            )
        })?;
        if endpoints.iter().any(|other| other.is_for(&endpoint)) {
            return Err(bad(
                key,
                format!("listener {} is named twice", endpoint.listener),
            ));
        }
        endpoints.push(endpoint);
    }
    Ok(endpoints)
}

fn parse_endpoint(entry: &str) -> Option<Endpoint> {
    let (name, address) = entry.split_once("://")?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if name.is_empty() || !name.chars().all(is_name) {
        return None;
    }
    let (host, port) = address.rsplit_once(':')?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?,
        None if host.contains([':', '/']) => return None,
        None => host,
    };
    Some(Endpoint {
        listener: name.to_ascii_uppercase(),
        host: host.to_owned(),
        port: port.parse().ok()?,
    })
}

/// Two listeners on one port can not both be bound; an IPv4 and an IPv6 address may share one.
fn check_ports(bound: &[Endpoint]) -> Result<(), BrokerConfigRefused> {
    let is_wild = |host: &str| matches!(host, "" | "0.0.0.0" | "::");
    for (at, one) in bound.iter().enumerate() {
        let clash = bound[..at].iter().find(|other| {
            let overlaps = one.host == other.host || is_wild(&one.host) || is_wild(&other.host);
            one.port != 0 && one.port == other.port && overlaps
        });
        if let Some(other) = clash {
            let cause = format!(
                "{} and {} share port {}",
                other.listener, one.listener, one.port
            );
            return Err(bad(LISTENERS, cause));
        }
    }
    Ok(())
}

fn parse_protocols(map: Option<&str>) -> Result<BTreeMap<String, String>, BrokerConfigRefused> {
    let map = map
        .unwrap_or("PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL");
    entries(map)
        .map(|entry| {
            let (name, protocol) = entry
                .split_once(':')
                .ok_or_else(|| bad(PROTOCOL_MAP, format!("{entry:?} is not NAME:PROTOCOL")))?;
            Ok((name.trim().to_uppercase(), protocol.trim().to_uppercase()))
        })
        .collect()
}

fn check_protocol(
    listener: &str,
    protocols: &BTreeMap<String, String>,
) -> Result<(), BrokerConfigRefused> {
    let protection = match protocols.get(listener).map(String::as_str) {
        Some("PLAINTEXT") => return Ok(()),
        Some("SSL") => "TLS",
        Some("SASL_PLAINTEXT") => "authentication",
        Some("SASL_SSL") => "TLS and authentication",
        Some(other) => {
            return Err(bad(
                PROTOCOL_MAP,
                format!("{other} is no security protocol"),
            ));
        }
        None => {
            let cause = format!("listener {listener} has no security protocol");
            return Err(bad(PROTOCOL_MAP, cause));
        }
    };
    let key = format!("listener {listener}");
    Err(BrokerConfigRefused::ProtectionNotBuilt { key, protection })
}

fn check_inter_broker(
    values: &BTreeMap<String, String>,
    listeners: &[Listener],
) -> Result<(), BrokerConfigRefused> {
    let Some(name) = values
        .get("inter.broker.listener.name")
        .map(|name| name.trim())
    else {
        return Ok(());
    };
    if name.is_empty()
        || listeners
            .iter()
            .any(|own| own.name.eq_ignore_ascii_case(name))
    {
        return Ok(());
    }
    let cause = format!("inter.broker.listener.name {name} is not among them");
    Err(bad(LISTENERS, cause))
}
