//! W7: three replicas of a cart, edited at random and exchanged every hundred edits.
//!
//! Nine edits in ten add to an item, one removes it as far as its author knows it. An exchange sends what each
//! replica did since the last one to both others, as bytes. All of that is timed.
//!
//! The model needs no clock: a removal has seen what all replicas had at the last exchange, and what its own
//! replica did since.

use std::collections::HashMap;

use super::{Effort, Random, Task, stream};
use crate::run::{Run, Runner, Skip};
use crate::system::System;
use crate::systems::{CartReplica, automerge, crdt_kit, crdts, dson, limit, loro, ours, yrs};

/// Replicas.
pub(super) const REPLICAS: usize = 3;
/// Edits between two exchanges.
pub(super) const EXCHANGE: usize = 100;
/// Edits of one item, on average.
const EDITS_PER_ITEM: usize = 20;

/// One edit of the cart.
#[derive(Clone, Debug)]
pub(super) struct Edit {
    /// Who makes it.
    pub(super) replica: usize,
    /// Of which item.
    pub(super) item: usize,
    /// What is added; `None` removes the item.
    pub(super) quantity: Option<i64>,
}

/// What happens to which items.
pub(super) struct Story {
    /// Their names.
    pub(super) items: Vec<String>,
    /// In this order.
    pub(super) edits: Vec<Edit>,
}

/// Sets a system up.
pub(super) fn open(system: System, task: Task) -> Result<Runner, Skip> {
    open_story(system, story(task.n), task.effort)
}

/// Sets a system up for any story.
pub(super) fn open_story(system: System, story: Story, effort: Effort) -> Result<Runner, Skip> {
    match system {
        System::CrdtCore => Ok(cell::<ours::Cart>(story, effort)),
        System::CrdtCoreDocument => Ok(cell::<ours::CartDocument>(story, effort)),
        System::Crdts => Ok(cell::<crdts::Cart>(story, effort)),
        System::CrdtKit => Ok(cell::<crdt_kit::Cart>(story, effort)),
        System::Dson => Ok(cell::<dson::Cart>(story, effort)),
        System::Automerge => Ok(cell::<automerge::Cart>(story, effort)),
        System::Yrs => Ok(cell::<yrs::Cart>(story, effort)),
        System::Loro => Ok(cell::<loro::Cart>(story, effort)),
        System::Limit => Ok(cell::<limit::CartOf<limit::Random>>(story, effort)),
        System::LimitSameSeed => Ok(cell::<limit::CartOf<limit::Same>>(story, effort)),
        System::LimitText => Err(Skip::new("measured where a set is merged or grows")),
    }
}

fn story(n: usize) -> Story {
    let mut random = Random::new(7);
    let items = (n / EDITS_PER_ITEM).max(1);
    let edit = |_| Edit {
        replica: random.below(REPLICAS),
        item: random.below(items),
        quantity: (random.below(10) > 0).then(|| 1 + random.below(5) as i64),
    };
    let edits = (0..n).map(edit).collect();
    Story { items: (0..items).map(|item| format!("item-{item:05}")).collect(), edits }
}

fn cell<C: CartReplica + 'static>(story: Story, effort: Effort) -> Runner {
    Box::new(move || {
        let mut replicas: Vec<C> = (1..=REPLICAS as u64).map(|replica| C::empty(replica, &story.items)).collect();
        let play = |index: usize| {
            let Edit { replica, item, quantity } = &story.edits[index];
            let item = &story.items[*item];
            match quantity {
                Some(quantity) => replicas[*replica].add(item, *quantity),
                None => replicas[*replica].remove(item),
            }
            if (index + 1).is_multiple_of(EXCHANGE) || index + 1 == story.edits.len() {
                exchange(&mut replicas);
            }
        };
        let (elapsed, played) = stream(story.edits.len(), EXCHANGE, effort.applying(), play);
        let expected = fold(&story, played);
        let is_right = replicas.iter_mut().all(|replica| replica.contents() == expected);
        Ok(Run { elapsed: Some(elapsed), items: played as u64, bytes: None, is_right })
    })
}

fn exchange<C: CartReplica>(replicas: &mut [C]) {
    let messages: Vec<Vec<u8>> = replicas.iter_mut().map(C::flush).collect();
    for (to, replica) in replicas.iter_mut().enumerate() {
        for (from, message) in messages.iter().enumerate() {
            if from != to {
                replica.receive(message);
            }
        }
    }
}

/// What one item is, seen from above all replicas.
#[derive(Clone, Copy, Default)]
struct Quantity {
    agreed: i64,
    is_removed: bool,
    since: [i64; REPLICAS],
}

impl Quantity {
    fn settle(&mut self) {
        let agreed = if self.is_removed { 0 } else { self.agreed };
        *self = Self { agreed: agreed + self.since.iter().sum::<i64>(), ..Self::default() };
    }
}

/// A plain fold of the first edits.
fn fold(story: &Story, played: usize) -> HashMap<String, i64> {
    let mut quantities = vec![Quantity::default(); story.items.len()];
    for edits in story.edits[..played].chunks(EXCHANGE) {
        for Edit { replica, item, quantity } in edits {
            let item = &mut quantities[*item];
            match quantity {
                Some(quantity) => item.since[*replica] += quantity,
                None => (item.is_removed, item.since[*replica]) = (true, 0),
            }
        }
        edits.iter().for_each(|edit| quantities[edit.item].settle());
    }
    let named = story.items.iter().cloned().zip(quantities.iter().map(|quantity| quantity.agreed));
    named.filter(|(_, quantity)| *quantity != 0).collect()
}
