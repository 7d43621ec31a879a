//! The bytes that classic consumers send each other through the broker: ConsumerProtocolSubscription and
//! ConsumerProtocolAssignment, versions 0 to 3. The broker reads them to know subscribed topics, and
//! translates them where classic members live in a consumer group. Other protocol types are never opened.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

/// `protocol_type` of consumers.
pub(crate) const CONSUMER_PROTOCOL: &str = "consumer";

/// Highest version that is known; later ones only append fields.
const VERSION_MAX: i16 = 3;

/// What a classic consumer says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Subscription {
    pub(crate) topics: BTreeSet<Arc<str>>,
    /// Version 1 and later: what it still owns, by topic name.
    pub(crate) owned: Vec<(Arc<str>, i32)>,
    /// Version 3.
    pub(crate) rack_id: Option<Arc<str>>,
}

/// Version in front of the bytes; `None` when there are not two.
pub(crate) fn version(bytes: &Bytes) -> Option<i16> {
    Reader(bytes).int16().filter(|version| *version >= 0)
}

/// Reads a subscription; `None` when the bytes are none.
pub(crate) fn read_subscription(bytes: &Bytes) -> Option<Subscription> {
    let mut reader = Reader(bytes);
    let version = reader
        .int16()
        .filter(|version| *version >= 0)?
        .min(VERSION_MAX);
    let mut subscription = Subscription::default();
    for _ in 0..reader.count(2)? {
        subscription.topics.insert(reader.text()??);
    }
    reader.skip_bytes()?;
    if version >= 1 {
        subscription.owned = reader.partitions()?;
    }
    if version >= 2 {
        reader.int32()?;
    }
    if version >= 3 {
        subscription.rack_id = reader.text()?;
    }
    Some(subscription)
}

/// Reads an assignment; `None` when the bytes are none. No bytes at all are an empty assignment.
pub(crate) fn read_assignment(bytes: &Bytes) -> Option<Vec<(Arc<str>, i32)>> {
    if bytes.is_empty() {
        return Some(Vec::new());
    }
    let mut reader = Reader(bytes);
    reader.int16().filter(|version| *version >= 0)?;
    reader.partitions()
}

/// Writes an assignment: partitions grouped by topic name.
pub(crate) fn write_assignment(version: i16, topics: &[(Arc<str>, Vec<i32>)]) -> Bytes {
    let mut bytes = Vec::with_capacity(64);
    bytes.extend(version.clamp(0, VERSION_MAX).to_be_bytes());
    bytes.extend(length(topics.len()).to_be_bytes());
    for (topic, partitions) in topics {
        let name = &topic.as_bytes()[..topic.len().min(i16::MAX as usize)];
        bytes.extend(i16::try_from(name.len()).unwrap_or(i16::MAX).to_be_bytes());
        bytes.extend(name);
        bytes.extend(length(partitions.len()).to_be_bytes());
        for partition in partitions {
            bytes.extend(partition.to_be_bytes());
        }
    }
    // No user data.
    bytes.extend((-1i32).to_be_bytes());
    Bytes::from(bytes)
}

fn length(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// The bytes that are left. Every read says `None` past the end.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk::<N>()?;
        self.0 = tail;
        Some(*head)
    }

    fn int16(&mut self) -> Option<i16> {
        self.take().map(i16::from_be_bytes)
    }

    fn int32(&mut self) -> Option<i32> {
        self.take().map(i32::from_be_bytes)
    }

    /// A count of elements that are at least `bytes_min` long: never more than the bytes left can hold.
    fn count(&mut self, bytes_min: usize) -> Option<usize> {
        let count = self.int32()?;
        // Null stands for none, as Kafka's reader takes it for optional arrays.
        let count = usize::try_from(count.max(0)).ok()?;
        (count <= self.0.len() / bytes_min).then_some(count)
    }

    /// Outer `None`: not enough bytes. Inner: null.
    fn text(&mut self) -> Option<Option<Arc<str>>> {
        let Ok(length) = usize::try_from(self.int16()?) else {
            return Some(None);
        };
        let (head, tail) = self.0.split_at_checked(length)?;
        self.0 = tail;
        Some(Some(Arc::from(&*String::from_utf8_lossy(head))))
    }

    fn skip_bytes(&mut self) -> Option<()> {
        let length = usize::try_from(self.int32()?).unwrap_or(0);
        self.0 = self.0.get(length..)?;
        Some(())
    }

    fn partitions(&mut self) -> Option<Vec<(Arc<str>, i32)>> {
        let mut partitions = Vec::new();
        for _ in 0..self.count(6)? {
            let topic = self.text()??;
            for _ in 0..self.count(4)? {
                partitions.push((topic.clone(), self.int32()?));
            }
        }
        Some(partitions)
    }
}

/// Writes a subscription as a Java consumer does; tests build classic members with it.
#[cfg(test)]
pub(crate) fn write_subscription(topics: &[&str], owned: &[(&str, &[i32])]) -> Bytes {
    let mut bytes = Vec::new();
    let text = |bytes: &mut Vec<u8>, text: &str| {
        bytes.extend((text.len() as i16).to_be_bytes());
        bytes.extend(text.as_bytes());
    };
    bytes.extend(3i16.to_be_bytes());
    bytes.extend((topics.len() as i32).to_be_bytes());
    topics.iter().for_each(|topic| text(&mut bytes, topic));
    bytes.extend((-1i32).to_be_bytes());
    bytes.extend((owned.len() as i32).to_be_bytes());
    for (topic, partitions) in owned {
        text(&mut bytes, topic);
        bytes.extend((partitions.len() as i32).to_be_bytes());
        partitions
            .iter()
            .for_each(|partition| bytes.extend(partition.to_be_bytes()));
    }
    bytes.extend(5i32.to_be_bytes());
    text(&mut bytes, "rack");
    Bytes::from(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_subscription_is_read_as_it_was_written() {
        let bytes = write_subscription(&["b", "a"], &[("a", &[0, 3])]);
        let read = read_subscription(&bytes).unwrap();
        assert_eq!(
            read.topics,
            BTreeSet::from([Arc::from("a"), Arc::from("b")])
        );
        assert_eq!(read.owned, [(Arc::from("a"), 0), (Arc::from("a"), 3)]);
        assert_eq!(read.rack_id.as_deref(), Some("rack"));
        assert_eq!(version(&bytes), Some(3));
    }

    #[test]
    fn an_assignment_is_read_as_it_was_written() {
        let bytes = write_assignment(
            1,
            &[(Arc::from("a"), vec![1, 2]), (Arc::from("b"), vec![0])],
        );
        let read = read_assignment(&bytes).unwrap();
        assert_eq!(
            read,
            [
                (Arc::from("a"), 1),
                (Arc::from("a"), 2),
                (Arc::from("b"), 0)
            ]
        );
        assert_eq!(read_assignment(&Bytes::new()), Some(Vec::new()));
    }

    #[test]
    fn a_count_that_the_bytes_cannot_hold_is_refused() {
        let mut bytes = vec![0, 0];
        bytes.extend(i32::MAX.to_be_bytes());
        assert_eq!(read_subscription(&Bytes::from(bytes)), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let bytes = Bytes::from(bytes);
            let subscription = read_subscription(&bytes);
            prop_assert!(subscription.is_none_or(|read| read.topics.len() <= bytes.len()));
            let assignment = read_assignment(&bytes);
            prop_assert!(assignment.is_none_or(|read| read.len() <= bytes.len()));
        }
    }
}
