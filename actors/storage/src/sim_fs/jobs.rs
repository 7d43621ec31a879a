//! How jobs run on the simulated disk: inline, or on a thread of their own that takes turns with the
//! submitter where a rule can make them hang. Either way one runs at a time, so a seed decides all.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use super::SimFs;

/// How a job ended that [`SimFs::perform`] ran.
pub(crate) enum Performed {
    /// It ran to its end, and would have taken that long.
    Done {
        /// Sum of the delays it met.
        delay: Duration,
    },
    /// It met a hang; `ended` tells when it was healed and has run to its end.
    Hung {
        /// Dropped or sent at the end of the job.
        ended: oneshot::Receiver<()>,
    },
}

/// What a job on this thread has met.
#[derive(Debug, Clone, Copy)]
pub(super) struct JobContext {
    /// Crashes of the machine before the job; after one more, the job is a ghost.
    pub(super) crash_count: u64,
    /// Its turn, if it runs on a thread of its own.
    pub(super) turn: Option<u64>,
    delay: Duration,
}

thread_local! {
    static CONTEXT: RefCell<Option<JobContext>> = const { RefCell::new(None) };
}

/// The job that runs on this thread.
pub(super) fn current() -> Option<JobContext> {
    CONTEXT.with_borrow(|context| *context)
}

/// Lets the job on this thread end later; nothing for calls outside of a job.
pub(super) fn delay(by: Duration) {
    CONTEXT.with_borrow_mut(|context| {
        if let Some(context) = context {
            context.delay += by;
        }
    });
}

/// Where a job with a thread of its own stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Running,
    Hanging,
    Ended { delay: Duration },
}

/// The jobs with threads of their own that have not been seen to end.
#[derive(Debug, Default)]
pub(super) struct Turns {
    next: u64,
    turns: BTreeMap<u64, Turn>,
}

impl SimFs {
    /// Runs a job, and returns when it has ended or hangs.
    pub(crate) fn perform(&self, job: Box<dyn FnOnce() + Send>) -> Performed {
        let crash_count = self.disk().crash_count;
        if !self.disk().rules.may_hang() {
            let delay = run(
                JobContext {
                    crash_count,
                    turn: None,
                    delay: Duration::ZERO,
                },
                job,
            );
            return Performed::Done { delay };
        }

        let turn = {
            let turns = &mut self.disk().turns;
            let turn = turns.next;
            turns.next += 1;
            turns.turns.insert(turn, Turn::Running);
            turn
        };
        let (ended_sender, ended) = oneshot::channel();
        let on_thread = self.clone();
        thread::spawn(move || {
            let context = JobContext {
                crash_count,
                turn: Some(turn),
                delay: Duration::ZERO,
            };
            let delay = run(context, job);
            // A hung job's waiter may be gone with its actor.
            let _ = ended_sender.send(());
            on_thread
                .disk()
                .turns
                .turns
                .insert(turn, Turn::Ended { delay });
            on_thread.shared.turn_over.notify_all();
        });
        match self.await_turn(turn) {
            Turn::Ended { delay } => Performed::Done { delay },
            Turn::Hanging | Turn::Running => Performed::Hung { ended },
        }
    }

    /// Waits on this thread until the rules no longer make the operation hang.
    pub(super) fn hang(
        &self,
        turn: Option<u64>,
        mut must_hang: impl FnMut(&mut super::World) -> bool,
    ) {
        let mut disk = self.disk();
        while must_hang(&mut disk) {
            if let Some(turn) = turn {
                disk.turns.turns.insert(turn, Turn::Hanging);
                self.shared.turn_over.notify_all();
                while disk.turns.turns.get(&turn) == Some(&Turn::Hanging) {
                    disk = self.wait(disk);
                }
            } else {
                disk = self.wait(disk);
            }
        }
    }

    /// Gives each hanging job a turn, one after another in the order of their submission.
    pub(super) fn resume_hanging(&self) {
        let hanging: Vec<u64> = {
            let disk = self.disk();
            let turns = disk.turns.turns.iter();
            turns
                .filter(|(_, turn)| **turn == Turn::Hanging)
                .map(|(number, _)| *number)
                .collect()
        };
        for turn in hanging {
            self.disk().turns.turns.insert(turn, Turn::Running);
            self.shared.turn_over.notify_all();
            self.await_turn(turn);
        }
        // Calls outside of a job wait for the rules themselves.
        self.shared.turn_over.notify_all();
    }

    fn await_turn(&self, turn: u64) -> Turn {
        let mut disk = self.disk();
        loop {
            match disk.turns.turns.get(&turn) {
                Some(Turn::Running) => disk = self.wait(disk),
                Some(Turn::Hanging) => return Turn::Hanging,
                Some(&ended @ Turn::Ended { .. }) => {
                    disk.turns.turns.remove(&turn);
                    return ended;
                }
                None => unreachable!("only this function takes a turn out, and once"),
            }
        }
    }
}

fn run(context: JobContext, job: Box<dyn FnOnce() + Send>) -> Duration {
    let outer = CONTEXT.replace(Some(context));
    job();
    let context = CONTEXT.replace(outer);
    context.map_or(Duration::ZERO, |context| context.delay)
}
