//! First-out: which alarm of a group came first.

use std::collections::BTreeMap;

use ducto_record::AssetId;

/// An alarm of a node: which tag of its list, and which of the tag's alarms.
pub(super) type Member = (u32, u32);

/// The groups of a node. A group is of one asset; of tags without an asset each has its own.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups {
    known: BTreeMap<(Option<AssetId>, Option<u32>, String), usize>,
    groups: Vec<Group>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Group {
    /// The alarm that was raised while all others were normal.
    first: Option<Member>,
    /// How many are not normal.
    standing: u32,
}

impl Groups {
    /// The number of a group; `place` stands in for the asset of a tag that has none.
    pub(super) fn add(&mut self, asset: Option<AssetId>, place: u32, name: &str) -> usize {
        let next = self.groups.len();
        let own = asset.is_none().then_some(place);
        let index = *self.known.entry((asset, own, name.to_owned())).or_insert(next);
        if index == next {
            self.groups.push(Group::default());
        }
        index
    }

    /// An alarm went from or to normal, or stayed on one side. Says whether it is the first of its group.
    pub(super) fn moved(&mut self, group: usize, member: Member, was_normal: bool, is_normal: bool) -> bool {
        let Some(group) = self.groups.get_mut(group) else { return false };
        match (was_normal, is_normal) {
            (true, false) => {
                group.standing += 1;
                if group.first.is_none() {
                    group.first = Some(member);
                }
            }
            (false, true) => {
                group.standing = group.standing.saturating_sub(1);
                if group.standing == 0 {
                    group.first = None;
                }
            }
            _ => {}
        }
        group.first == Some(member)
    }

    pub(super) fn is_first(&self, group: usize, member: Member) -> bool {
        self.groups.get(group).is_some_and(|group| group.first == Some(member))
    }

    /// For a restored state. The first of a group stays the first, also where it is normal again and others are not.
    pub(super) fn restore(&mut self, group: usize, member: Member, is_normal: bool, first: bool) {
        if let Some(group) = self.groups.get_mut(group) {
            group.standing += u32::from(!is_normal);
            if first {
                group.first = Some(member);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restored_group_keeps_its_first_until_all_are_normal() {
        let mut groups = Groups::default();
        let group = groups.add(None, 0, "trip");
        // The first is normal again, the second is not.
        groups.restore(group, (0, 0), true, true);
        groups.restore(group, (1, 0), false, false);
        assert!(!groups.moved(group, (2, 0), true, false));
        assert!(groups.is_first(group, (0, 0)));
        groups.moved(group, (1, 0), false, true);
        groups.moved(group, (2, 0), false, true);
        assert!(groups.moved(group, (2, 0), true, false));
    }
}
