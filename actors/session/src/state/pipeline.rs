//! The requests of one connection, in order of arrival: which may start, which are answered, which
//! answers may leave. Knows nothing of sockets, partitions or what a request asks.

use std::collections::VecDeque;

/// Names one request of a connection; counts from 0 and is never used twice.
pub(crate) type Ticket = u64;

/// Whether a request may run next to others of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overlap {
    /// May start while earlier requests of the same sort are unanswered: Produce.
    Produce,
    /// May start while OffsetCommits of other groups are unanswered. Two of one group never run at the
    /// same time: one that is asked again, because its group was being rebuilt, would overtake the other.
    Commit {
        /// Stands for the group; two groups with one number wait for each other.
        group: u64,
    },
    /// Starts when everything before it is answered, and nothing starts before it is answered.
    /// So nothing overtakes a parked Fetch and a read sees the writes before it.
    Alone,
}

/// How much of one connection may be in hand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PipelineLimits {
    /// Requests received and not answered.
    pub(crate) requests_max: usize,
    /// Frame bytes of requests received and not answered.
    pub(crate) bytes_max: usize,
}

#[derive(Debug)]
enum Step<R, A> {
    Queued(R),
    Started,
    Answered(A),
}

#[derive(Debug)]
struct Slot<R, A> {
    overlap: Overlap,
    bytes: usize,
    step: Step<R, A>,
}

/// Requests `R` and their answers `A`, oldest first.
#[derive(Debug)]
pub(crate) struct Pipeline<R, A> {
    slots: VecDeque<Slot<R, A>>,
    first: Ticket,
    /// Index in `slots` of the oldest request that has not started.
    start_next: usize,
    bytes: usize,
    running_produce: usize,
    /// Groups of the commits that run.
    running_commits: Vec<u64>,
    running_alone: bool,
    limits: PipelineLimits,
}

impl<R, A> Pipeline<R, A> {
    pub(crate) fn new(limits: PipelineLimits) -> Self {
        Self {
            slots: VecDeque::new(),
            first: 0,
            start_next: 0,
            bytes: 0,
            running_produce: 0,
            running_commits: Vec::new(),
            running_alone: false,
            limits,
        }
    }

    /// Whether another frame may be taken from the socket. One request is always let in, so a frame
    /// above the byte cap runs alone instead of never.
    pub(crate) fn has_room(&self) -> bool {
        self.slots.is_empty()
            || (self.slots.len() < self.limits.requests_max && self.bytes < self.limits.bytes_max)
    }

    /// Requests received whose answer has not been taken.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Frame bytes of requests received and not answered.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Drops what has not started: the connection ends.
    pub(crate) fn drop_queued(&mut self) {
        for slot in self.slots.drain(self.start_next..) {
            self.bytes -= slot.bytes;
        }
    }

    /// Queues a request behind all others. `bytes` is what its frame holds in memory.
    pub(crate) fn push(&mut self, request: R, overlap: Overlap, bytes: usize) -> Ticket {
        let ticket = self.first + self.slots.len() as u64;
        self.bytes += bytes;
        self.slots.push_back(Slot {
            overlap,
            bytes,
            step: Step::Queued(request),
        });
        ticket
    }

    /// The request that [`Pipeline::start_next`] would take.
    pub(crate) fn startable(&self) -> Option<&R> {
        let slot = self.slots.get(self.start_next)?;
        let is_free = match slot.overlap {
            Overlap::Produce => !self.running_alone && self.running_commits.is_empty(),
            Overlap::Commit { group } => {
                let is_next = !self.running_alone && self.running_produce == 0;
                is_next && !self.running_commits.contains(&group)
            }
            Overlap::Alone => !self.is_any_running(),
        };
        match &slot.step {
            Step::Queued(request) if is_free => Some(request),
            _ => None,
        }
    }

    /// Whether a request has started and lacks its answer.
    pub(crate) fn is_any_running(&self) -> bool {
        self.running_alone || self.running_produce > 0 || !self.running_commits.is_empty()
    }

