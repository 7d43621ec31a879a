//! What consumers embed in JoinGroup (ConsumerProtocolSubscription, versions 0 and 1): written as
//! `subscription:TOPIC,TOPIC`, with the partitions that a member has after a `;` as `TOPIC/0,TOPIC/1`.

use crate::wire::Writer;

fn text(writer: &mut Writer, text: &str) {
    writer.text_length(Some(text.len()), false);
    writer.put(text.as_bytes());
}

fn names(list: &str) -> Vec<&str> {
    list.split(',').filter(|name| !name.is_empty()).collect()
}

pub(crate) fn encode(described: &str) -> Vec<u8> {
    let (topics, owned) = match described.split_once(';') {
        Some((topics, owned)) => (topics, Some(owned)),
        None => (described, None),
    };
    let mut writer = Writer::default();
    writer.int16(i16::from(owned.is_some()));
    let topics = names(topics);
    writer.length(Some(topics.len()), false);
    topics.iter().for_each(|topic| text(&mut writer, topic));
    // No user data.
    writer.length(None, false);
    if let Some(owned) = owned {
        let owned = names(owned);
        writer.length(Some(owned.len()), false);
        for partition in owned {
            let (topic, index) = partition.rsplit_once('/').unwrap_or((partition, "0"));
            text(&mut writer, topic);
            writer.length(Some(1), false);
            writer.int32(index.parse().unwrap_or_default());
        }
    }
    writer.bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::to_hex;

    #[test]
    fn a_subscription_is_written_as_consumers_write_it() {
        assert_eq!(
            to_hex(&encode("a,bc")),
            "00000000000200016100026263ffffffff"
        );
        assert_eq!(
            to_hex(&encode("a;a/2")),
            "000100000001000161ffffffff0000000100016100000001\
             00000002"
        );
    }
}
