//! Which partition a record goes to: by its key as Kafka's clients hash it, or, without a key, to the
//! one whose batch is being filled.

use std::collections::HashMap;

use rand::Rng as _;

/// The partition of a key, the same that Kafka's Java client and librdkafka's `murmur2_random`
/// choose, so that programs in several languages agree.
///
/// ```
/// assert_eq!(kabuki_client::partition_for_key(b"order-4711", 8), 3);
/// ```
///
/// # Panics
/// Panics if there are no partitions.
pub fn partition_for_key(key: &[u8], partition_count: usize) -> i32 {
    assert!(partition_count > 0, "a topic has at least one partition");
    let positive = murmur2(key) & 0x7fff_ffff;
    let partition = positive as usize % partition_count;
    i32::try_from(partition).expect("partition numbers are int32")
}

/// Murmur2 with the seed of Kafka's `Utils.murmur2`.
fn murmur2(bytes: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const FACTOR: u32 = 0x5bd1_e995;
    let mut hash = SEED ^ bytes.len() as u32;
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        let mut word = u32::from_le_bytes(*word).wrapping_mul(FACTOR);
        word ^= word >> 24;
        hash = hash.wrapping_mul(FACTOR) ^ word.wrapping_mul(FACTOR);
    }
    for (at, byte) in rest.iter().enumerate() {
        hash ^= u32::from(*byte) << (8 * at);
    }
    if !rest.is_empty() {
        hash = hash.wrapping_mul(FACTOR);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(FACTOR);
    hash ^ (hash >> 15)
}

/// The partitions that records without a key go to: one of each topic, until its batch is full.
/// Source: KIP-480.
#[derive(Debug, Default)]
pub(super) struct Sticky {
    chosen: HashMap<String, i32>,
}

impl Sticky {
    /// The partition for the next record. `partitions` are those that have a leader, and not empty.
    pub(super) fn choose(&mut self, topic: &str, partitions: &[i32]) -> i32 {
        if let Some(chosen) = self
            .chosen
            .get(topic)
            .filter(|chosen| partitions.contains(chosen))
        {
            return *chosen;
        }
        let chosen = partitions[rand::rng().random_range(0..partitions.len())];
        self.chosen.insert(topic.to_owned(), chosen);
        chosen
    }

    /// The batch of the partition is full: the next record goes elsewhere.
    pub(super) fn turn(&mut self, topic: &str, partition: i32) {
        if self.chosen.get(topic) == Some(&partition) {
            self.chosen.remove(topic);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of `Utils.murmur2`, as Kafka's own test pins them.
    #[test]
    fn the_hash_is_kafkas() {
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            (
                "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
    }

    #[test]
    fn records_without_a_key_stay_until_the_batch_is_full() {
        let mut sticky = Sticky::default();
        let partitions: Vec<i32> = (0..1000).collect();
        let first = sticky.choose("orders", &partitions);
        assert_eq!(sticky.choose("orders", &partitions), first);
        assert!(
            sticky.choose("orders", &[first + 1]) != first,
            "its leader is gone"
        );
        let second = sticky.choose("orders", &partitions);
        assert_eq!(second, first + 1);
        sticky.turn("orders", first);
        assert_eq!(
            sticky.choose("orders", &partitions),
            second,
            "another partition was full"
        );
        sticky.turn("orders", second);
        let elsewhere = (0..10).any(|_| {
            let next = sticky.choose("orders", &partitions);
            sticky.turn("orders", next);
            next != second
        });
        assert!(elsewhere);
    }
}
