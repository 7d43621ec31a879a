//! DescribeConfigs (key 32): reads configuration (KIP-133).
//!
//! | version | change |
//! |---|---|
//! | 1 | synonyms and the source of each value (KIP-226) |
//! | 2 | the client holds back for the throttle time (KIP-219) |
//! | 3 | type and documentation of each key (KIP-569) |
//! | 4 | flexible (KIP-482) |

use super::exchange;
use crate::codec::Message;

/// What has a configuration: the values of `resource_type`.
pub mod resource {
    /// A topic.
    pub const TOPIC: i8 = 2;
    /// A broker, by node id; empty for the default of all.
    pub const BROKER: i8 = 4;
    /// The loggers of a broker.
    pub const BROKER_LOGGER: i8 = 8;
    /// A subscription of client metrics (KIP-714).
    pub const CLIENT_METRICS: i8 = 16;
    /// A group (KIP-848).
    pub const GROUP: i8 = 32;
    /// All of them.
    pub const ALL: [i8; 5] = [TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP];

    /// What a person calls resources of this type.
    pub fn name_of(resource_type: i8) -> String {
        match resource_type {
            TOPIC => "topics".to_owned(),
            BROKER => "brokers".to_owned(),
            BROKER_LOGGER => "loggers of a broker".to_owned(),
            CLIENT_METRICS => "client metrics".to_owned(),
            GROUP => "groups".to_owned(),
            other => format!("resources of type {other}"),
        }
    }
}

/// Where a value comes from: the values of `config_source`.
pub mod source {
    /// Set on the topic.
    pub const TOPIC: i8 = 1;
    /// Set on the broker while it runs.
    pub const DYNAMIC_BROKER: i8 = 2;
    /// Set for all brokers while they run.
    pub const DYNAMIC_DEFAULT_BROKER: i8 = 3;
    /// From the broker's properties file.
    pub const STATIC_BROKER: i8 = 4;
    /// Nobody has set it.
    pub const DEFAULT: i8 = 5;
    /// Set on a logger.
    pub const DYNAMIC_BROKER_LOGGER: i8 = 6;
    /// Set on a subscription of client metrics.
    pub const CLIENT_METRICS: i8 = 7;
    /// Set on a group.
    pub const GROUP: i8 = 8;
}

/// What a value is: the values of `config_type`.
pub mod value_type {
    /// Not told.
    pub const UNKNOWN: i8 = 0;
    /// `true` or `false`.
    pub const BOOLEAN: i8 = 1;
    /// Text.
    pub const STRING: i8 = 2;
    /// 32 bits.
    pub const INT: i8 = 3;
    /// 16 bits.
    pub const SHORT: i8 = 4;
    /// 64 bits.
    pub const LONG: i8 = 5;
    /// A number with a fraction.
    pub const DOUBLE: i8 = 6;
    /// Texts parted by commas.
    pub const LIST: i8 = 7;
    /// Name of a Java class.
    pub const CLASS: i8 = 8;
    /// A secret.
    pub const PASSWORD: i8 = 9;
}

/// Resources to describe.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "1-4", flexible = "4+")]
pub struct DescribeConfigsRequest {
    /// The resources.
    pub resources: Vec<DescribeConfigsResource>,
    /// Whether to list the other places that the value could come from.
    pub include_synonyms: bool,
    /// Whether to explain each key.
    #[kafka(versions = "3+")]
    pub include_documentation: bool,
}

/// One resource to describe.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DescribeConfigsResource {
    /// What it is: see [`resource`].
    pub resource_type: i8,
    /// Topic name, or node id, or empty for the default of all brokers.
    pub resource_name: String,
    /// Keys to describe, null for all.
    pub configuration_keys: Option<Vec<String>>,
}

/// The configuration of each resource.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "1-4", flexible = "4+")]
pub struct DescribeConfigsResponse {
    /// How long the client should hold back, in milliseconds.
    pub throttle_time_ms: i32,
    /// The resources.
    pub results: Vec<DescribeConfigsResult>,
}

/// The configuration of one resource.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DescribeConfigsResult {
    /// Error code, 0 for none.
    pub error_code: i16,
    /// Why it was refused, for a person.
    pub error_message: Option<String>,
    /// What it is.
    pub resource_type: i8,
    /// Its name.
    pub resource_name: String,
    /// The keys.
    pub configs: Vec<DescribeConfigsResourceResult>,
}

/// One key.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DescribeConfigsResourceResult {
    /// The key.
    pub name: String,
    /// Its value, null for a secret.
    pub value: Option<String>,
    /// Whether it cannot be changed while the broker runs.
    pub read_only: bool,
    /// Where the value comes from: see [`source`].
    #[kafka(default = -1)]
    pub config_source: i8,
    /// Whether it is a secret.
    pub is_sensitive: bool,
    /// All places that give the key a value, the one in force first.
    pub synonyms: Vec<DescribeConfigsSynonym>,
    /// What the value is: see [`value_type`].
    #[kafka(versions = "3+", ignorable)]
    pub config_type: i8,
    /// What the key does.
    #[kafka(versions = "3+", ignorable)]
    pub documentation: Option<String>,
}

/// One place that gives a key a value.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DescribeConfigsSynonym {
    /// The key there.
    pub name: String,
    /// Its value, null for a secret.
    pub value: Option<String>,
    /// The place: see [`source`].
    pub source: i8,
}

exchange!(DescribeConfigs: DescribeConfigsRequest => DescribeConfigsResponse);
