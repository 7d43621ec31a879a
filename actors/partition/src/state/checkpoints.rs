//! What is to be stored in the checkpoint files of the log directory: one request is under way at a
//! time, and everything that comes meanwhile goes with the next. Trims wait here for theirs.

use kabuki_protocol::ids::Offset;

use crate::messages::TrimRefused;
use crate::state::marks::Marks;

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

    /// Decides on a trim (rule L6); `before` -1 stands for the high watermark.
    pub(crate) fn trim(
        &mut self,
        before: Offset,
        ticket: T,
        marks: &Marks,
    ) -> Result<(), (T, TrimRefused)> {
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
        self.waiting.push(Trim { before, ticket });
        self.is_wanted = true;
        Ok(())
    }

    /// The next request, if one is wanted and none is under way.
    pub(crate) fn start(&mut self, marks: &Marks) -> Option<CheckpointPlan> {
        if self.out.is_some() || !self.is_wanted {
            return None;
        }
        let trimmed = self.waiting.iter().map(|trim| trim.before).max();
        let log_start = trimmed.unwrap_or(Offset::ZERO).max(marks.log_start());
        // A log that begins past its recovery point has nothing left to recover before its start.
        let recovery_point = marks.synced().max(log_start);
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
        checkpoints.trim(Offset::NONE, 1, &marks()).unwrap();
        let plan = checkpoints.start(&marks()).unwrap();
        assert_eq!(
            plan,
            CheckpointPlan {
                recovery_point: Offset(10),
                log_start: Offset(10)
            }
        );
    }

    #[test]
    fn trims_that_come_while_a_request_is_out_go_with_the_next() {
        let mut checkpoints = Checkpoints::new();
        checkpoints.trim(Offset(5), "first", &marks()).unwrap();
        let plan = checkpoints.start(&marks()).unwrap();
        assert_eq!(
            plan,
            CheckpointPlan {
                recovery_point: Offset(8),
                log_start: Offset(5)
            }
        );
        checkpoints.trim(Offset(3), "covered", &marks()).unwrap();
        checkpoints.trim(Offset(7), "next", &marks()).unwrap();
        assert_eq!(checkpoints.start(&marks()), None);
        assert_eq!(checkpoints.stored(), (Offset(5), vec!["first", "covered"]));
        assert_eq!(checkpoints.start(&marks()).unwrap().log_start, Offset(7));
        assert_eq!(checkpoints.failed(), vec!["next"]);
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
