//! A partition's directory on a simulated disk, and batches to put there. Shared by the log tests.
#![allow(dead_code, unreachable_pub)]

use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use kabuki_protocol::ids::{LeaderEpoch, Offset, ProducerId, TopicId};
use kabuki_protocol::records::{BatchBuilder, BatchHeader, Compression, HEADER_BYTES, batches};
use kabuki_storage::log::BatchSpan;
use kabuki_storage::{
    BatchWrite, EpochCache, FileSystem, Log, LogConfig, LogFault, OpenLog, OpenMode, PageCache,
    ProducerBatch, ProducerLimits, ProducerTable, ReadPlan, Recovered, SimFs,
};

pub const TOPIC_ID: TopicId = TopicId([9; 16]);
/// Time at which all rigs live, so that no producer expires by itself.
pub const NOW_MS: i64 = 1_000_000;

/// The base offset 0 in the names of the first segment's files.
pub const FIRST: &str = "00000000000000000000";

/// Name of the segment whose first offset is `base`.
pub fn log_file(base: i64) -> String {
    format!("{base:020}.log")
}

/// Small intervals, so that short logs have many index entries.
pub fn dense() -> LogConfig {
    LogConfig {
        index_interval_bytes: 300,
        ..LogConfig::default()
    }
}

/// Appends `count` batches of two records.
pub fn fill(rig: &Rig, opened: &mut Opened, count: i64) {
    let start = opened.log.log_end().get();
    for index in 0..count {
        rig.append(opened, spec(start + index * 2, 2).build())
            .unwrap();
    }
}

/// A disk with one partition's directory.
pub struct Rig {
    pub fs: SimFs,
    pub dir: PathBuf,
    pub config: LogConfig,
}

/// An open log and what a partition keeps beside it.
pub struct Opened {
    pub log: Log,
    pub epochs: EpochCache,
    pub producers: ProducerTable,
}

impl From<Recovered> for Opened {
    fn from(recovered: Recovered) -> Self {
        let Recovered {
            log,
            epochs,
            producers,
            ..
        } = recovered;
        Self {
            log,
            epochs,
            producers,
        }
    }
}

impl Rig {
    pub fn new() -> Self {
        Self::with_config(LogConfig::default())
    }

    pub fn with_config(config: LogConfig) -> Self {
        let fs = SimFs::new();
        let dir = PathBuf::from("/data/orders-3");
        fs.create_dir_all(Path::new("/data")).unwrap();
        fs.sync_dir(Path::new("/")).unwrap();
        Log::create(&fs, &dir, TOPIC_ID).unwrap();
        Self { fs, dir, config }
    }

    pub fn open_log(&self, recovery_point: i64, page_cache: PageCache) -> OpenLog {
        OpenLog {
            dir: self.dir.clone(),
            topic_id: TOPIC_ID,
            config: self.config,
            producers: ProducerLimits::default(),
            recovery_point: Offset(recovery_point),
            log_start: Offset(0),
            page_cache,
            now_ms: NOW_MS,
        }
    }

    /// Opens as a restarted actor does, scanning from the start.
    pub fn open(&self) -> Opened {
        self.recover(0).unwrap().into()
    }

    pub fn recover(&self, recovery_point: i64) -> Result<Recovered, LogFault> {
        Log::open(&self.fs, self.open_log(recovery_point, PageCache::Kept))
    }

