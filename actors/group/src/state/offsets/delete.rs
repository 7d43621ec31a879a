//! OffsetDelete, DeleteGroups, and what a deleted topic leaves behind.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Context, Group, Kind};
use crate::messages::DeleteOffsets;
use crate::records::{Change, OffsetKey};
use crate::refusal::{DeleteOffsetRefused, GroupRefused};
use crate::state::classic::ClassicState;
use crate::state::consumer;

impl Group {
    /// Forgets offsets of topics that no member reads.
    pub(in crate::state) fn delete_offsets(
        &mut self,
        request: &DeleteOffsets,
        cx: &Context<'_>,
    ) -> Result<Vec<Result<(), DeleteOffsetRefused>>, GroupRefused> {
        if !self.exists() {
            return Err(GroupRefused::UnknownGroup);
        }
        if let Kind::Classic(classic) = &self.kind
            && classic.state != ClassicState::Empty
            && !classic.is_of_consumers()
        {
            // The broker cannot read what its members are subscribed to.
            return Err(GroupRefused::NotEmpty);
        }
        let mut results = Vec::with_capacity(request.keys.len());
        for key in &request.keys {
            let result = self.check_delete(key, cx);
            if result.is_ok() && self.ledger.durable.offsets.contains_key(key) {
                self.ledger.write(Change::Offset(key.clone(), None));
            }
            results.push(result);
        }
        Ok(results)
    }

    fn check_delete(&self, key: &OffsetKey, cx: &Context<'_>) -> Result<(), DeleteOffsetRefused> {
        let topic = cx.topics.by_name(&key.topic);
        if !topic.is_some_and(|topic| (0..topic.partition_count).contains(&key.partition)) {
            return Err(DeleteOffsetRefused::UnknownPartition);
        }
        match self.is_subscribed(&key.topic) {
            true => Err(DeleteOffsetRefused::Subscribed),
            false => Ok(()),
        }
    }

    /// True when a member reads the topic, as far as the broker can know.
    pub(in crate::state) fn is_subscribed(&self, topic: &str) -> bool {
        match &self.kind {
            Kind::Classic(classic) => classic.is_subscribed(topic),
            Kind::Consumer(_) => self.ledger.durable.consumer.is_subscribed(topic),
        }
    }

    /// Forgets an empty group and all its offsets.
    pub(in crate::state) fn delete(&mut self) -> Result<(), GroupRefused> {
        if !self.exists() {
            return Err(GroupRefused::UnknownGroup);
        }
        let is_empty = match &self.kind {
            Kind::Classic(classic) => classic.state == ClassicState::Empty,
            Kind::Consumer(_) => !self.has_members(),
        };
        if !is_empty {
            return Err(GroupRefused::NotEmpty);
        }
        if let Kind::Classic(classic) = &mut self.kind {
            classic.forget_pending(&mut self.ledger);
        }
        self.lingers = false;
        let keys: Vec<OffsetKey> = self.ledger.durable.offsets.keys().cloned().collect();
        for key in keys {
            self.ledger.write(Change::Offset(key, None));
        }
        self.write_tombstones();
        Ok(())
    }

    /// Tombstones for the group itself, whichever protocol it speaks.
    pub(in crate::state) fn write_tombstones(&mut self) {
        if self.ledger.durable.classic.is_some() {
            self.ledger.write(Change::ClassicGroup(None));
        }
        if !self.ledger.durable.consumer.is_void() {
            consumer::leave::erase_all(&mut self.ledger);
        }
    }

    /// Forgets the offsets of topics that are gone.
    pub(in crate::state) fn delete_topics(&mut self, topics: &BTreeSet<Arc<str>>) {
        let keys: Vec<OffsetKey> = self
            .ledger
            .durable
            .offsets
            .keys()
            .filter(|key| topics.contains(&key.topic))
            .cloned()
            .collect();
        for key in keys {
            self.ledger.write(Change::Offset(key, None));
        }
    }
}
