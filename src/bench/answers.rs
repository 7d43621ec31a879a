//! Answers of a broker under load, read without allocating. What does not have the form of a plain
//! success is read again in full, to find the words for what is wrong.

use bytes::Bytes;
use kabuki_client::ClientError;
use kabuki_protocol::header::decode_response;
use kabuki_protocol::messages::{FetchResponse, ProduceResponse};

use super::BenchError;
use super::wire::{Api, FETCH_VERSION, PRODUCE_VERSION};

/// Holds that the broker serves that version, by its answer to `api_versions_frame`.
pub(super) fn check_versions(answer: &[u8], api: &Api, address: &str) -> Result<(), BenchError> {
    let malformed = || BenchError::Answer {
        what: "ApiVersions".to_owned(),
        cause: "breaks off".to_owned(),
    };
    let mut cursor = Cursor(answer);
    expect_correlation(&mut cursor, 0)?;
    cursor.skip(size_of::<i16>()).ok_or_else(malformed)?;
    let count = cursor.i32().ok_or_else(malformed)?;
    let (mut min, mut max) = (0, -1);
    for _ in 0..count {
        let mut field = || cursor.i16().ok_or_else(malformed);
        let range = (field()?, field()?, field()?);
        if range.0 == api.key {
            (min, max) = (range.1, range.2);
        }
    }
    if (min..=max).contains(&api.version) {
        return Ok(());
    }
    Err(BenchError::Unsupported {
        address: address.to_owned(),
        api: api.name,
        min,
        max,
        sent: api.version,
    })
}

/// Holds that a Produce answer belongs to that request and names no error.
pub(super) fn check_produce_answer(
    answer: &[u8],
    topic: &str,
    correlation_id: i32,
) -> Result<(), BenchError> {
    // One topic, one partition: the error stands behind correlation id, two counts, the name and the
    // partition. Any other form takes the long way, which also finds the words for an error.
    let error_at = 18 + topic.len();
    let bytes = 48 + topic.len();
    let mut cursor = Cursor(answer);
    expect_correlation(&mut cursor, correlation_id)?;
    if answer.len() == bytes && answer[error_at..error_at + 2] == [0, 0] {
        return Ok(());
    }
    let frame = Bytes::copy_from_slice(answer);
    let (_, answer) = decode_response::<ProduceResponse>(frame, PRODUCE_VERSION)?;
    for topic in &answer.responses {
        for partition in &topic.partition_responses {
            refused(
                "produce to",
                &topic.name,
                partition.index,
                partition.error_code,
            )?;
        }
    }
    Ok(())
}

/// The record bytes in a Fetch answer for one partition, and the partition's high watermark.
pub(super) fn read_fetch_answer(
    answer: &[u8],
    correlation_id: i32,
) -> Result<(i64, &[u8]), BenchError> {
    let mut cursor = Cursor(answer);
    expect_correlation(&mut cursor, correlation_id)?;
    let found = fetched(&mut cursor);
    if let Some((0, high_watermark, records)) = found {
        return Ok((high_watermark, records));
    }
    let frame = Bytes::copy_from_slice(answer);
    let (_, answer) = decode_response::<FetchResponse>(frame, FETCH_VERSION)?;
    refused("fetch of", "the request", -1, answer.error_code)?;
    for topic in &answer.responses {
        for partition in &topic.partitions {
            let (index, code) = (partition.partition_index, partition.error_code);
            refused("fetch of", &topic.topic, index, code)?;
        }
    }
    Err(BenchError::Answer {
        what: "Fetch".to_owned(),
        cause: "holds not exactly the partition that was asked for".to_owned(),
    })
}

/// Error code, high watermark and records; `None` where the form is another.
fn fetched<'a>(cursor: &mut Cursor<'a>) -> Option<(i16, i64, &'a [u8])> {
    const OFFSET_BYTES: usize = size_of::<i64>();
    cursor.skip(size_of::<i32>())?;
    let request_error = cursor.i16()?;
    cursor.skip(size_of::<i32>())?;
    if cursor.i32()? != 1 {
        return None;
    }
    let name_bytes = cursor.i16()?;
    cursor.skip(usize::try_from(name_bytes).ok()?)?;
    if cursor.i32()? != 1 {
        return None;
    }
    cursor.skip(size_of::<i32>())?;
    let error = cursor.i16()?;
    let high_watermark = cursor.i64()?;
    cursor.skip(2 * OFFSET_BYTES)?;
    let aborted_count = usize::try_from(cursor.i32()?).unwrap_or(0);
    cursor.skip(aborted_count.checked_mul(2 * OFFSET_BYTES)?)?;
    cursor.skip(size_of::<i32>())?;
    let records_bytes = usize::try_from(cursor.i32()?).unwrap_or(0);
    let records = cursor.take(records_bytes)?;
    Some((
        if request_error == 0 {
            error
        } else {
            request_error
        },
        high_watermark,
        records,
    ))
}

