//! Performs reads and look-ups: at once where the page cache has the bytes, else in the pool, a few
//! at a time. Holds the watchers' messages too.

use std::collections::VecDeque;

use kabuki_protocol::ids::{LeaderEpoch, Offset};
use kabuki_runtime::{Context, EventKind, Handler, Message, ReplyPort, Undelivered};
use kabuki_storage::LogFault;
use kabuki_storage::ReadPlan as FilePlan;
use kabuki_storage::TimestampOffset;
use kabuki_storage::log::{ReadDone, ReadJob, TimestampJob};

use super::Partition;
use super::jobs::{JobFault, JobOutcome, outcome, own_message};
use crate::messages::{
    DescribeProducers, EpochEnd, FindEpochEnd, FindOffset, FindRefused, Isolation, NotServed,
    OffsetFound, OffsetTarget, PartitionMoved, ReadRecords, ReadRefused, RecordsRead,
    UnwatchPartition, WatchPartition,
};
use crate::state::{FindPlan, ReadPlan};

/// Jobs that read one partition's files at the same time. More would only queue in the directory's
/// pool, in front of its other partitions.
const POOL_READS_MAX: usize = 4;

/// Reads of one partition that wait for their turn. More means that its disk hangs, or that consumers
/// ask for more than it can read: they are told to ask again.
const WAITING_READS_MAX: usize = 1_024;

type ReadReply = ReplyPort<Result<RecordsRead, ReadRefused>>;
type FindReply = ReplyPort<Result<OffsetFound, FindRefused>>;

/// Reads in the pool and before it.
#[derive(Default)]
pub(crate) struct PoolReads {
    out_count: usize,
    waiting: VecDeque<PoolRead>,
    /// What the supervision log was told last: a reader that tries again and again is told once.
    reported: Option<String>,
}

impl PoolReads {
    /// Lets a read wait for its turn, in the room of those whose asker has left if there is no other.
    fn wait(&mut self, read: PoolRead) {
        if self.waiting.len() >= WAITING_READS_MAX {
            self.waiting.retain(|read| !read.is_abandoned());
        }
        if self.waiting.len() >= WAITING_READS_MAX {
            return read.refuse(format!("{WAITING_READS_MAX} reads wait for the disk"));
        }
        self.waiting.push_back(read);
    }

    /// Why a read gave nothing, told to the supervision log when it is news. Writes go on, and so do
    /// reads of other ranges.
    fn refused(
        &mut self,
        fetch_offset: Offset,
        fault: &JobFault,
        cx: &Context<Partition>,
    ) -> ReadRefused {
        let cause = fault.to_string();
        let JobFault::Log(fault) = fault else {
            // A queue that is full says nothing about what lies in the files.
            return ReadRefused::Storage {
                fetch_offset,
                cause,
            };
        };
        if self.reported.as_ref() != Some(&cause) {
            cx.report(EventKind::Degraded, &cause);
            self.reported = Some(cause.clone());
        }
        match fault {
            LogFault::CorruptBatch { .. } => ReadRefused::Corrupt {
                fetch_offset,
                cause,
            },
            _ => ReadRefused::Storage {
                fetch_offset,
                cause,
            },
        }
    }
}

/// Work for the pool, with whom it is for.
pub(crate) enum PoolRead {
    Read {
        job: ReadJob,
        fetch_offset: Offset,
        reply: ReadReply,
    },
    Find {
        job: TimestampJob,
        search: Search,
    },
}

impl PoolRead {
    fn is_abandoned(&self) -> bool {
        match self {
            Self::Read { reply, .. } => reply.is_abandoned(),
            Self::Find { search, .. } => search.reply.is_abandoned(),
        }
    }

    fn refuse(self, cause: String) {
        match self {
            Self::Read {
                fetch_offset,
                reply,
                ..
            } => reply.send(Err(ReadRefused::Storage {
                fetch_offset,
                cause,
            })),
            Self::Find { search, .. } => search.reply.send(Err(FindRefused::Storage { cause })),
        }
    }
}

/// A look-up that searches the files.
pub(crate) struct Search {
    target: OffsetTarget,
    isolation: Isolation,
    /// First offset of what is searched.
    log_start: Offset,
    reply: FindReply,
}

/// A read that has ended.
pub(crate) struct FinishedRead {
    fetch_offset: Offset,
    reply: ReadReply,
    outcome: JobOutcome<ReadDone>,
}

/// A search that has ended.
pub(crate) struct FinishedFind {
    search: Search,
    outcome: JobOutcome<Option<TimestampOffset>>,
}

