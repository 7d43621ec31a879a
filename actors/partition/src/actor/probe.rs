//! Tries again what the disk refused, with growing pauses, until it takes it.

use std::io::IoSlice;
use std::path::Path;
use std::time::Duration;

use kabuki_runtime::{Context, Handler, Message};
use kabuki_storage::log::{FlushJob, PROBE_FILE};
use kabuki_storage::{FileSystem, FlushedLog, LogFault, OpenMode};

use super::Partition;
use super::jobs::{JobOutcome, own_message};
use crate::state::Probe;

/// Size of a write probe: one more than the blocks a file system hands out at a time, so that a
/// full one cannot serve it from what the active segment has been given already.
const PROBE_BYTES: usize = 64 * 1024;

own_message! {
    /// A write probe has ended.
    ProbeFinished(JobOutcome<()>) => probe_finished;
}

impl Partition {
    /// Tries the disk again after a pause, and not before.
    pub(crate) fn probe_after(&mut self, pause: Duration, cx: &mut Context<Self>) {
        let Some(open) = &mut self.open else { return };
        let due = cx.now() + pause;
        let timer = cx.tell_after(pause, super::report::ProbeDue);
        if let Some((earlier, _)) = open.probe_timer.replace((timer, due)) {
            cx.cancel(earlier);
        }
    }

    /// A client that wants to write was refused: the disk is tried again soon. Once for each probe,
    /// so that a flood of refused appends costs nothing.
    pub(crate) fn hasten_probe(&mut self, cx: &mut Context<Self>) {
        let Some(open) = &mut self.open else { return };
        let Some((_, due)) = open.probe_timer else {
            return;
        };
        if std::mem::replace(&mut open.is_probe_hastened, true) {
            return;
        }
        let pause = open
            .state
            .health
            .hastened(self.spec.disk.refused_count())
            .filter(|pause| cx.now() + *pause < due);
        if let Some(pause) = pause {
            self.probe_after(pause, cx);
        }
    }

    /// Tries the disk again.
    pub(crate) fn probe_due(&mut self, cx: &mut Context<Self>) {
        let Some(open) = &mut self.open else { return };
        open.probe_timer = None;
        let Some(probe) = open.state.health.refusal().map(|refusal| refusal.probe) else {
            return;
        };
        if self.stopping.is_some() {
            return;
        }
        if open.out.is_some() {
            // Something that was under way before will tell how the disk is; look again after it.
            return self.probe_after(crate::state::PROBE_PAUSE_MIN, cx);
        }
        if open.state.marks.is_syncing() {
            // A disk that hangs in a sync is not given more to hang in.
            return self.probe_after(crate::state::PROBE_PAUSE_MAX, cx);
        }
        match probe {
            Probe::Roll => self.roll(cx),
            Probe::Sync => {
                open.is_tail_tried = true;
                open.state.marks.rewrite_due();
                self.start_sync(cx);
            }
            Probe::Write => {
                let dir = self.spec.dir.clone();
                let active = open.log.segments().last().map(|segment| segment.base);
                let active = active.map(|base| dir.join(format!("{:020}.log", base.get())));
                let probe = move |fs: &dyn FileSystem| write_probe(fs, &dir, active.as_deref());
                self.run_writing("probe", probe, cx, ProbeFinished);
            }
        }
    }

    fn probe_finished(&mut self, outcome: JobOutcome<()>, cx: &mut Context<Self>) {
        match outcome {
            Ok(()) => self.heal(cx),
            Err(fault) if fault.is_degrading() => self.degrade(fault.to_string(), Probe::Write, cx),
            Err(fault) => self.give_up(&fault, cx),
        }
    }
}

/// Writes a doubtful tail again on a disk that has just taken something else: one that still fails is
/// not given records to damage, nor read through for nothing. Blocks.
pub(crate) fn rewrite_tail(
    fs: &dyn FileSystem,
    dir: &Path,
    flush: FlushJob,
) -> Result<FlushedLog, LogFault> {
    write_probe(fs, dir, None)?;
    flush.run(fs)
}

/// Writes, syncs and removes a small file in the partition's directory, and opens the active segment
/// for writing: the two ways in which an append can be refused.
fn write_probe(fs: &dyn FileSystem, dir: &Path, active: Option<&Path>) -> Result<(), LogFault> {
    let path = dir.join(PROBE_FILE);
    let attempt = || {
        let file = fs.open(&path, OpenMode::Create)?;
        file.write_at(0, &[IoSlice::new(&[0; PROBE_BYTES])])?;
        file.sync_data()?;
        active.map_or(Ok(()), |active| {
            fs.open(active, OpenMode::ReadWrite).map(drop)
        })
    };
    let result = attempt();
    // What is left of a failed attempt is removed too; if that fails, the next start does it. The
    // file may not exist, so the first error is the one that tells.
    let removed = fs.remove_file(&path);
    result.and(removed).map_err(|source| LogFault::Io {
        operation: "probe",
        path,
        source,
    })
}
