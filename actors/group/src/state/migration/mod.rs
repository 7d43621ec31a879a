//! Groups that change their protocol while they run, and members that speak the other one.
//!
//! * **Upgrade** (`upgrade`): a consumer of the new protocol joins a classic group of consumers. The members
//!   go on with the classic protocol; what they own becomes their assignment.
//! * **Classic members in a consumer group** (`bridge`): Join, Sync, Heartbeat and Leave are translated; the
//!   member epoch stands for the generation.
//! * **Downgrade** (`downgrade`): the last member of the new protocol leaves. Kafka skips the rebalance where
//!   a static member came back with the classic protocol; here the group always rebalances, because the
//!   target may give a member a partition that another has not let go.

mod bridge;
mod downgrade;
mod upgrade;

pub(in crate::state) use downgrade::will_downgrade;

use super::{Context, Group, Kind, Ledger};