own_message! {
    /// The pool has read.
    ReadFinished(FinishedRead) => read_finished;
    /// The pool has searched.
    FindFinished(FinishedFind) => find_finished;
}

impl Handler<ReadRecords> for Partition {
    fn handle(&mut self, read: ReadRecords, cx: &mut Context<Self>) {
        let asked = read.topic_id;
        if let Some(hosted) = self.foreign_to(asked) {
            let why = NotServed::ForeignTopic { asked, hosted };
            return read.reply.send(Err(why.into()));
        }
        if self.stopping.is_some() {
            // A watcher is told `Removed` from now on: whoever could still read would ask and
            // watch in turns until the log is closed.
            return read.reply.refuse(Undelivered::Stopped);
        }
        let Some(open) = &mut self.open else {
            return read.reply.refuse(Undelivered::Restarting);
        };
        let ReadRecords {
            fetch_offset,
            bytes_max,
            must_return_one,
            reply,
            ..
        } = read;
        let plan = open.state.read(
            fetch_offset,
            read.current_leader_epoch,
            read.last_fetched_epoch,
            read.isolation,
        );
        let up_to = match plan {
            Err(why) => return reply.send(Err(why)),
            Ok(ReadPlan::Answer(answer)) => return reply.send(Ok(answer)),
            Ok(ReadPlan::Files { up_to }) => up_to,
        };
        open.file_use.used(cx.now());
        let plan = open
            .log
            .read(fetch_offset, up_to, bytes_max, must_return_one);
        match plan {
            Ok(FilePlan::Ready(records)) => reply.send(Ok(open.state.read_answer(records, None))),
            Ok(FilePlan::Empty) => {
                reply.send(Ok(open.state.read_answer(bytes::Bytes::new(), None)));
            }
            Ok(FilePlan::Pool(job)) => {
                self.read_in_pool(
                    PoolRead::Read {
                        job,
                        fetch_offset,
                        reply,
                    },
                    cx,
                );
            }
            Err(fault) => {
                let why = open.reads.refused(fetch_offset, &fault.into(), cx);
                reply.send(Err(why));
            }
        }
    }
}

impl Handler<FindOffset> for Partition {
    fn handle(&mut self, find: FindOffset, cx: &mut Context<Self>) {
        let asked = find.topic_id;
        if let Some(hosted) = self.foreign_to(asked) {
            let why = NotServed::ForeignTopic { asked, hosted };
            return find.reply.send(Err(why.into()));
        }
        let Some(open) = &mut self.open else {
            return find.reply.refuse(Undelivered::Restarting);
        };
        let search = Search {
            target: find.target,
            isolation: find.isolation,
            log_start: open.state.marks.log_start(),
            reply: find.reply,
        };
        self.find(search, find.current_leader_epoch, cx);
    }
}

impl Handler<FindEpochEnd> for Partition {
    fn handle(&mut self, find: FindEpochEnd, _: &mut Context<Self>) {
        let asked = find.topic_id;
        if let Some(hosted) = self.foreign_to(asked) {
            let why = NotServed::ForeignTopic { asked, hosted };
            return find.reply.send(Err(why.into()));
        }
        let Some(open) = &self.open else {
            return find.reply.refuse(Undelivered::Restarting);
        };
        let end: Result<EpochEnd, FindRefused> = open
            .state
            .find_epoch_end(find.leader_epoch, find.current_leader_epoch);
        find.reply.send(end);
    }
}

impl Handler<DescribeProducers> for Partition {
    fn handle(&mut self, query: DescribeProducers, _: &mut Context<Self>) {
        let asked = query.topic_id;
        if let Some(hosted) = self.foreign_to(asked) {
            let why = NotServed::ForeignTopic { asked, hosted };
            return query.reply.send(Err(why));
        }
        let Some(open) = &self.open else {
            return query.reply.refuse(Undelivered::Restarting);
        };
        query.reply.send(open.state.describe_producers());
    }
}

impl Handler<WatchPartition> for Partition {
    fn handle(&mut self, watch: WatchPartition, _: &mut Context<Self>) {
        let WatchPartition {
            topic_id,
            watcher,
            after,
            reply,
        } = watch;
        if self.foreign_to(topic_id).is_some() {
            return reply.send(PartitionMoved::Removed);
        }
        let Some(open) = &mut self.open else {
            return reply.refuse(Undelivered::Restarting);
        };
        if self.stopping.is_some() {
            return reply.send(PartitionMoved::Removed);
        }
        if !open.state.leadership.is_leading() {
            return reply.send(PartitionMoved::Changed);
        }
        if open.announced > after {
            return reply.send(PartitionMoved::HighWatermark(open.announced));
        }
        // The replaced port is dropped: the watcher has forgotten it.
        open.state.watchers.watch(watcher, after, reply);
    }
}

