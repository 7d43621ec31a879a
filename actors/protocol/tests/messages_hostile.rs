//! What malformed bytes may do to the decoder: be refused. Never a panic, never an allocation that
//! the bytes left could not fill.

#![allow(clippy::unwrap_used)] // in functions that the tests share

use std::fmt::Debug;

use bytes::Bytes;
use kabuki_protocol::codec::{
    DecodeError, Decoder, ELEMENTS_MAX, Encoder, Malformed, Message, STRING_BYTES_MAX,
};
use kabuki_protocol::header::{RequestHeader, ResponseHeader};

use schema::{Fill, LengthAt, Random, for_each_embedded, for_each_message, generate};

mod schema;

const SEEDS: u64 = 6;

fn decode<T: Message>(bytes: &[u8], version: i16) -> Result<T, DecodeError> {
    T::decode(&mut Decoder::new(Bytes::copy_from_slice(bytes)), version)
}

/// Generated messages of all versions and fills, for `check` to spoil.
fn spoil<T: Message>(mut check: impl FnMut(&schema::Generated, i16, &mut Random)) {
    let schema = schema::schema(T::NAME);
    for version in T::VERSIONS {
        for seed in 0..SEEDS {
            let mut random = Random(seed << 20 | version as u64);
            let fill = match seed {
                0 => Fill::Least,
                1 => Fill::UnknownTags,
                _ => Fill::Random,
            };
            let generated = generate(&schema, version, fill, &mut random);
            check(&generated, version, &mut random);
        }
    }
}

fn refuses_every_prefix<T: Message + Debug>() {
    spoil::<T>(|generated, version, random| {
        let whole = &generated.bytes;
        // Every cut of a short message, some of a long one.
        let step = 1 + whole.len() / 64;
        let mut end = random.below(step);
        while end < whole.len() {
            let outcome = decode::<T>(&whole[..end], version);
            assert!(
                outcome.is_err(),
                "{} {version} cut at {end} decodes",
                T::NAME
            );
            end += step;
        }
    });
}

#[test]
fn a_message_cut_anywhere_is_refused() {
    for_each_message!(refuses_every_prefix);
    for_each_embedded!(refuses_every_prefix);
}

fn replace_length(bytes: &[u8], at: &LengthAt, length: &[u8]) -> Vec<u8> {
    [
        &bytes[..at.position],
        length,
        &bytes[at.position + at.width..],
    ]
    .concat()
}

/// Puts the largest length there is in place of each one, and wants the refusal to come from that
/// very length: so nothing was reserved for it.
fn refuses_lies<T: Message + Debug>() {
    spoil::<T>(|generated, version, _| {
        for at in &generated.lengths {
            let (length, claimed): (&[u8], usize) = match (at.is_compact, at.width) {
                (true, _) => (&[0xff, 0xff, 0xff, 0xff, 0x0f], u32::MAX as usize - 1),
                (false, 2) => (&[0x7f, 0xff], STRING_BYTES_MAX),
                (false, _) => (&[0x7f, 0xff, 0xff, 0xff], i32::MAX as usize),
            };
            let lie = replace_length(&generated.bytes, at, length);
            let kind = decode::<T>(&lie, version).unwrap_err().kind;
            let is_refused_at_once = match kind {
                Malformed::Truncated {
                    needed_bytes,
                    left_bytes,
                } => {
                    // A longer varint inside a tagged field pushes the field's end.
                    needed_bytes >= claimed || (at.is_compact && left_bytes < needed_bytes)
                }
                Malformed::Elements { count } => count == claimed,
                Malformed::Text { bytes } => bytes == claimed,
                Malformed::Varint => at.is_compact,
                _ => false,
            };
            assert!(
                is_refused_at_once,
                "{} {version}: {kind} for {at:?}",
                T::NAME
            );
        }
    });
}

#[test]
fn lengths_and_counts_that_lie_are_refused_where_they_stand() {
    for_each_message!(refuses_lies);
    for_each_embedded!(refuses_lies);
}