    /// Charges a running request with more bytes until it is answered.
    pub(crate) fn add_bytes(&mut self, ticket: Ticket, bytes: usize) {
        assert!(self.is_running(ticket), "request {ticket} does not run");
        self.slots[(ticket - self.first) as usize].bytes += bytes;
        self.bytes += bytes;
    }

    /// Takes the next request that may start now, in order.
    pub(crate) fn start_next(&mut self) -> Option<(Ticket, R)> {
        self.startable()?;
        let slot = self.slots.get_mut(self.start_next)?;
        let Step::Queued(request) = std::mem::replace(&mut slot.step, Step::Started) else {
            unreachable!("requests start in order");
        };
        match slot.overlap {
            Overlap::Produce => self.running_produce += 1,
            Overlap::Commit { group } => self.running_commits.push(group),
            Overlap::Alone => self.running_alone = true,
        }
        let ticket = self.first + self.start_next as u64;
        self.start_next += 1;
        Some((ticket, request))
    }

    /// Whether `ticket` has started and still lacks its answer.
    pub(crate) fn is_running(&self, ticket: Ticket) -> bool {
        let slot = ticket
            .checked_sub(self.first)
            .and_then(|at| self.slots.get(at as usize));
        slot.is_some_and(|slot| matches!(slot.step, Step::Started))
    }

    /// Keeps the answer until those of all earlier requests have left.
    pub(crate) fn answer(&mut self, ticket: Ticket, answer: A) {
        assert!(
            self.is_running(ticket),
            "request {ticket} is answered twice or never started"
        );
        let slot = &mut self.slots[(ticket - self.first) as usize];
        slot.step = Step::Answered(answer);
        self.bytes -= std::mem::take(&mut slot.bytes);
        match slot.overlap {
            Overlap::Produce => self.running_produce -= 1,
            Overlap::Commit { group } => self.running_commits.retain(|other| *other != group),
            Overlap::Alone => self.running_alone = false,
        }
    }

