//! What stands in front of every request and response, and whole frames made of both.

use bytes::Bytes;

use crate::api::ApiKey;
use crate::codec::{
    DecodeError, Decoder, EncodeError, EncodedFrame, Encoder, Field, Form, Message,
};

/// A request of one API.
pub trait Request: Message {
    /// The API.
    const KEY: ApiKey;
    /// What it is answered with.
    type Response: Response;
}

/// A response of one API.
pub trait Response: Message {
    /// The API.
    const KEY: ApiKey;
}

/// Header of a request: version 1, or 2 with tagged fields, as the API and its version demand.
///
/// The client id is a nullable text with a 16-bit length in both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHeader {
    /// Number of the API; may be one that nobody knows.
    pub api_key: i16,
    /// Version of the API; may be one that nobody knows.
    pub api_version: i16,
    /// Comes back in the response.
    pub correlation_id: i32,
    /// Name that the client gives itself; Kafka takes null for the empty text.
    pub client_id: Option<String>,
}

/// Clients' texts have a 16-bit length in every header version.
const HEADER_FORM: Form = Form {
    version: 1,
    is_flexible: false,
};

impl RequestHeader {
    /// Reads a header; the decoder then stands at the body.
    ///
    /// The header of an API that this crate does not know is read as version 1, and a version above
    /// the known ones as the newest, so that ApiVersions from a client of the future can be
    /// answered with error 35 (KIP-511).
    pub fn decode(decoder: &mut Decoder) -> Result<Self, DecodeError> {
        let named = |error: DecodeError| error.in_field("RequestHeader");
        let api_key = decoder.read_i16().map_err(named)?;
        let api_version = decoder.read_i16().map_err(named)?;
        let correlation_id = decoder.read_i32().map_err(named)?;
        let client_id = Option::<String>::read(decoder, HEADER_FORM)
            .map_err(|error| error.in_field("RequestHeader.client_id"))?;
        if request_header_version(api_key, api_version) >= 2 {
            decoder.read_tagged_fields(|_, _| Ok(())).map_err(named)?;
        }
        Ok(Self {
            api_key,
            api_version,
            correlation_id,
            client_id,
        })
    }

    /// Writes a header.
    pub fn encode(&self, encoder: &mut Encoder) -> Result<(), EncodeError> {
        encoder.put_i16(self.api_key);
        encoder.put_i16(self.api_version);
        encoder.put_i32(self.correlation_id);
        self.client_id
            .write(encoder, HEADER_FORM)
            .map_err(|error| error.in_field("RequestHeader.client_id"))?;
        if request_header_version(self.api_key, self.api_version) >= 2 {
            encoder.put_uvarint(0);
        }
        Ok(())
    }

    /// The API, if this crate knows it.
    pub fn api(&self) -> Option<ApiKey> {
        ApiKey::from_code(self.api_key)
    }
}

fn request_header_version(api_key: i16, api_version: i16) -> i16 {
    ApiKey::from_code(api_key).map_or(1, |key| key.request_header_version(api_version))
}

/// Header of a response: version 0, or 1 with tagged fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseHeader {
    /// The number from the request.
    pub correlation_id: i32,
}

impl ResponseHeader {
    /// Reads a header of `header_version` (see [`ApiKey::response_header_version`]).
    pub fn decode(decoder: &mut Decoder, header_version: i16) -> Result<Self, DecodeError> {
        let named = |error: DecodeError| error.in_field("ResponseHeader");
        let correlation_id = decoder.read_i32().map_err(named)?;
        if header_version >= 1 {
            decoder.read_tagged_fields(|_, _| Ok(())).map_err(named)?;
        }
        Ok(Self { correlation_id })
    }

    /// Writes a header of `header_version`.
    pub fn encode(&self, encoder: &mut Encoder, header_version: i16) {
        encoder.put_i32(self.correlation_id);
        if header_version >= 1 {
            encoder.put_uvarint(0);
        }
    }
}

/// A whole request frame: length, header, body.
pub fn encode_request<R: Request>(
    version: i16,
    correlation_id: i32,
    client_id: Option<&str>,
    request: &R,
) -> Result<EncodedFrame, EncodeError> {
    let header = RequestHeader {
        api_key: R::KEY.code(),
        api_version: version,
        correlation_id,
        client_id: client_id.map(str::to_owned),
    };
    let mut encoder = Encoder::new_frame();
    header.encode(&mut encoder)?;
    request.encode(&mut encoder, version)?;
    encoder.finish_frame()
}

/// A whole response frame: length, header, body.
///
/// Fails only where the response says something that `version` cannot: a bug of the handler, or a
/// text over 32,767 bytes.
pub fn encode_response<R: Response>(
    version: i16,
    correlation_id: i32,
    response: &R,
) -> Result<EncodedFrame, EncodeError> {
    let mut encoder = Encoder::new_frame();
    let header = ResponseHeader { correlation_id };
    header.encode(&mut encoder, R::KEY.response_header_version(version));
    response.encode(&mut encoder, version)?;
    encoder.finish_frame()
}

/// Reads a response frame without its four bytes of length.
pub fn decode_response<R: Response>(
    frame: Bytes,
    version: i16,
) -> Result<(ResponseHeader, R), DecodeError> {
    let mut decoder = Decoder::new(frame);
    let header = ResponseHeader::decode(&mut decoder, R::KEY.response_header_version(version))?;
    Ok((header, R::decode(&mut decoder, version)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Malformed;

    fn decode(bytes: &'static [u8]) -> Result<RequestHeader, DecodeError> {
        RequestHeader::decode(&mut Decoder::new(Bytes::from_static(bytes)))
    }

    #[test]
    fn every_prefix_of_a_header_is_an_error_and_no_panic() {
        let whole = b"\0\x12\0\x03\0\0\0\x07\0\x02ab\0";
        for length in 0..whole.len() {
            let error = decode(&whole[..length]).unwrap_err();
            assert!(matches!(error.kind, Malformed::Truncated { .. }), "{error}");
        }
        let header = decode(whole).unwrap();
        assert_eq!(
            (header.api(), header.api_version),
            (Some(ApiKey::ApiVersions), 3)
        );
        assert_eq!(
            (header.correlation_id, header.client_id.as_deref()),
            (7, Some("ab"))
        );
    }

    #[test]
    fn unknown_apis_have_a_header_of_version_1() {
        let header = decode(b"\x27\x10\0\0\0\0\0\x01\xff\xff").unwrap();
        assert_eq!(
            (header.api_key, header.api(), header.client_id),
            (10_000, None, None)
        );
    }

    #[test]
    fn a_future_version_of_api_versions_still_has_a_header() {
        let header = decode(b"\0\x12\0\x63\0\0\0\x07\xff\xff\0rest").unwrap();
        assert_eq!(header.api_version, 99);
    }
}
