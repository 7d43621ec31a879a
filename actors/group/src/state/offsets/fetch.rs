//! OffsetFetch: what is stored. An answer waits for what was decided before it, so a commit
//! that is not in the log is never read.

use super::{Group, Kind};
use crate::messages::{FetchOffsets, FetchedOffset};
use crate::refusal::GroupRefused;

impl Group {
    /// Reads offsets. A group that does not exist has none, which is no error.
    pub(in crate::state) fn fetch_offsets(
        &self,
        request: &FetchOffsets,
    ) -> Result<Vec<FetchedOffset>, GroupRefused> {
        self.check_reader(request)?;
        let offsets = &self.ledger.durable.offsets;
        Ok(match &request.keys {
            Some(keys) => keys
                .iter()
                .map(|key| FetchedOffset {
                    key: key.clone(),
                    offset: offsets.get(key).cloned(),
                })
                .collect(),
            None => offsets
                .iter()
                .map(|(key, offset)| FetchedOffset {
                    key: key.clone(),
                    offset: Some(offset.clone()),
                })
                .collect(),
        })
    }

    /// Members of the new protocol say who they are, and must be right.
    fn check_reader(&self, request: &FetchOffsets) -> Result<(), GroupRefused> {
        let (Kind::Consumer(_), true) = (&self.kind, self.exists()) else {
            return Ok(());
        };
        let id = match &request.member_id {
            None if request.member_epoch < 0 => return Ok(()),
            id => id.clone().unwrap_or_default(),
        };
        let image = &self.ledger.durable.consumer;
        let Some(member) = image.members().get(&id) else {
            return Err(GroupRefused::UnknownMember { member_id: id });
        };
        let (sent, current) = (request.member_epoch, image.current(&id).epoch);
        match sent == current {
            true => Ok(()),
            false => Err(GroupRefused::StaleMemberEpoch {
                sent,
                current,
                is_classic: member.classic.is_some(),
            }),
        }
    }
}