    /// Takes the oldest answer if nothing older is unanswered.
    pub(crate) fn take_answer(&mut self) -> Option<A> {
        if !matches!(self.slots.front()?.step, Step::Answered(_)) {
            return None;
        }
        let slot = self.slots.pop_front()?;
        self.first += 1;
        self.start_next -= 1;
        let Step::Answered(answer) = slot.step else {
            unreachable!("looked at above");
        };
        Some(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: PipelineLimits = PipelineLimits {
        requests_max: 256,
        bytes_max: 1_000,
    };

    fn pipeline(requests: &str) -> Pipeline<char, char> {
        let mut pipeline = Pipeline::new(LIMITS);
        for request in requests.chars() {
            let overlap = match request {
                'P' => Overlap::Produce,
                'a'..='z' => Overlap::Commit {
                    group: u64::from(request),
                },
                _ => Overlap::Alone,
            };
            pipeline.push(request, overlap, 1);
        }
        pipeline
    }

    fn start(pipeline: &mut Pipeline<char, char>) -> Vec<Ticket> {
        std::iter::from_fn(|| pipeline.start_next().map(|(ticket, _)| ticket)).collect()
    }

    type Tickets = &'static [Ticket];
    /// Answered, then started.
    type Rounds = &'static [(Tickets, Tickets)];

    #[test]
    fn requests_start_by_the_overlap_rule() {
        // Requests in order; then rounds of "answer these tickets" -> "these start".
        #[rustfmt::skip]
        let table: &[(&str, Tickets, Rounds)] = &[
            ("PPP",   &[0, 1, 2], &[]),
            ("PPFP",  &[0, 1],    &[(&[0], &[]), (&[1], &[2]), (&[2], &[3])]),
            ("FPP",   &[0],       &[(&[0], &[1, 2])]),
            ("FF",    &[0],       &[(&[0], &[1])]),
            ("MPFMP", &[0],       &[(&[0], &[1]), (&[1], &[2]), (&[2], &[3]), (&[3], &[4])]),
            ("PMP",   &[0],       &[(&[0], &[1]), (&[1], &[2])]),
            // Commits, one letter a group: a second one of a group holds up all behind it.
            ("abc",   &[0, 1, 2], &[]),
            ("abac",  &[0, 1],    &[(&[1], &[]), (&[0], &[2, 3])]),
            ("aaa",   &[0],       &[(&[0], &[1]), (&[1], &[2])]),
            ("abFc",  &[0, 1],    &[(&[1], &[]), (&[0], &[2]), (&[2], &[3])]),
            ("aPb",   &[0],       &[(&[0], &[1]), (&[1], &[2])]),
        ];
        for (requests, at_once, rounds) in table {
            let mut pipeline = pipeline(requests);
            assert_eq!(start(&mut pipeline), *at_once, "{requests}");
            for (answered, started) in *rounds {
                for ticket in *answered {
                    pipeline.answer(*ticket, 'a');
                }
                assert_eq!(
                    start(&mut pipeline),
                    *started,
                    "{requests} after {answered:?}"
                );
            }
        }
    }

    #[test]
    fn answers_leave_in_order_of_arrival() {
        let mut pipeline = pipeline("PPPP");
        start(&mut pipeline);
        let mut left = Vec::new();
        for ticket in [2, 0, 3, 1] {
            pipeline.answer(ticket, char::from(b'0' + ticket as u8));
            left.push(std::iter::from_fn(|| pipeline.take_answer()).collect::<String>());
        }
        assert_eq!(left, ["", "0", "", "123"]);
        assert!(pipeline.is_empty());
    }

    #[test]
    fn tickets_stay_valid_while_older_answers_leave() {
        let mut pipeline = pipeline("PPM");
        assert_eq!(start(&mut pipeline), [0, 1]);
        pipeline.answer(0, 'a');
        assert_eq!(pipeline.take_answer(), Some('a'));
        assert!(!pipeline.is_running(0));
        assert!(pipeline.is_running(1));
        assert!(!pipeline.is_running(2));
        pipeline.answer(1, 'b');
        assert_eq!(start(&mut pipeline), [2]);
        assert_eq!(pipeline.push('P', Overlap::Produce, 1), 3);
        assert!(start(&mut pipeline).is_empty());
    }

    #[test]
    fn dropping_what_is_queued_leaves_what_runs() {
        let mut pipeline = pipeline("PPMP");
        assert_eq!(start(&mut pipeline), [0, 1]);
        pipeline.drop_queued();
        assert_eq!((pipeline.len(), pipeline.bytes()), (2, 2));
        pipeline.answer(1, 'b');
        pipeline.answer(0, 'a');
        assert!(start(&mut pipeline).is_empty());
        assert_eq!(
            (pipeline.take_answer(), pipeline.take_answer()),
            (Some('a'), Some('b'))
        );
        assert!(pipeline.is_empty());
    }

    #[test]
    fn a_running_request_is_weighed_until_it_is_answered() {
        let mut pipeline = pipeline("PM");
        assert_eq!(pipeline.startable(), Some(&'P'));
        start(&mut pipeline);
        assert_eq!(pipeline.startable(), None);
        pipeline.add_bytes(0, 500);
        assert_eq!(pipeline.bytes(), 502);
        pipeline.answer(0, 'a');
        assert_eq!(pipeline.bytes(), 1);
    }

    #[test]
    fn room_ends_at_the_request_and_the_byte_limit() {
        let mut counted = pipeline("");
        for _ in 0..256 {
            assert!(counted.has_room());
            counted.push('P', Overlap::Produce, 0);
        }
        assert!(!counted.has_room());

        let mut heavy = pipeline("");
        assert!(heavy.has_room());
        heavy.push('P', Overlap::Produce, 5_000);
        assert!(!heavy.has_room());
        start(&mut heavy);
        heavy.answer(0, 'a');
        assert!(heavy.has_room(), "an answered request holds no frame");
    }
}
