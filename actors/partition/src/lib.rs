//! One hosted replica of a topic partition, as a supervised actor.