fn expect_correlation(cursor: &mut Cursor<'_>, wanted: i32) -> Result<(), BenchError> {
    match cursor.i32() {
        Some(found) if found == wanted => Ok(()),
        found => Err(BenchError::Answer {
            what: format!("request {wanted}"),
            cause: format!("carries the correlation id {}", found.unwrap_or_default()),
        }),
    }
}

fn refused(what: &str, topic: &str, partition: i32, code: i16) -> Result<(), BenchError> {
    if code == 0 {
        return Ok(());
    }
    let what = match partition {
        -1 => format!("{what} {topic}"),
        _ => format!("{what} {topic}-{partition}"),
    };
    let message = None;
    Err(ClientError::Refused {
        what,
        code,
        message,
    }
    .into())
}

/// What is left of an answer.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        self.take(count).map(|_| ())
    }

    fn i16(&mut self) -> Option<i16> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(i16::from_be_bytes(*bytes))
    }

    fn i32(&mut self) -> Option<i32> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(i32::from_be_bytes(*bytes))
    }

    fn i64(&mut self) -> Option<i64> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(i64::from_be_bytes(*bytes))
    }
}

#[cfg(test)]
mod tests {
    use kabuki_protocol::header::encode_response;
    use kabuki_protocol::messages::fetch::{FetchableTopicResponse, PartitionData};
    use kabuki_protocol::messages::produce::{PartitionProduceResponse, TopicProduceResponse};

    use super::super::wire::{FETCH, PRODUCE};
    use super::*;

    #[test]
    fn a_broker_without_the_version_is_named_with_its_range() {
        let mut answer = vec![0; 6];
        answer.extend(2_i32.to_be_bytes());
        for field in [0_i16, 9, 13, 1, 4, 18] {
            answer.extend(field.to_be_bytes());
        }
        assert!(check_versions(&answer, &FETCH, "b:1").is_ok());
        let refused = check_versions(&answer, &PRODUCE, "b:1").unwrap_err();
        assert!(
            refused.to_string().contains("Produce in versions 9 to 13"),
            "{refused}"
        );
        assert!(check_versions(&answer[..20], &FETCH, "b:1").is_err());
    }

    fn produce_answer(code: i16) -> Vec<u8> {
        let answer = ProduceResponse {
            responses: vec![TopicProduceResponse {
                name: "orders".to_owned(),
                partition_responses: vec![PartitionProduceResponse {
                    index: 3,
                    error_code: code,
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        };
        let frame = encode_response(PRODUCE_VERSION, 5, &answer).unwrap();
        frame.into_chunks().concat().split_off(4)
    }

    #[test]
    fn a_refused_batch_is_told_with_its_partition_and_cause() {
        assert!(check_produce_answer(&produce_answer(0), "orders", 5).is_ok());
        let refused = check_produce_answer(&produce_answer(10), "orders", 5).unwrap_err();
        assert!(
            refused.to_string().contains("produce to orders-3"),
            "{refused}"
        );
        assert!(check_produce_answer(&produce_answer(0), "orders", 6).is_err());
        let cut = &produce_answer(0)[..20];
        assert!(check_produce_answer(cut, "orders", 5).is_err());
    }

    fn fetch_answer(code: i16, records: &Bytes) -> Vec<u8> {
        let answer = FetchResponse {
            responses: vec![FetchableTopicResponse {
                topic: "orders".to_owned(),
                partitions: vec![PartitionData {
                    partition_index: 3,
                    error_code: code,
                    high_watermark: 99,
                    records: Some(records.clone()),
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        };
        let frame = encode_response(FETCH_VERSION, 5, &answer).unwrap();
        frame.into_chunks().concat().split_off(4)
    }

    #[test]
    fn the_records_of_a_fetch_are_found_and_its_error_is_told() {
        let records = Bytes::from(vec![8; 2_000]);
        let answer = fetch_answer(0, &records);
        assert_eq!(read_fetch_answer(&answer, 5).unwrap(), (99, &records[..]));
        let answer_1 = fetch_answer(1, &Bytes::new());
        let refused = read_fetch_answer(&answer_1, 5);
        assert!(
            refused
                .unwrap_err()
                .to_string()
                .contains("fetch of orders-3")
        );
        for length in 0..100 {
            assert!(read_fetch_answer(&answer[..length], 5).is_err(), "{length}");
        }
    }
}
