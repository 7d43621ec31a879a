//! What is to be stored in the checkpoint files of the log directory: one request is under way at a
//! time, and everything that comes meanwhile goes with the next. Trims wait here for theirs.

use kabuki_protocol::ids::Offset;

use crate::messages::TrimRefused;
use crate::state::marks::Marks;

/// Trims that wait at a time. More means that the disk hangs.
const WAITING_TRIMS_MAX: usize = 256;

/// Requests to the log directory and the trims that wait for them.
#[derive(Debug)]
pub(crate) struct Checkpoints<T> {
    waiting: Vec<Trim<T>>,
    is_wanted: bool,
    out: Option<CheckpointPlan>,
}

#[derive(Debug)]
struct Trim<T> {
    before: Offset,
    ticket: T,
}

/// The two numbers to store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CheckpointPlan {
    pub(crate) recovery_point: Offset,
    pub(crate) log_start: Offset,
}

impl<T> Checkpoints<T> {
    pub(crate) fn new() -> Self {
        Self {
            waiting: Vec::new(),
            is_wanted: false,
            out: None,
        }
    }

    /// The recovery point moved far enough to be stored.
    pub(crate) fn recovery_point_moved(&mut self) {
        self.is_wanted = true;
    }

    /// True while a request is to be started.
    pub(crate) fn is_wanted(&self) -> bool {
        self.is_wanted
    }

    /// Makes room by forgetting those for whom nobody waits any more, if there is none.
    pub(crate) fn make_room(&mut self, is_left: impl Fn(&T) -> bool) {
        if self.waiting.len() >= WAITING_TRIMS_MAX {
            self.waiting.retain(|trim| !is_left(&trim.ticket));
        }
    }

    /// Decides on a trim; `before` -1 stands for the high watermark. Returns the offset that
    /// must be synced before it is stored.
    pub(crate) fn trim(
        &mut self,
        before: Offset,
        ticket: T,
        marks: &Marks,
    ) -> Result<Offset, (T, TrimRefused)> {
        let high_watermark = marks.high_watermark();
        let before = if before == Offset::NONE {
            high_watermark
        } else {
            before
        };
        if before.is_none() || before > high_watermark {
            return Err((
                ticket,
                TrimRefused::OffsetOutOfRange {
                    before,
                    high_watermark,
                },
            ));
        }
        if self.waiting.len() >= WAITING_TRIMS_MAX {
            let cause = format!("{WAITING_TRIMS_MAX} trims wait for the disk");
            return Err((ticket, TrimRefused::Storage { cause }));
        }
        self.waiting.push(Trim { before, ticket });
        self.is_wanted = true;
        Ok(before)
    }

    /// More of the log is on the medium: trims that waited for it can be stored.
    pub(crate) fn synced(&mut self) {
        self.is_wanted |= !self.waiting.is_empty();
    }

    /// The next request, if one is wanted and none is under way.
    pub(crate) fn start(&mut self, marks: &Marks) -> Option<CheckpointPlan> {
        if self.out.is_some() || !self.is_wanted {
            return None;
        }
        let recovery_point = marks.recovery_point();
        let due = self.waiting.iter().map(|trim| trim.before);
        let trimmed = due.filter(|before| *before <= recovery_point).max();
        let log_start = trimmed.unwrap_or(Offset::ZERO).max(marks.log_start());
        self.is_wanted = false;
        self.out = Some(CheckpointPlan {
            recovery_point,
            log_start,
        });
        self.out
    }

    /// The request under way is durable. Returns the log start that is, and the trims it covers.
    pub(crate) fn stored(&mut self) -> (Offset, Vec<T>) {
        let plan = self
            .out
            .take()
            .expect("an answer comes only to the request under way");
        let covered = self
            .waiting
            .extract_if(.., |trim| trim.before <= plan.log_start);
        (plan.log_start, covered.map(|trim| trim.ticket).collect())
    }

    /// The request under way failed: the trims it would have covered are refused. The recovery point
    /// is stored with the next request.
    pub(crate) fn failed(&mut self) -> Vec<T> {
        let plan = self
            .out
            .take()
            .expect("an answer comes only to the request under way");
        let covered = self
            .waiting
            .extract_if(.., |trim| trim.before <= plan.log_start);
        covered.map(|trim| trim.ticket).collect()
    }

