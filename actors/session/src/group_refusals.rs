//! Kafka's error code for each refusal of a group or its coordinator. A code that the client of the API in
//! hand does not expect ends it, so the same fact has several codes.

use kabuki_group::refusal::{CommitRefused, DeleteOffsetRefused, GroupRefused};
use kabuki_protocol::error::ErrorCode;

use crate::refusals::ErrorCodeOf;
use kabuki_group::CoordinatorRefused;

/// What a client does upon a code depends on what it asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Join,
    Sync,
    /// Of the classic protocol.
    Heartbeat,
    ConsumerHeartbeat,
    Commit,
    FetchOffsets,
    /// LeaveGroup and the requests of administrators.
    Other,
}

/// Code of a request that no coordinator has taken.
pub(crate) fn unready(refused: CoordinatorRefused, asked: Asked) -> ErrorCode {
    use CoordinatorRefused::{Loading, NotAvailable, NotCoordinator};
    match (refused, asked) {
        (NotCoordinator, _) => ErrorCode::NotCoordinator,
        // A member that lives must not take the silence of its coordinator for its own end.
        (Loading, Asked::Heartbeat) => ErrorCode::None,
        // Java has no handler for 14 here.
        (Loading, Asked::Sync) => ErrorCode::RebalanceInProgress,
        (Loading, _) | (NotAvailable, Asked::FetchOffsets) => ErrorCode::CoordinatorLoadInProgress,
        (NotAvailable, Asked::Other) => ErrorCode::CoordinatorNotAvailable,
        (NotAvailable, _) => ErrorCode::NotCoordinator,
    }
}

/// Code of a refusal by the group itself.
pub(crate) fn group_refused(refused: &GroupRefused, asked: Asked) -> ErrorCode {
    use GroupRefused as Refused;
    match refused {
        Refused::UnknownMember { .. } => ErrorCode::UnknownMemberId,
        Refused::IllegalGeneration { .. } => ErrorCode::IllegalGeneration,
        Refused::FencedInstance { .. } => ErrorCode::FencedInstanceId,
        Refused::RebalanceInProgress => ErrorCode::RebalanceInProgress,
        Refused::InconsistentProtocol => ErrorCode::InconsistentGroupProtocol,
        Refused::InvalidSessionTimeout { .. } => ErrorCode::InvalidSessionTimeout,
        Refused::MemberIdRequired { .. } => ErrorCode::MemberIdRequired,
        Refused::GroupFull { .. } => ErrorCode::GroupMaxSizeReached,
        Refused::UnknownGroup | Refused::NotConvertible { .. } => ErrorCode::GroupIdNotFound,
        Refused::OfNobody { cause } => group_refused(cause, asked),
        Refused::NotEmpty => ErrorCode::NonEmptyGroup,
        Refused::FencedMemberEpoch { .. } => ErrorCode::FencedMemberEpoch,
        Refused::StaleMemberEpoch {
            is_classic: true, ..
        } => ErrorCode::IllegalGeneration,
        Refused::StaleMemberEpoch {
            is_classic: false, ..
        } => ErrorCode::StaleMemberEpoch,
        Refused::UnreleasedInstance { .. } => ErrorCode::UnreleasedInstanceId,
        Refused::UnsupportedAssignor { .. } => ErrorCode::UnsupportedAssignor,
        Refused::InvalidRequest { .. } | Refused::MemberTooLarge { .. } => {
            ErrorCode::InvalidRequest
        }
        Refused::InvalidRegex { .. } => ErrorCode::InvalidRegularExpression,
        Refused::UnsupportedVersion => ErrorCode::UnsupportedVersion,
        Refused::NotCommitted { .. } | Refused::Unloaded => {
            unready(CoordinatorRefused::NotAvailable, asked)
        }
    }
}

/// Code of one partition of a commit; clients that name topics by id are told so.
pub(crate) fn commit_refused(refused: &CommitRefused, is_by_id: bool) -> ErrorCode {
    match refused {
        CommitRefused::MetadataTooLarge { .. } => ErrorCode::OffsetMetadataTooLarge,
        CommitRefused::UnknownPartition if is_by_id => ErrorCode::UnknownTopicId,
        CommitRefused::UnknownPartition => ErrorCode::UnknownTopicOrPartition,
    }
}

impl From<&DeleteOffsetRefused> for ErrorCodeOf {
    fn from(refused: &DeleteOffsetRefused) -> Self {
        Self(match refused {
            DeleteOffsetRefused::Subscribed => ErrorCode::GroupSubscribedToTopic,
            DeleteOffsetRefused::UnknownPartition => ErrorCode::UnknownTopicOrPartition,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_is_down_ends_no_client() {
        use CoordinatorRefused::{Loading, NotAvailable, NotCoordinator};
        // Columns: loading, not available, not the coordinator.
        for (asked, codes) in [
            (Asked::Join, [14, 16, 16]),
            (Asked::Sync, [27, 16, 16]),
            (Asked::Heartbeat, [0, 16, 16]),
            (Asked::ConsumerHeartbeat, [14, 16, 16]),
            (Asked::Commit, [14, 16, 16]),
            (Asked::FetchOffsets, [14, 14, 16]),
            (Asked::Other, [14, 15, 16]),
        ] {
            let refusals = [Loading, NotAvailable, NotCoordinator];
            let told = refusals.map(|refused| unready(refused, asked).code());
            assert_eq!(told, codes, "{asked:?}");
            let unloaded = group_refused(&GroupRefused::Unloaded, asked).code();
            assert_eq!(unloaded, codes[1], "{asked:?}");
        }
    }
}