impl Handler<UnwatchPartition> for Partition {
    fn handle(&mut self, unwatch: UnwatchPartition, _: &mut Context<Self>) {
        if let Some(open) = &mut self.open {
            open.state.watchers.unwatch(unwatch.watcher);
        }
    }
}

impl Partition {
    /// Answers a look-up, or has the files searched for it.
    fn find(&mut self, search: Search, current_leader_epoch: LeaderEpoch, cx: &mut Context<Self>) {
        let Some(open) = &mut self.open else { return };
        let plan = open
            .state
            .find(search.target, search.isolation, current_leader_epoch);
        let job = match plan {
            Err(why) => return search.reply.send(Err(why)),
            Ok(FindPlan::Answer(found)) => return search.reply.send(Ok(found)),
            Ok(FindPlan::Timestamp { timestamp, up_to }) => {
                open.log.offset_for_timestamp_job(timestamp, up_to)
            }
            Ok(FindPlan::MaxTimestamp { up_to }) => open.log.max_timestamp_job(up_to),
        };
        self.read_in_pool(PoolRead::Find { job, search }, cx);
    }

    /// Hands a read to the pool, or lets it wait for its turn.
    fn read_in_pool(&mut self, read: PoolRead, cx: &mut Context<Self>) {
        let Some(open) = &mut self.open else { return };
        if open.reads.out_count >= POOL_READS_MAX {
            return open.reads.wait(read);
        }
        open.reads.out_count += 1;
        match read {
            PoolRead::Read {
                job,
                fetch_offset,
                reply,
            } => {
                let running = self.spec.disk.run("read", move |fs| job.run(fs));
                cx.spawn(running, move |result| {
                    ReadFinished(FinishedRead {
                        fetch_offset,
                        reply,
                        outcome: outcome(result),
                    })
                });
            }
            PoolRead::Find { job, search } => {
                // How much is searched depends on the data.
                let running = self.spec.disk.run_long("search", move |fs| job.run(fs));
                cx.spawn(running, move |result| {
                    FindFinished(FinishedFind {
                        search,
                        outcome: outcome(result),
                    })
                });
            }
        }
    }

    fn next_pool_read(&mut self, cx: &mut Context<Self>) {
        let Some(open) = &mut self.open else { return };
        open.reads.out_count -= 1;
        if let Some(read) = open.reads.waiting.pop_front() {
            self.read_in_pool(read, cx);
        }
    }

    fn read_finished(&mut self, finished: FinishedRead, cx: &mut Context<Self>) {
        let FinishedRead {
            fetch_offset,
            reply,
            outcome,
        } = finished;
        if let Some(open) = &mut self.open {
            reply.send(match outcome {
                Ok(done) => {
                    // It brings the file along that it opened.
                    open.file_use.used(cx.now());
                    let records = open.log.finish_read(done);
                    Ok(open.state.read_answer(records, None))
                }
                // The segment was trimmed away while the read waited.
                Err(_) if fetch_offset < open.state.marks.log_start() => {
                    Err(open.state.out_of_range(fetch_offset))
                }
                Err(fault) => Err(open.reads.refused(fetch_offset, &fault, cx)),
            });
        }
        self.next_pool_read(cx);
    }

    fn find_finished(&mut self, finished: FinishedFind, cx: &mut Context<Self>) {
        let FinishedFind {
            mut search,
            outcome,
        } = finished;
        self.next_pool_read(cx);
        let Some(open) = &mut self.open else { return };
        let log_start = open.state.marks.log_start();
        let is_outdated = match &outcome {
            Ok(Some(found)) => found.offset < log_start,
            Ok(None) => false,
            Err(_) => search.log_start < log_start,
        };
        if is_outdated {
            // Trimmed meanwhile: a file is gone, or what was found is, and what lies behind it was
            // not looked at. Each further round needs a further trim.
            search.log_start = log_start;
            return self.find(search, LeaderEpoch::NONE, cx);
        }
        let Search {
            isolation, reply, ..
        } = search;
        reply.send(match outcome {
            Ok(found) => Ok(open.state.found(found, isolation)),
            Err(fault) => Err(FindRefused::Storage {
                cause: fault.to_string(),
            }),
        });
    }
}
