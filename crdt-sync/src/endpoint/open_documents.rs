//! The documents of an endpoint: by index for the protocol, by name for people, by last use for memory.

use std::collections::BTreeMap;

use crdt_core::planted::{Bug, is_planted};
use crdt_core::{Document, Head, ReplicaId, Snapshot};

use super::loads::Loads;
use super::open_document::{DocumentIndex, OpenDocument};
use super::recency::Recency;
use crate::document_id::DocumentId;
use crate::error::OpenError;
use crate::output::{Output, Stored};

/// Only grows: an index stays valid, and with it every session's state.
#[derive(Debug, Default)]
pub(crate) struct OpenDocuments {
    by_name: BTreeMap<DocumentId, DocumentIndex>,
    all: Vec<OpenDocument>,
    /// Those in memory, by last use.
    pub(super) residents: Recency,
    pub(super) loads: Loads,
}

/// What is known of a document that is added.
pub(super) enum Known {
    /// Nobody has written to it here.
    Empty,
    /// What the store holds.
    Stored(Stored),
    /// Where it stands in the store.
    AtRest(Head),
}

impl OpenDocuments {
    pub(crate) fn index(&self, id: &DocumentId) -> Option<DocumentIndex> {
        self.by_name.get(id).copied()
    }

    pub(crate) fn at(&self, index: DocumentIndex) -> Option<&OpenDocument> {
        self.all.get(index.0 as usize)
    }

    pub(crate) fn at_mut(&mut self, index: DocumentIndex) -> Option<&mut OpenDocument> {
        self.all.get_mut(index.0 as usize)
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &OpenDocument> {
        self.all.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut OpenDocument> {
        self.all.iter_mut()
    }

    pub(crate) fn indices(&self) -> impl Iterator<Item = DocumentIndex> + use<> {
        let len = u32::try_from(self.all.len()).expect("bounded by documents_max: checked in add");
        (0..len).map(DocumentIndex)
    }

    /// Yields all of them, in the order of their names.
    pub(crate) fn by_name(&self) -> impl Iterator<Item = &OpenDocument> {
        self.by_name.values().filter_map(|index| self.at(*index))
    }

    /// Yields those in memory, in the order of their names.
    pub(crate) fn in_memory(&self) -> impl Iterator<Item = (&DocumentId, &Document)> {
        self.by_name().filter_map(|open| Some((open.id(), open.document()?)))
    }

    /// Adds a document that is not known yet.
    pub(super) fn add(
        &mut self,
        id: &DocumentId,
        replica: ReplicaId,
        known: Known,
        documents_max: usize,
    ) -> Result<DocumentIndex, OpenError> {
        let index = u32::try_from(self.all.len()).ok().filter(|_| self.all.len() < documents_max);
        let index = DocumentIndex(index.ok_or(OpenError::TooManyDocuments { max: documents_max })?);
        let document = match known {
            Known::Stored(stored) => OpenDocument::restore(index, id.clone(), replica, stored)?,
            Known::Empty => OpenDocument::new(index, id.clone(), replica),
            Known::AtRest(head) => OpenDocument::at_rest(index, id.clone(), replica, head),
        };
        if document.resident().is_some() {
            self.residents.used(index);
        }
        self.all.push(document);
        self.by_name.insert(id.clone(), index);
        Ok(index)
    }

    /// Lets all that are in memory go on under another id.
    pub(super) fn renew(&mut self, replica: ReplicaId) {
        self.all.iter_mut().filter_map(OpenDocument::resident_mut).for_each(|resident| resident.renew(replica));
    }

    pub(crate) fn is_resident(&self, index: DocumentIndex) -> bool {
        self.at(index).is_some_and(|open| open.resident().is_some())
    }

    /// Takes note that a document in memory was used.
    pub(crate) fn used(&mut self, index: DocumentIndex) {
        if self.is_resident(index) {
            self.residents.used(index);
        }
    }

    /// Asks for the content of a document at rest; `None` if it is on its way already.
    pub(crate) fn load(&mut self, index: DocumentIndex) -> Option<Output> {
        let document = self.at(index)?.id().clone();
        self.loads.ask(index).then_some(Output::Load { document })
    }

    /// Takes a document at rest into memory.
    pub(super) fn wake(&mut self, index: DocumentIndex, replica: ReplicaId, stored: Stored) -> Result<(), OpenError> {
        if let Some(open) = self.at_mut(index) {
            open.wake(replica, stored)?;
            self.residents.used(index);
        }
        Ok(())
    }

    /// Takes a document into memory for which no store need be asked, because nobody has written to it.
    pub(super) fn wake_empty(&mut self, index: DocumentIndex, replica: ReplicaId) -> bool {
        let Some(head) = self.at(index).and_then(OpenDocument::head_at_rest) else { return false };
        if !head.is_empty() && !is_planted(Bug::EmptyInsteadOfLoaded) {
            return false;
        }
        let nothing = Stored { snapshot: Snapshot::empty(), deltas: Vec::new() };
        self.wake(index, replica, nothing).is_ok()
    }

    /// Lets go of a document's content, if the store holds all of it.
    pub(super) fn rest(&mut self, index: DocumentIndex) -> Option<Output> {
        let open = self.at_mut(index)?;
        let (head, document) = (open.rest()?, open.id().clone());
        self.residents.remove(index);
        Some(Output::Rested { document, head })
    }
}