    pub fn recover_after_crash(&self, recovery_point: i64) -> Result<Recovered, LogFault> {
        Log::open(
            &self.fs,
            self.open_log(recovery_point, PageCache::MayBeLost),
        )
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub fn content(&self, name: &str) -> Vec<u8> {
        self.fs.read_whole(&self.path(name), 1 << 30).unwrap()
    }

    pub fn write(&self, name: &str, content: &[u8]) {
        let file = self.fs.open(&self.path(name), OpenMode::Create).unwrap();
        file.set_len(0).unwrap();
        file.write_at(0, &[std::io::IoSlice::new(content)]).unwrap();
    }

    pub fn names(&self) -> Vec<String> {
        let entries = self.fs.list(&self.dir).unwrap();
        entries.into_iter().map(|entry| entry.name).collect()
    }

    /// Appends as a partition does: rolls when due, then writes, then takes note of producers.
    pub fn append(&self, opened: &mut Opened, write: BatchWrite) -> Result<(), LogFault> {
        let span = BatchSpan {
            bytes: write.bytes(),
            last_offset: write.last_offset,
            max_timestamp: write.max_timestamp,
        };
        if opened.log.must_roll(&span, NOW_MS) {
            let rolled = opened.log.roll_job(&opened.producers, NOW_MS).run(&self.fs);
            match rolled {
                Ok(rolled) => opened.log.install(rolled),
                Err(fault) => {
                    opened.log.roll_failed();
                    return Err(fault);
                }
            }
        }
        opened.log.append(&self.fs, std::slice::from_ref(&write))?;
        let header = BatchHeader::parse(&write.chunks[0]).unwrap();
        let batch = ProducerBatch::from(&header);
        drop(opened.producers.apply(&batch, write.base_offset));
        Ok(())
    }

    pub fn flush(&self, opened: &mut Opened) -> Result<(), LogFault> {
        let flushed = opened.log.flush_job(NOW_MS).run(&self.fs)?;
        opened.log.flushed(flushed);
        Ok(())
    }

    pub fn sync_records(&self, opened: &mut Opened) -> Result<(), LogFault> {
        let synced = opened.log.sync_records_job(NOW_MS).run(&self.fs)?;
        opened.log.flushed(synced);
        Ok(())
    }

    pub fn checkpoint(&self, opened: &mut Opened) -> Result<(), LogFault> {
        let flushed = opened
            .log
            .checkpoint_job(&opened.producers, NOW_MS)
            .run(&self.fs)?;
        opened.log.flushed(flushed);
        Ok(())
    }

    pub fn close(&self, mut opened: Opened) -> i64 {
        opened
            .log
            .close_job(&opened.producers, None)
            .run(&self.fs)
            .unwrap()
            .end
            .get()
    }

    /// Reads as a partition does, directly or in the pool.
    pub fn read(&self, log: &mut Log, from: i64, up_to: i64, bytes_max: usize, one: bool) -> Bytes {
        match log
            .read(Offset(from), Offset(up_to), bytes_max, one)
            .unwrap()
        {
            ReadPlan::Ready(bytes) => {
                assert!(!bytes.is_empty());
                bytes
            }
            ReadPlan::Pool(job) => {
                let done = job.run(&self.fs).unwrap();
                log.finish_read(done)
            }
            ReadPlan::Empty => Bytes::new(),
        }
    }

    /// Every byte from `from` to the log end, read in pieces of at most `bytes_max`.
    pub fn read_all(&self, log: &mut Log, from: i64, bytes_max: usize) -> Bytes {
        let mut all = BytesMut::new();
        let mut next = from;
        let end = log.log_end().get();
        while next < end {
            let bytes = self.read(log, next, end, bytes_max, true);
            assert!(!bytes.is_empty(), "nothing at {next} of {end}");
            next = spans(&bytes).last().unwrap().1 + 1;
            all.extend_from_slice(&bytes);
        }
        all.freeze()
    }
}

/// First and last offsets of the batches in `bytes`, which must be whole.
pub fn spans(bytes: &Bytes) -> Vec<(i64, i64)> {
    let mut total = 0;
    let found: Vec<_> = batches(bytes)
        .map(|batch| {
            let (header, bytes) = batch.unwrap();
            total += bytes.len();
            (header.base_offset.get(), header.last_offset().get())
        })
        .collect();
    assert_eq!(total, bytes.len(), "a batch is cut");
    found
}

/// A batch to be made.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    pub base: i64,
    pub count: i64,
    pub timestamp: i64,
    pub value_bytes: usize,
    pub epoch: i32,
    pub producer: Option<(i64, i16, i32)>,
    pub compression: Compression,
}

/// A batch at `base` with `count` records of 100 bytes each.
pub fn spec(base: i64, count: i64) -> Spec {
    Spec {
        base,
        count,
        timestamp: base,
        value_bytes: 100,
        epoch: 0,
        producer: None,
        compression: Compression::None,
    }
}

impl Spec {
    pub fn build(self) -> BatchWrite {
        let mut builder = BatchBuilder::new(self.compression)
            .base_offset(Offset(self.base))
            .leader_epoch(LeaderEpoch(self.epoch));
        if let Some((id, epoch, sequence)) = self.producer {
            builder = builder.producer(ProducerId(id), epoch, sequence);
        }
        for index in 0..self.count {
            let seed = (self.base + index) as u8;
            let value: Vec<u8> = (0..self.value_bytes)
                .map(|at| seed.wrapping_mul(31).wrapping_add(at as u8 | 1))
                .collect();
            let timestamp = if self.timestamp < 0 {
                -1
            } else {
                self.timestamp + index
            };
            builder.push(timestamp, Some(b"key"), Some(&value), &[]);
        }
        write_of(builder.build().unwrap())
    }
}

/// An encoded batch as the partition hands it over.
pub fn write_of(bytes: Bytes) -> BatchWrite {
    let header = BatchHeader::parse(&bytes).unwrap();
    BatchWrite {
        base_offset: header.base_offset,
        last_offset: header.last_offset(),
        max_timestamp: header.max_timestamp,
        chunks: [bytes.slice(..HEADER_BYTES), bytes.slice(HEADER_BYTES..)],
    }
}

/// All bytes of a batch.
pub fn bytes_of(write: &BatchWrite) -> Vec<u8> {
    write.chunks.concat()
}
