//! The order in which documents were last used: a list through all of them, in one table.
//!
//! Why no counter of uses? Two endpoints that have used the same documents in the same order are in the
//! same state, however often they did; the exhaustive check counts on that. Every step is O(1).

use super::DocumentIndex;

/// Some of the documents, the one that was used longest ago first.
#[derive(Debug, Default)]
pub(super) struct Recency {
    /// By document, listed or not.
    places: Vec<Option<Place>>,
    oldest: Option<DocumentIndex>,
    newest: Option<DocumentIndex>,
    len: usize,
}

/// The neighbours of a document that is listed.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    older: Option<DocumentIndex>,
    newer: Option<DocumentIndex>,
}

impl Recency {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Returns the one that was used longest ago.
    pub(super) fn oldest(&self) -> Option<DocumentIndex> {
        self.oldest
    }

    /// Returns the one that was used next after `index`.
    pub(super) fn newer(&self, index: DocumentIndex) -> Option<DocumentIndex> {
        self.place(index)?.newer
    }

    /// Lists a document as the one used last, whether it was listed or not.
    pub(super) fn used(&mut self, index: DocumentIndex) {
        if self.newest == Some(index) {
            return;
        }
        self.remove(index);
        self.insert(index, Place { older: self.newest, newer: None });
    }

    /// Lists a document as one that nobody has used yet.
    pub(super) fn unused(&mut self, index: DocumentIndex) {
        self.remove(index);
        self.insert(index, Place { older: None, newer: self.oldest });
    }

    /// Lists a document no more.
    pub(super) fn remove(&mut self, index: DocumentIndex) {
        let Some(Place { older, newer }) = self.places.get_mut(index.0 as usize).and_then(Option::take) else { return };
        *self.newer_of(older) = newer;
        *self.older_of(newer) = older;
        self.len -= 1;
    }

    fn insert(&mut self, index: DocumentIndex, place: Place) {
        let at = index.0 as usize;
        if self.places.len() <= at {
            self.places.resize(at + 1, None);
        }
        *self.newer_of(place.older) = Some(index);
        *self.older_of(place.newer) = Some(index);
        self.places[at] = Some(place);
        self.len += 1;
    }

    fn place(&self, index: DocumentIndex) -> Option<Place> {
        *self.places.get(index.0 as usize)?
    }

    /// What stands behind `older`, or at the old end of the list.
    fn newer_of(&mut self, older: Option<DocumentIndex>) -> &mut Option<DocumentIndex> {
        match older.and_then(|older| self.places[older.0 as usize].as_mut()) {
            Some(place) => &mut place.newer,
            None => &mut self.oldest,
        }
    }

    /// What stands before `newer`, or at the new end of the list.
    fn older_of(&mut self, newer: Option<DocumentIndex>) -> &mut Option<DocumentIndex> {
        match newer.and_then(|newer| self.places[newer.0 as usize].as_mut()) {
            Some(place) => &mut place.older,
            None => &mut self.newest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(recency: &Recency) -> Vec<u32> {
        let order: Vec<u32> =
            std::iter::successors(recency.oldest(), |index| recency.newer(*index)).map(|index| index.0).collect();
        let back = std::iter::successors(recency.newest, |index| recency.place(*index).and_then(|place| place.older));
        let mut back: Vec<u32> = back.map(|index| index.0).collect();
        back.reverse();
        assert_eq!(order, back);
        assert_eq!(order.len(), recency.len());
        order
    }

    #[test]
    fn the_last_used_stands_at_the_end_and_the_unused_at_the_front() {
        let mut recency = Recency::default();
        for index in [2, 0, 1, 2, 2, 0] {
            recency.used(DocumentIndex(index));
        }
        assert_eq!(order(&recency), [1, 2, 0]);
        recency.unused(DocumentIndex(5));
        recency.unused(DocumentIndex(0));
        assert_eq!(order(&recency), [0, 5, 1, 2]);
        for index in [5, 0, 2, 2] {
            recency.remove(DocumentIndex(index));
        }
        assert_eq!(order(&recency), [1]);
        recency.remove(DocumentIndex(1));
        assert!(order(&recency).is_empty());
    }
}
