//! `partition.metadata`: the topic that a partition's directory belongs to. Source: KIP-516.
//!
//! Layout: `version: 0` and `topic_id: <22 characters>`, a line each, in this order.

use kabuki_protocol::ids::TopicId;

/// Name of the file.
pub(crate) const PARTITION_METADATA: &str = "partition.metadata";

/// Most bytes that are read of it: two short lines are far below.
pub(crate) const PARTITION_METADATA_BYTES_MAX: u64 = 1024;

/// The text for a topic.
pub(crate) fn text_of(topic_id: TopicId) -> String {
    format!("version: 0\ntopic_id: {topic_id}\n")
}

/// Reads the text.
pub(crate) fn parse(text: &str) -> Result<TopicId, &'static str> {
    let mut lines = text.lines();
    if lines.next() != Some("version: 0") {
        return Err("the first line is not 'version: 0'");
    }
    let id = lines
        .next()
        .and_then(|line| line.strip_prefix("topic_id: "));
    id.and_then(|id| id.parse().ok())
        .filter(|id: &TopicId| !id.is_zero())
        .ok_or("the second line is no topic id")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kafka_writes_is_read_and_nothing_else() {
        let id = TopicId([7; 16]);
        assert_eq!(parse(&text_of(id)), Ok(id));
        assert_eq!(parse(text_of(id).trim_end()), Ok(id));
        let absent = text_of(TopicId([0; 16]));
        for text in [
            "",
            "version: 1\ntopic_id: x",
            "version: 0\n",
            "version: 0\ntopic_id: short",
            &absent,
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
