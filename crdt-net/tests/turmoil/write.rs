//! Writes, and what can be checked about them later.
//!
//! How does one see that a write is neither lost, nor torn, nor there twice? Each inserts a tag of
//! its own into one set and adds an amount, named in the tag, to one counter. So the tags that a
//! document holds say what its counter must be.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crdt_core::{EditError, Kind, Snapshot, Transaction, Value};

use crate::choices::Choices;

/// The documents that every host has open.
pub(crate) const DOCUMENTS: [&str; 2] = ["cart", "notes"];

/// Names one write: the host that makes it, its number there, and the amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tag {
    pub(crate) host: usize,
    pub(crate) number: u64,
    pub(crate) amount: i64,
}

impl fmt::Display for Tag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}:{}", self.host, self.number, self.amount)
    }
}

impl Tag {
    fn parse(value: &Value) -> Self {
        let text = value.as_text().expect("a tag is text");
        let mut parts = text.split(':');
        let mut next = || parts.next().expect("a tag has three parts");
        Self {
            host: next().parse().expect("a number"),
            number: next().parse().expect("a number"),
            amount: next().parse().expect("a number"),
        }
    }
}

/// One transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Write {
    pub(crate) document: &'static str,
    pub(crate) tag: Tag,
    also: Also,
}

/// What a transaction does besides.
#[derive(Clone, Copy, Debug)]
enum Also {
    Title(u64),
    Insert(i64),
    Remove(i64),
    Stock { shelf: u64 },
    Clear { shelf: u64 },
    Picture { number: u64, bytes: usize },
}

impl Write {
    pub(crate) fn draw(host: usize, number: u64, document: &'static str, choices: &mut Choices) -> Self {
        // Never zero: a counter that nothing was added to does not exist.
        let amount = choices.between(1, 20) as i64 * if choices.once_in(4) { -1 } else { 1 };
        let tag = Tag { host, number, amount };
        let also = match choices.below(40) {
            0..10 => Also::Title(choices.bits()),
            10..20 => Also::Insert(choices.between(0, 9) as i64),
            20..27 => Also::Remove(choices.between(0, 9) as i64),
            27..35 => Also::Stock { shelf: choices.between(0, 3) },
            35..39 => Also::Clear { shelf: choices.between(0, 3) },
            _ => Also::Picture { number: choices.between(0, 3), bytes: choices.pick(&[5_000, 100_000]) },
        };
        Self { document, tag, also }
    }

    pub(crate) fn make(self, edit: &mut Transaction<'_>) -> Result<(), EditError> {
        edit.set("tags").insert(self.tag.to_string())?;
        edit.counter("sum").add(self.tag.amount)?;
        match self.also {
            Also::Title(number) => edit.register("title").set(number.to_string())?,
            Also::Insert(element) => edit.set("bag").insert(element)?,
            Also::Remove(element) => drop(edit.set("bag").remove(element)?),
            Also::Stock { shelf } => edit.map(&format!("shelf {shelf}")).counter("books").add(1)?,
            Also::Clear { shelf } => drop(edit.root().remove(Kind::Map, &format!("shelf {shelf}"))?),
            Also::Picture { number, bytes } => {
                let pixels = self.tag.to_string().repeat(bytes / 8);
                edit.register(&format!("picture {number}")).set(pixels)?;
            }
        }
        Ok(())
    }
}

/// What a reader of changes knows of a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mirror {
    pub(crate) tags: BTreeSet<Tag>,
    pub(crate) sum: Option<i128>,
    pub(crate) title: Option<Value>,
}

impl Mirror {
    /// Reads a whole document.
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        let root = snapshot.root();
        let tags = root.set("tags").map(|tags| tags.values().into_iter().map(Tag::parse).collect());
        Self {
            tags: tags.unwrap_or_default(),
            sum: root.counter("sum"),
            title: root.register("title").map(|title| title.get().clone()),
        }
    }

    /// Takes in one change.
    pub(crate) fn take_in(&mut self, change: &crdt_core::Change) {
        use crdt_core::Changed;
        let [key] = change.path.keys() else {
            return;
        };
        match (&*key.name, &change.what) {
            ("tags", Changed::Inserted(tag)) => drop(self.tags.insert(Tag::parse(tag))),
            ("sum", Changed::Counter(sum)) => self.sum = *sum,
            ("title", Changed::Register { value, .. }) => self.title.clone_from(value),
            _ => {}
        }
    }

    /// What the tags say that the counter holds.
    pub(crate) fn sum_of_tags(&self) -> Option<i128> {
        (!self.tags.is_empty()).then(|| self.tags.iter().map(|tag| i128::from(tag.amount)).sum())
    }
}

/// Writes by document.
pub(crate) type Tags = BTreeMap<&'static str, BTreeSet<Tag>>;