fn refuses_nulls<T: Message + Debug>() {
    spoil::<T>(|generated, version, _| {
        for at in generated.lengths.iter().filter(|at| !at.is_nullable) {
            let null: &[u8] = match (at.is_compact, at.width) {
                (true, 1) => &[0],
                // The null of one byte would shift what follows within a tagged field.
                (true, _) => continue,
                (false, 2) => &[0xff, 0xff],
                (false, _) => &[0xff, 0xff, 0xff, 0xff],
            };
            let spoilt = replace_length(&generated.bytes, at, null);
            let kind = decode::<T>(&spoilt, version).unwrap_err().kind;
            assert_eq!(kind, Malformed::Null, "{} {version} at {at:?}", T::NAME);
        }
    });
}

#[test]
fn null_is_refused_where_the_version_allows_none() {
    for_each_message!(refuses_nulls);
    for_each_embedded!(refuses_nulls);
}

/// Flips bytes. What still decodes must encode again and come back the same.
fn survives_mutation<T: Message + PartialEq + Debug>() {
    spoil::<T>(|generated, version, random| {
        if generated.bytes.is_empty() {
            return;
        }
        for _ in 0..20 {
            let mut bytes = generated.bytes.clone();
            for _ in 0..1 + random.below(4) {
                let at = random.below(bytes.len());
                bytes[at] = random.next() as u8;
            }
            let Ok(message) = decode::<T>(&bytes, version) else {
                continue;
            };
            let mut encoder = Encoder::new();
            message.encode(&mut encoder, version).unwrap();
            let again = decode::<T>(&encoder.finish().to_bytes(), version).unwrap();
            assert_eq!(again, message, "{} {version}", T::NAME);
        }
    });
}

#[test]
fn mutated_messages_are_refused_or_sound() {
    for_each_message!(survives_mutation);
    for_each_embedded!(survives_mutation);
}

fn survives_noise<T: Message + Debug>() {
    let mut random = Random(T::NAME.len() as u64);
    for version in T::VERSIONS {
        for count in 0..120 {
            let mut bytes = random.bytes(count);
            // Noise alone dies at the first length: half of it is small numbers.
            if count % 2 == 0 {
                bytes.iter_mut().for_each(|byte| *byte &= 3);
            }
            let _ = decode::<T>(&bytes, version);
        }
    }
    for version in [i16::MIN, -1, T::VERSIONS.end() + 1, i16::MAX] {
        let kind = decode::<T>(&[0; 64], version).unwrap_err().kind;
        assert_eq!(kind, Malformed::Version { version });
    }
}

#[test]
fn noise_and_unknown_versions_do_no_harm() {
    for_each_message!(survives_noise);
    for_each_embedded!(survives_noise);
    let mut random = Random(1);
    for count in 0..2_000 {
        let mut bytes = random.bytes(count % 40);
        if let Some(key) = bytes.first_mut() {
            *key &= 1;
        }
        let _ = RequestHeader::decode(&mut Decoder::new(Bytes::from(bytes.clone())));
        for header_version in [0, 1] {
            let _ = ResponseHeader::decode(&mut Decoder::new(bytes.clone().into()), header_version);
        }
    }
}

#[test]
fn an_array_of_a_million_and_one_is_refused_though_its_bytes_are_there() {
    use kabuki_protocol::messages::CreatePartitionsRequest;
    // Version 0: topics, each at least ten bytes.
    let mut frame = vec![0; 4 + 10 * (ELEMENTS_MAX + 1)];
    frame[..4].copy_from_slice(&(ELEMENTS_MAX as u32 + 1).to_be_bytes());
    let error = decode::<CreatePartitionsRequest>(&frame, 0).unwrap_err();
    assert_eq!(
        error.kind,
        Malformed::Elements {
            count: ELEMENTS_MAX + 1
        }
    );
    assert_eq!(error.field, "CreatePartitionsRequest.topics");
}

#[test]
fn bad_utf8_is_replaced_and_not_refused() {
    use kabuki_protocol::messages::FindCoordinatorRequest;
    let request = decode::<FindCoordinatorRequest>(b"\0\x03a\xff\xc3", 0).unwrap();
    assert_eq!(request.key, "a\u{fffd}\u{fffd}");
}

#[test]
fn bytes_behind_a_body_stay_in_the_decoder() {
    use kabuki_protocol::messages::ApiVersionsRequest;
    let mut decoder = Decoder::new(Bytes::from_static(b"\x02a\x02b\0rest"));
    ApiVersionsRequest::decode(&mut decoder, 3).unwrap();
    assert_eq!(decoder.rest()[..], *b"rest");
}
