//! The process log: slog to the terminal, or JSON lines for machines.
//! The supervision log goes through the same drain, so that one stream tells the whole story.

mod terminal;

use std::io;

use slog::{Drain, Level, Logger, o};

pub(crate) use terminal::{clock, quoted};

/// Records that wait for a slow terminal before the log drops some and says how many.
/// A node in trouble writes a few hundred a second; two seconds of that survive.
const QUEUE_RECORDS_MAX: usize = 4_096;

/// A record up to this size is one write, which nothing else on the same stream comes between.
const LINE_BYTES: usize = 64 << 10;

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for a person.
    Terminal,
    /// One JSON object a line.
    Json,
}

/// Opens the log on standard error. Dropping the guard writes out what still waits.
pub(crate) fn open(format: LogFormat, level: Level) -> (Logger, slog_async::AsyncGuard) {
    let (drain, guard) = match format {
        LogFormat::Terminal => {
            let is_coloured = io::IsTerminal::is_terminal(&io::stderr());
            let drain = terminal::Lines::new(io::stderr(), is_coloured);
            wrap(drain.fuse(), level)
        }
        LogFormat::Json => {
            let lines = io::LineWriter::with_capacity(LINE_BYTES, io::stderr());
            let drain = slog_json::Json::new(lines)
                .set_newlines(true)
                .set_flush(true)
                .add_default_keys()
                .build()
                .fuse();
            wrap(drain, level)
        }
    };
    (Logger::root(drain.fuse(), o!()), guard)
}

fn wrap<D>(drain: D, level: Level) -> (slog_async::Async, slog_async::AsyncGuard)
where
    D: Drain<Err = slog::Never, Ok = ()> + Send + 'static,
{
    slog_async::Async::new(drain.filter_level(level).fuse())
        .chan_size(QUEUE_RECORDS_MAX)
        .thread_name("log".to_owned())
        .overflow_strategy(slog_async::OverflowStrategy::DropAndReport)
        .build_with_guard()
}
