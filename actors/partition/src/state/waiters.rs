//! Appends that are in the log and wait for the high watermark.

use std::collections::VecDeque;

use kabuki_protocol::ids::Offset;

use crate::messages::RecordsAppended;

/// Waiting appends, ordered by the high watermark they wait for.
#[derive(Debug)]
pub(crate) struct Waiters<T> {
    queue: VecDeque<Waiter<T>>,
}

#[derive(Debug)]
struct Waiter<T> {
    needs: Offset,
    ticket: T,
    answer: RecordsAppended,
}

impl<T> Waiters<T> {
    pub(crate) fn new() -> Self {
        Self {
            queue: VecDeque::new(),
        }
    }

    /// Answers `ticket` once the high watermark has reached `needs`, the offset after its last record.
    pub(crate) fn push(&mut self, needs: Offset, ticket: T, answer: RecordsAppended) {
        // Only a resent batch waits for less than those before it, so the scan from the back is short.
        let behind = self
            .queue
            .iter()
            .rev()
            .take_while(|waiter| waiter.needs > needs)
            .count();
        self.queue.insert(
            self.queue.len() - behind,
            Waiter {
                needs,
                ticket,
                answer,
            },
        );
    }

    /// Takes the oldest append that `high_watermark` covers.
    pub(crate) fn pop(&mut self, high_watermark: Offset) -> Option<(T, RecordsAppended)> {
        let waiter = self
            .queue
            .pop_front_if(|waiter| waiter.needs <= high_watermark)?;
        Some((waiter.ticket, waiter.answer))
    }

    /// Takes all of them.
    pub(crate) fn take_all(&mut self) -> Vec<T> {
        self.queue.drain(..).map(|waiter| waiter.ticket).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(base_offset: i64) -> RecordsAppended {
        let base_offset = Offset(base_offset);
        RecordsAppended {
            base_offset,
            log_append_time_ms: -1,
            log_start: Offset(0),
        }
    }

    #[test]
    fn appends_are_answered_in_order_and_not_before_the_high_watermark() {
        let mut waiters = Waiters::new();
        waiters.push(Offset(5), "a", answer(0));
        waiters.push(Offset(9), "b", answer(5));
        assert_eq!(waiters.pop(Offset(4)), None);
        assert_eq!(waiters.pop(Offset(5)), Some(("a", answer(0))));
        assert_eq!(waiters.pop(Offset(8)), None);
        assert_eq!(waiters.pop(Offset(9)), Some(("b", answer(5))));
        assert_eq!(waiters.len(), 0);
    }

    #[test]
    fn a_resent_batch_waits_for_its_original_and_not_for_the_log_end() {
        let mut waiters = Waiters::new();
        waiters.push(Offset(5), "original", answer(0));
        waiters.push(Offset(9), "later", answer(5));
        waiters.push(Offset(5), "resent", answer(0));
        assert_eq!(waiters.pop(Offset(5)).unwrap().0, "original");
        assert_eq!(waiters.pop(Offset(5)).unwrap().0, "resent");
        assert_eq!(waiters.pop(Offset(5)), None);
    }
}
