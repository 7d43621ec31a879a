//! Which versions both sides speak: the ApiVersions exchange at the start of a connection, with the
//! way back for brokers that are older than this client.

use std::collections::BTreeMap;

use bytes::Bytes;
use kabuki_protocol::api::ApiKey;
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::header::{decode_response, encode_request};
use kabuki_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};

use super::Link;
use crate::error::ClientError;

/// Lowest and highest version of each API that a broker offers.
#[derive(Debug, Clone, Default)]
pub(super) struct ApiRanges {
    ranges: BTreeMap<i16, (i16, i16)>,
}

impl ApiRanges {
    /// The highest version that lies in the broker's range and between `min` and `max`.
    pub(super) fn highest(&self, api: ApiKey, min: i16, max: i16) -> Option<i16> {
        let (broker_min, broker_max) = *self.ranges.get(&api.code())?;
        let version = max.min(broker_max);
        (version >= min.max(broker_min)).then_some(version)
    }
}

/// Asks the broker what it speaks.
///
/// A broker that does not know our version of the question answers in version 0 with error 35 and
/// the range that it does know; then it is asked again. Source: KIP-511.
pub(super) async fn negotiate(link: &Link, client_id: &str) -> Result<ApiRanges, ClientError> {
    let newest = ApiKey::ApiVersions.spec().max;
    let mut answer = ask(link, client_id, newest).await?;
    if answer.error_code == ErrorCode::UnsupportedVersion.code() {
        let own = answer
            .api_keys
            .iter()
            .find(|api| api.api_key == ApiKey::ApiVersions.code());
        let version = own.map_or(0, |api| api.max_version.clamp(0, newest));
        answer = ask(link, client_id, version).await?;
    }
    ClientError::check(answer.error_code, None, || ApiKey::ApiVersions.to_string())?;
    let ranges = answer
        .api_keys
        .iter()
        .map(|api| (api.api_key, (api.min_version, api.max_version)));
    Ok(ApiRanges {
        ranges: ranges.collect(),
    })
}

async fn ask(
    link: &Link,
    client_id: &str,
    version: i16,
) -> Result<ApiVersionsResponse, ClientError> {
    let request = ApiVersionsRequest {
        client_software_name: "kabuki".to_owned(),
        client_software_version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let frame = link
        .exchange(|id| encode_request(version, id, Some(client_id), &request))
        .await?;
    // The error stands at the same place in every version, and says in which one the rest is.
    let is_refused = error_code(&frame) == Some(ErrorCode::UnsupportedVersion.code());
    let version = if is_refused { 0 } else { version };
    let decoded = decode_response::<ApiVersionsResponse>(frame, version);
    let (_, answer) =
        decoded.map_err(|error| ClientError::malformed(ApiKey::ApiVersions, error))?;
    Ok(answer)
}

fn error_code(frame: &Bytes) -> Option<i16> {
    let code = frame.get(4..6)?;
    Some(i16::from_be_bytes([code[0], code[1]]))
}