    /// Puts the request under way back, because nobody took it: it is started again later.
    pub(crate) fn put_back(&mut self) {
        self.out = None;
        self.is_wanted = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::marks::FLUSH_MESSAGES_NEVER;

    fn marks() -> Marks {
        Marks::recovered(Offset(0), Offset(10), Offset(8), 100, FLUSH_MESSAGES_NEVER)
    }

    #[test]
    fn a_trim_past_the_high_watermark_is_refused() {
        let mut checkpoints = Checkpoints::new();
        assert!(checkpoints.trim(Offset(11), 1, &marks()).is_err());
        assert!(checkpoints.trim(Offset(-2), 2, &marks()).is_err());
        assert!(checkpoints.trim(Offset(10), 3, &marks()).is_ok());
    }

    #[test]
    fn minus_one_trims_to_the_high_watermark() {
        let mut checkpoints = Checkpoints::new();
        assert_eq!(checkpoints.trim(Offset::NONE, 1, &marks()), Ok(Offset(10)));
    }

    #[test]
    fn a_log_start_is_not_stored_ahead_of_what_is_synced() {
        let mut marks = marks();
        let mut checkpoints = Checkpoints::new();
        checkpoints.trim(Offset(9), "early", &marks).unwrap();
        assert_eq!(checkpoints.start(&marks), Some(plan(8, 0)));
        assert!(checkpoints.stored().1.is_empty());
        assert_eq!(checkpoints.start(&marks), None);
        marks.flush_due();
        let sync = marks.start_sync().unwrap();
        marks.finish_sync(sync);
        checkpoints.synced();
        assert_eq!(checkpoints.start(&marks), Some(plan(10, 9)));
        assert_eq!(checkpoints.stored(), (Offset(9), vec!["early"]));
    }

    #[test]
    fn trims_that_come_while_a_request_is_out_go_with_the_next() {
        let mut checkpoints = Checkpoints::new();
        checkpoints.trim(Offset(5), "first", &marks()).unwrap();
        assert_eq!(checkpoints.start(&marks()), Some(plan(8, 5)));
        checkpoints.trim(Offset(3), "covered", &marks()).unwrap();
        checkpoints.trim(Offset(7), "next", &marks()).unwrap();
        assert_eq!(checkpoints.start(&marks()), None);
        assert_eq!(checkpoints.stored(), (Offset(5), vec!["first", "covered"]));
        assert_eq!(checkpoints.start(&marks()), Some(plan(8, 7)));
        assert_eq!(checkpoints.failed(), vec!["next"]);
    }

    fn plan(recovery_point: i64, log_start: i64) -> CheckpointPlan {
        CheckpointPlan {
            recovery_point: Offset(recovery_point),
            log_start: Offset(log_start),
        }
    }

    #[test]
    fn trims_do_not_pile_up_behind_a_disk_that_hangs() {
        let mut checkpoints = Checkpoints::new();
        for number in 0..WAITING_TRIMS_MAX {
            checkpoints.trim(Offset(5), number, &marks()).unwrap();
        }
        checkpoints.make_room(|_| false);
        let (ticket, why) = checkpoints.trim(Offset(5), 999, &marks()).unwrap_err();
        assert!(matches!(why, TrimRefused::Storage { .. }));
        assert_eq!(ticket, 999);
        checkpoints.make_room(|number| number % 2 == 0);
        assert!(checkpoints.trim(Offset(5), 999, &marks()).is_ok());
        checkpoints.start(&marks()).unwrap();
        assert_eq!(checkpoints.stored().1.len(), WAITING_TRIMS_MAX / 2 + 1);
    }

    #[test]
    fn a_request_that_nobody_took_is_made_again() {
        let mut checkpoints = Checkpoints::<()>::new();
        checkpoints.recovery_point_moved();
        assert!(checkpoints.start(&marks()).is_some());
        checkpoints.put_back();
        assert!(checkpoints.start(&marks()).is_some());
    }
}
