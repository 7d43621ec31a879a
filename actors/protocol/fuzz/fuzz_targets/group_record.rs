//! Records of `__consumer_offsets` as a producer might write them, and what consumers tell each other.

#![no_main]

use bytes::Bytes;
use kabuki_protocol::codec::{DecodeError, EncodeError};
use kabuki_protocol::consumer_protocol::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription,
};
use kabuki_protocol::group_records::{GroupRecord, partition_of};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&key_bytes, rest)) = input.split_first() else {
        return;
    };
    let (key, value) = rest.split_at(rest.len().min(usize::from(key_bytes)));
    let (key, value) = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
    for value in [None, Some(&value)] {
        if let Ok(record) = GroupRecord::decode(&key, value) {
            again(&record);
            assert!((0..50).contains(&partition_of(record.group_id(), 50)));
        }
    }
    embedded(
        &value,
        ConsumerProtocolSubscription::from_bytes,
        |subscription| subscription.to_bytes(3),
    );
    embedded(
        &value,
        ConsumerProtocolAssignment::from_bytes,
        |assignment| assignment.to_bytes(3),
    );
});

/// What decodes says the same after an encode, but for what the version lacks. A text may have grown
/// past the limit on the way: each bad byte becomes the three of U+FFFD.
fn again(record: &GroupRecord) {
    let (Ok(key), Ok(value)) = (record.encode_key(), record.encode_value()) else {
        return;
    };
    let written = GroupRecord::decode(&key, value.as_ref()).expect("own bytes decode");
    let value = written.encode_value().expect("it did before");
    let twice = GroupRecord::decode(&key, value.as_ref()).expect("own bytes decode");
    assert_eq!(twice, written);
}

fn embedded<T: PartialEq + std::fmt::Debug>(
    bytes: &Bytes,
    read: impl Fn(&Bytes) -> Result<T, DecodeError>,
    write: impl Fn(&T) -> Result<Bytes, EncodeError>,
) {
    if let Ok(message) = read(bytes)
        && let Ok(written) = write(&message)
    {
        assert_eq!(read(&written).expect("own bytes decode"), message);
    }
}
