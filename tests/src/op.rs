//! One edit somewhere in a document, as data: played on a transaction, or read by the model.
//!
//! What does an edit mean? Two things, both stated by path and item: the entry it writes
//! ([`Op::writes`]) and the entries it takes out if it has seen them ([`Op::clears`]). The model
//! is made of nothing else.

use crdt_core::{EditError, Key, Kind, MapMut, Value};

/// A map key's name; a tiny pool, so that generated edits meet.
pub type Name = &'static str;

/// One edit: in the map at `map`, at the key called `name`.
#[derive(Clone, Debug, PartialEq)]
pub struct Op {
    /// Names of the maps from the root down.
    pub map: Vec<Name>,
    /// The key within that map; [`Edit::ClearMap`] alone has no use for it.
    pub name: Name,
    /// What is done there.
    pub edit: Edit,
}

/// What an [`Op`] does.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    /// Writes the register.
    Write(Value),
    /// Clears the register.
    ClearRegister,
    /// Adds to the counter.
    Add(i64),
    /// Resets the counter.
    Reset,
    /// Adds to the set.
    Insert(Value),
    /// Removes from the set.
    RemoveElement(Value),
    /// Removes every element of the set, and its presence.
    ClearSet,
    /// Makes the set exist.
    CreateSet,
    /// Makes the map exist.
    CreateMap,
    /// Removes the key of that kind, with all beneath it.
    Remove(Kind),
    /// Removes every key of the map at `map`, which may be the root.
    ClearMap,
}

/// What an entry holds, apart from its path.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A value of the register.
    Value(Value),
    /// An increment of the counter.
    Increment(i64),
    /// An element of the set.
    Element(Value),
    /// The mark of a set or map that it was created explicitly.
    Presence,
}

/// Where an entry stands, and what it holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// From the root to the register, counter, set or map.
    pub path: Vec<Key>,
    /// What stands there.
    pub item: Item,
}

/// Which entries an edit takes out, of those it has seen.
#[derive(Clone, Debug, PartialEq)]
pub enum Scope {
    /// All values of a register, all increments of a counter, or the presence mark.
    At(Vec<Key>),
    /// One element of a set.
    Element(Vec<Key>, Value),
    /// Everything at the path or beneath it.
    From(Vec<Key>),
    /// Everything beneath the path, but not its presence.
    Beneath(Vec<Key>),
}

impl Scope {
    /// Tells whether `entry` is one of those.
    #[must_use]
    pub fn covers(&self, entry: &Entry) -> bool {
        let element = matches!(entry.item, Item::Element(_));
        match self {
            Self::At(path) => entry.path == *path && !element,
            Self::Element(path, value) => entry.path == *path && entry.item == Item::Element(value.clone()),
            Self::From(path) => entry.path.starts_with(path),
            Self::Beneath(path) => entry.path.len() > path.len() && entry.path.starts_with(path),
        }
    }
}

impl Op {
    fn map_path(&self) -> Vec<Key> {
        self.map.iter().map(|name| Key::new(Kind::Map, *name)).collect()
    }

    fn path(&self, kind: Kind) -> Vec<Key> {
        let mut path = self.map_path();
        path.push(Key::new(kind, self.name));
        path
    }

    /// Returns the entry that this edit writes, if it writes one.
    #[must_use]
    pub fn writes(&self) -> Option<Entry> {
        let (kind, item) = match &self.edit {
            Edit::Write(value) => (Kind::Register, Item::Value(value.clone())),
            Edit::Add(by) => (Kind::Counter, Item::Increment(*by)),
            Edit::Insert(value) => (Kind::Set, Item::Element(value.clone())),
            Edit::CreateSet => (Kind::Set, Item::Presence),
            Edit::CreateMap => (Kind::Map, Item::Presence),
            _ => return None,
        };
        Some(Entry { path: self.path(kind), item })
    }

    /// Returns which of the entries it has seen this edit takes out, if any.
    #[must_use]
    pub fn clears(&self) -> Option<Scope> {
        Some(match &self.edit {
            Edit::Write(_) | Edit::ClearRegister => Scope::At(self.path(Kind::Register)),
            Edit::Add(_) => return None,
            Edit::Reset => Scope::At(self.path(Kind::Counter)),
            Edit::Insert(value) | Edit::RemoveElement(value) => Scope::Element(self.path(Kind::Set), value.clone()),
            Edit::ClearSet => Scope::From(self.path(Kind::Set)),
            Edit::CreateSet => Scope::At(self.path(Kind::Set)),
            Edit::CreateMap => Scope::At(self.path(Kind::Map)),
            Edit::Remove(kind) => Scope::From(self.path(*kind)),
            Edit::ClearMap => Scope::Beneath(self.map_path()),
        })
    }

    /// Plays the edit within a transaction, from its root map.
    ///
    /// Returns what a removal says about whether there was anything to remove; `None` for others.
    ///
    /// # Errors
    /// Whatever the document refuses.
    pub fn play(&self, root: &mut MapMut<'_>) -> Result<Option<bool>, EditError> {
        descend(root, &self.map, |map| self.edit.play(map, self.name))
    }
}

fn descend<T>(map: &mut MapMut<'_>, names: &[Name], then: impl FnOnce(&mut MapMut<'_>) -> T) -> T {
    match names {
        [] => then(map),
        [first, rest @ ..] => descend(&mut map.map(first), rest, then),
    }
}

impl Edit {
    fn play(&self, map: &mut MapMut<'_>, name: Name) -> Result<Option<bool>, EditError> {
        match self {
            Self::Write(value) => map.register(name).set(value.clone())?,
            Self::ClearRegister => map.register(name).clear()?,
            Self::Add(by) => map.counter(name).add(*by)?,
            Self::Reset => map.counter(name).reset()?,
            Self::Insert(value) => map.set(name).insert(value.clone())?,
            Self::RemoveElement(value) => return map.set(name).remove(value.clone()).map(Some),
            Self::ClearSet => map.set(name).clear()?,
            Self::CreateSet => map.set(name).create()?,
            Self::CreateMap => map.map(name).create()?,
            Self::Remove(kind) => return map.remove(*kind, name).map(Some),
            Self::ClearMap => map.clear()?,
        }
        Ok(None)
    }
}
