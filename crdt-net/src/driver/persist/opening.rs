//! Opening: a store, wherever it is, and an endpoint that knows everything in it.
//!
//! How much of it is read? The heads that are noted. A document without one was in memory when a process ended
//! without closing its replica: it is loaded to see where it stands, and may rest again at once, so that opening
//! takes no more memory than running does.

use crdt_core::ReplicaId;
use crdt_store::{DiskStore, Identity, Store};
use crdt_sync::{Config, DocumentId, Endpoint, Now, Output};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::options::{Options, Storage};
use crate::replica::OpenError;

use super::thread::StorageThread;
use super::{Disk, Inline, NOTES_MAX, Persist, Way, read};

/// An open store, and the endpoint of everything in it.
pub(crate) struct Opened {
    pub(crate) endpoint: Endpoint,
    /// None in memory.
    pub(crate) identity: Option<Identity>,
    pub(crate) persist: Persist,
}

/// Opens the store that the options name, and every document in it.
pub(crate) async fn open(options: &Options, now: Now) -> Result<Opened, OpenError> {
    match &options.storage {
        Storage::Memory(store) => {
            let replica = options.replica.or_else(|| store.replica());
            let replica = replica.unwrap_or_else(|| ReplicaId::from_random_bytes(rand::random()));
            let mut store = store.lease(replica)?;
            let (endpoint, loads) = open_documents(&mut store, incarnation(options), options.sync.clone(), now)?;
            let persist = Persist::new(Way::Inline(Inline::new(Box::new(store))), loads);
            Ok(Opened { endpoint, identity: None, persist })
        }
        Storage::Disk { folder, options: disk } => {
            let (folder, mut disk) = (folder.clone(), disk.clone());
            disk.replica = options.replica.or(disk.replica);
            let open = move || Ok(Box::new(DiskStore::open(&folder, disk)?) as Box<dyn Disk>);
            open_blocking(options, now, open).await
        }
    }
}

/// Opens a store that blocks, in the thread that keeps it.
pub(crate) async fn open_blocking(
    options: &Options,
    now: Now,
    open: impl FnOnce() -> Result<Box<dyn Disk>, OpenError> + Send + 'static,
) -> Result<Opened, OpenError> {
    let (incarnation, config) = (incarnation(options), options.sync.clone());
    let open = move || {
        let mut store = open()?;
        let opened = open_documents(&mut *store, incarnation, config, now)?;
        Ok((store, opened))
    };
    let (thread, (endpoint, loads), identity) = StorageThread::open(options.durability, open).await?;
    Ok(Opened { endpoint, identity, persist: Persist::new(Way::Thread(thread), loads) })
}

/// Draws what tells this opening of a store apart from any other.
fn incarnation(options: &Options) -> u64 {
    options.seed.map_or_else(rand::random, |seed| StdRng::seed_from_u64(seed).random())
}

/// Makes an endpoint that knows everything that the store holds. Returns how many documents had to be loaded for it:
/// those whose heads are not noted. They may rest again at once, and are noted then.
fn open_documents(
    store: &mut (impl Store + ?Sized),
    incarnation: u64,
    config: Config,
    now: Now,
) -> Result<(Endpoint, u64), OpenError> {
    let endpoint = Endpoint::new(store.replica(), incarnation, config);
    let mut endpoint = endpoint.with_former(store.former()).with_disputed(store.disputed());
    let (mut loads, mut notes) = (0, 0);
    for (name, head) in store.heads()? {
        let document = DocumentId::new(name)?;
        let opened = match head {
            Some(head) => endpoint.know(now, &document, head),
            None => {
                loads += 1;
                endpoint.open(now, &document, Some(read(store, &document)?))
            }
        };
        opened.map_err(|error| OpenError::Document { document, error })?;
        while let Some(output) = endpoint.poll_output() {
            if let Output::Rested { document, head } = output {
                store.note_head(document.as_str(), &head)?;
                notes += 1;
            }
        }
        if notes >= NOTES_MAX {
            store.sync()?;
            notes = 0;
        }
    }
    if notes > 0 {
        store.sync()?;
    }
    for (name, replica) in store.settled()? {
        endpoint.settled(&DocumentId::new(name)?, replica);
    }
    Ok((endpoint, loads))
}
