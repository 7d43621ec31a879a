//! `kabuki log dump`: reads the files of partitions and verifies them, without a broker.

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use kabuki_storage::RealFs;
use kabuki_storage::log_dump::{DumpFault, DumpOptions, dump};

use super::CliError;
use super::table::print;

/// What to do with log files.
#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    /// Reads segments and indexes of a partition's directory, and verifies checksums and offsets
    Dump(DumpArgs),
}

/// Arguments of `log dump`.
#[derive(Debug, Args)]
pub(crate) struct DumpArgs {
    /// Directory of a partition, as kabuki-data/orders-0, or one of its files
    path: PathBuf,
    /// Shows each batch and index entry
    #[arg(long, short)]
    batches: bool,
    /// Shows each record as well
    #[arg(long, short)]
    records: bool,
}

pub(super) fn run(command: LogCommand) -> Result<(), CliError> {
    let LogCommand::Dump(args) = command;
    let options = DumpOptions {
        batches: args.batches,
        records: args.records,
    };
    let spinner = io::stderr().is_terminal() && !io::stdout().is_terminal();
    let bar = if spinner {
        indicatif::ProgressBar::new_spinner()
    } else {
        indicatif::ProgressBar::hidden()
    };
    bar.set_message(format!("reading {}", args.path.display()));
    bar.enable_steady_tick(std::time::Duration::from_millis(120));

    let mut out = Output {
        out: io::BufWriter::new(io::stdout().lock()),
        error: None,
    };
    let dumped = dump(&RealFs, &args.path, options, &mut out);
    bar.finish_and_clear();
    let Output { mut out, error } = out;
    if let Some(error) = error {
        return Err(CliError::output(error));
    }
    out.flush().map_err(CliError::output)?;
    drop(out);
    let summary = match dumped {
        Ok(summary) => summary,
        Err(DumpFault::Output(_)) => return Err(CliError::output(io::ErrorKind::Other.into())),
        Err(fault) => return Err(CliError::Unsound(fault.to_string())),
    };
    for error in &summary.errors {
        print(&format!("WRONG {error}\n"))?;
    }
    print(&format!(
        "{} files, {} batches, {} records, {} wrong\n",
        summary.file_count,
        summary.batch_count,
        summary.record_count,
        summary.errors.len()
    ))?;
    if summary.errors.is_empty() {
        Ok(())
    } else {
        let path = args.path.display();
        Err(CliError::Unsound(format!(
            "{path}: {} things are wrong",
            summary.errors.len()
        )))
    }
}

/// Standard output as a [`fmt::Write`], which cannot carry the error itself.
struct Output<W> {
    out: W,
    error: Option<io::Error>,
}

impl<W: io::Write> fmt::Write for Output<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.out.write_all(text.as_bytes()).map_err(|error| {
            self.error = Some(error);
            fmt::Error
        })
    }
}
