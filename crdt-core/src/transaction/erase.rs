//! What a place shows after the edits so far, and how everything under it is taken out.

use super::Scope;
use super::counter::Pending;
use crate::delta::{LeafDelta, MapDelta, NodeDelta, SetDelta};
use crate::dots::Dots;
use crate::node::{MapNode, Node, SetNode};
use crate::path::Key;
use crate::sorted::SortedMap;

/// Tells whether a node is visible, given what the document has and what the delta does.
pub(super) fn shows(scope: &Scope<'_>, seen: Option<&Node>, delta: Option<&NodeDelta>) -> bool {
    let Some(delta) = delta else {
        return seen.is_some_and(Node::is_visible);
    };
    match (seen, delta) {
        (_, NodeDelta::Register(leaf)) => !leaf.added.is_empty(),
        (Some(Node::Counter(counter)), NodeDelta::Counter(delta)) => {
            Pending::new(scope, Some(counter), delta).is_visible()
        }
        (_, NodeDelta::Counter(delta)) => Pending::new(scope, None, delta).is_visible(),
        (Some(Node::Set(set)), NodeDelta::Set(delta)) => shows_set(Some(set), delta),
        (_, NodeDelta::Set(delta)) => shows_set(None, delta),
        (Some(Node::Map(map)), NodeDelta::Map(delta)) => shows_map(scope, Some(map), delta),
        (_, NodeDelta::Map(delta)) => shows_map(scope, None, delta),
    }
}

fn shows_leaf(seen: Option<&Dots>, delta: Option<&LeafDelta<()>>) -> bool {
    match delta {
        Some(leaf) => !leaf.added.is_empty(),
        None => seen.is_some_and(|dots| !dots.is_empty()),
    }
}

fn shows_set(seen: Option<&SetNode>, delta: &SetDelta) -> bool {
    shows_leaf(seen.map(|set| &set.presence), delta.presence.as_deref())
        || delta.elements.values().any(|leaf| !leaf.added.is_empty())
        || seen.is_some_and(|set| set.elements.keys().any(|element| !delta.elements.contains_key(element)))
}

fn shows_map(scope: &Scope<'_>, seen: Option<&MapNode>, delta: &MapDelta) -> bool {
    let untouched = |(key, node): (&Key, &Node)| !delta.children.contains_key(key) && node.is_visible();
    shows_leaf(seen.map(|map| &map.presence), delta.presence.as_deref())
        || delta
            .children
            .iter()
            .any(|(key, child)| shows(scope, seen.and_then(|map| map.children.get(key)), Some(child)))
        || seen.is_some_and(|map| map.children.iter().any(untouched))
}

/// Takes out everything under one key: what the document has is superseded, what only the delta
/// has is forgotten.
pub(super) fn leave(scope: &Scope<'_>, children: &mut SortedMap<Key, NodeDelta>, key: &Key, seen: Option<&Node>) {
    let Some(seen) = seen else {
        children.remove(key);
        return;
    };
    let delta = children.get_or_insert_with(key.clone(), || NodeDelta::new(key.kind));
    match (seen, delta) {
        (Node::Register(register), NodeDelta::Register(leaf)) => {
            let dots: Dots = register.entries.iter().map(|entry| entry.dot).collect();
            *leaf = LeafDelta { superseded: scope.names(&dots), ..LeafDelta::default() };
        }
        (Node::Counter(counter), NodeDelta::Counter(delta)) => super::counter::reset(scope, Some(counter), delta),
        (Node::Set(set), NodeDelta::Set(delta)) => clear_set(scope, Some(set), delta),
        (Node::Map(map), NodeDelta::Map(delta)) => clear_map(scope, map, delta),
        _ => unreachable!("a key's kind is its node's kind, in documents and in deltas"),
    }
}

fn clear_map(scope: &Scope<'_>, map: &MapNode, delta: &mut MapDelta) {
    delta.presence = superseded(scope, Some(&map.presence)).map(Box::new);
    delta.children.retain(|key, _| map.children.get(key).is_some());
    for (key, child) in map.children.iter() {
        leave(scope, &mut delta.children, key, Some(child));
    }
}

/// Takes out every element and the mark that the set exists.
pub(super) fn clear_set(scope: &Scope<'_>, seen: Option<&SetNode>, delta: &mut SetDelta) {
    delta.presence = superseded(scope, seen.map(|set| &set.presence)).map(Box::new);
    delta.elements.clear();
    for (element, dots) in seen.into_iter().flat_map(|set| set.elements.iter()) {
        let leaf = LeafDelta { superseded: scope.names(dots), ..LeafDelta::default() };
        delta.elements.insert(element.clone(), leaf);
    }
}

/// Returns the change that takes these dots out; none if there are none.
fn superseded(scope: &Scope<'_>, seen: Option<&Dots>) -> Option<LeafDelta<()>> {
    let dots = seen.filter(|dots| !dots.is_empty())?;
    Some(LeafDelta { superseded: scope.names(dots), ..LeafDelta::default() })
}
