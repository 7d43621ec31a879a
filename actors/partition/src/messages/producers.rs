//! Which producers a partition remembers.

use std::fmt;

use kabuki_protocol::ids::TopicId;
use kabuki_runtime::{Message, ReplyPort, Undelivered};
use kabuki_storage::KnownProducer;

use super::NotServed;

/// Asks who has written with sequence numbers or in transactions, and how far. Source: KIP-664. Sent by
/// the session.
pub struct DescribeProducers {
    /// The topic the sender means; a partition of another topic with the same name refuses.
    pub topic_id: TopicId,
    /// Gets the producers, by id: at most `ProducerLimits::producers_max`.
    pub reply: ReplyPort<Result<Vec<KnownProducer>, NotServed>>,
}

impl fmt::Debug for DescribeProducers {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("DescribeProducers")
            .finish_non_exhaustive()
    }
}

impl Message for DescribeProducers {
    type Reply = ();

    fn undelivered(self, why: Undelivered) {
        self.reply.refuse(why);
    }
}
