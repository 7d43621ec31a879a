//! `kabuki consume --group`: reads the partitions that a group gives to this member, and commits what was
//! written.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kabuki_client::{
    Admin, AssignmentChange, Client, ConsumedRecord, GroupConsumer, GroupOptions, LossCause,
    OffsetSpec, StartAt,
};
use kabuki_protocol::ids::Offset;
use tokio::signal::unix::{SignalKind, signal};

use super::CliError;
use super::consume::{ConsumeArgs, POLL_WAIT};
use super::progress::RecordProgress;

pub(super) async fn run(args: &ConsumeArgs, client: Client, group: &str) -> Result<(), CliError> {
    let topic = client.topic(&args.topic).await?;
    let ends = match args.until_end {
        true => {
            let all: Vec<i32> = topic.partitions.iter().map(|of| of.index).collect();
            let admin = Admin::new(client.clone());
            let ends = admin
                .list_offsets(&args.topic, &all, OffsetSpec::Latest)
                .await?;
            let known = ends.into_iter();
            Some(
                known
                    .filter_map(|(index, end)| Some((index, end.offset?)))
                    .collect(),
            )
        }
        false => None,
    };
    let options = GroupOptions {
        instance_id: args.instance_id.clone(),
        when_uncommitted: match args.from_beginning {
            true => StartAt::Beginning,
            false => StartAt::End,
        },
        ..GroupOptions::new(group, &[&args.topic])
    };
    let mut reading = Reading {
        args,
        consumer: GroupConsumer::new(client, options),
        ends,
        records_left: args.max_messages,
        progress: RecordProgress::start("reading", args.max_messages, true),
        is_ending: end_by_signal()?,
    };
    let read = reading.read().await;
    reading.progress.finish();
    // Even after an error: what was written is committed, and the others need not wait for a timeout.
    let left = reading.consumer.leave().await;
    read.and(left.map_err(CliError::from))
}

struct Reading<'a> {
    args: &'a ConsumeArgs,
    consumer: GroupConsumer,
    /// Where the partitions ended when the command began, if it ends there.
    ends: Option<BTreeMap<i32, Offset>>,
    records_left: Option<u64>,
    progress: RecordProgress,
    is_ending: Arc<AtomicBool>,
}

impl Reading<'_> {
    async fn read(&mut self) -> Result<(), CliError> {
        while !self.is_done() {
            let records = self.consumer.poll(POLL_WAIT).await?;
            self.tell_of_loss();
            let count_max = self.records_left.map_or(usize::MAX, |left| {
                usize::try_from(left).unwrap_or(usize::MAX)
            });
            let (to_write, others) = records.split_at(count_max.min(records.len()));
            if let Some(unwritten) = others.first() {
                self.back_to(unwritten);
            }
            let mut text = Vec::new();
            for record in to_write {
                let written = self.args.write(record, &mut text);
                written.expect("memory takes every byte");
            }
            if let (Err(error), Some(first)) = (write_out(text).await, to_write.first()) {
                // Nobody knows which of them were written.
                self.back_to(first);
                return Err(CliError::output(error));
            }
            let count = to_write.len() as u64;
            if let Some(left) = &mut self.records_left {
                *left -= count;
            }
            let values = to_write.iter().filter_map(|record| record.value.as_ref());
            let bytes = values.map(|value| value.len() as u64).sum();
            self.progress.add(count, bytes);
        }
        Ok(())
    }

    fn back_to(&mut self, record: &ConsumedRecord) {
        let (topic, partition) = (&record.topic, record.partition);
        self.consumer.seek(topic, partition, record.offset);
    }

    fn tell_of_loss(&self) {
        for change in self.consumer.changes() {
            if let AssignmentChange::Lost { partitions, cause } = change {
                let count = partitions.len();
                let why = match cause {
                    LossCause::Fenced => "the group has given this member up",
                    LossCause::PollOverdue => "the output has not moved for too long",
                };
                eprintln!(
                    "kabuki: {why}: {count} partitions went to others, which may write again what was written here"
                );
            }
        }
    }

    fn is_done(&self) -> bool {
        let topic = &self.args.topic;
        let is_read = |(_, partition): &(String, i32), ends: &BTreeMap<i32, Offset>| {
            let end = ends.get(partition).copied().unwrap_or(Offset::ZERO);
            let position = self.consumer.position(topic, *partition);
            position.is_some_and(|next| next >= end)
        };
        let owned = self.consumer.assignment();
        let all_read = self.ends.as_ref().is_some_and(|ends| {
            !owned.is_empty() && owned.iter().all(|partition| is_read(partition, ends))
        });
        all_read || self.records_left == Some(0) || self.is_ending.load(Ordering::Relaxed)
    }
}

/// Writes on another thread: standard output may stand still, and heartbeats must not.
async fn write_out(text: Vec<u8>) -> io::Result<()> {
    let writing = tokio::task::spawn_blocking(move || {
        let mut out = io::stdout();
        out.write_all(&text)?;
        out.flush()
    });
    writing
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// Becomes true when the command is asked to end: it commits and leaves its group first.
fn end_by_signal() -> Result<Arc<AtomicBool>, CliError> {
    let is_ending = Arc::new(AtomicBool::new(false));
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        let mut signal = signal(kind).map_err(CliError::io("signal handler"))?;
        let is_ending = is_ending.clone();
        tokio::spawn(async move {
            signal.recv().await;
            is_ending.store(true, Ordering::Relaxed);
        });
    }
    Ok(is_ending)
}
