//! The documents of an endpoint: by index for the protocol, by name for people.

use std::collections::BTreeMap;

use crdt_core::{Document, ReplicaId};

use super::open_document::{DocumentIndex, OpenDocument};
use crate::document_id::DocumentId;
use crate::error::OpenError;
use crate::output::Stored;

/// Only grows: an index stays valid, and with it every session's state.
#[derive(Debug, Default)]
pub(crate) struct OpenDocuments {
    by_name: BTreeMap<DocumentId, DocumentIndex>,
    all: Vec<OpenDocument>,
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
        let len = u32::try_from(self.all.len()).expect("bounded by documents_max: checked in open");
        (0..len).map(DocumentIndex)
    }

    pub(crate) fn by_name(&self) -> impl Iterator<Item = (&DocumentId, &Document)> {
        self.by_name.iter().filter_map(|(id, index)| Some((id, self.at(*index)?.document())))
    }

    /// Opens a document that is not open yet.
    pub(crate) fn open(
        &mut self,
        id: &DocumentId,
        replica: ReplicaId,
        stored: Option<Stored>,
        documents_max: usize,
    ) -> Result<DocumentIndex, OpenError> {
        let index = u32::try_from(self.all.len()).ok().filter(|_| self.all.len() < documents_max);
        let index = DocumentIndex(index.ok_or(OpenError::TooManyDocuments { max: documents_max })?);
        let document = match stored {
            Some(stored) => OpenDocument::restore(index, id.clone(), replica, stored)?,
            None => OpenDocument::new(index, id.clone(), replica),
        };
        self.all.push(document);
        self.by_name.insert(id.clone(), index);
        Ok(index)
    }
}
