//! The judge: what must hold after every step, whatever has broken.
//!
//! It stands outside and sees everything: the truth of each document, what each store holds durably,
//! what each replica has shown so far, and every message. Replicas are called by their number
//! here; number n has the id n + 1, and with each other store that it gets an id of its own, 16 further on.

use std::collections::BTreeMap;

use crdt_core::{Changes, Delta, Digest, Dot, Head, ReplicaId, Snapshot, VersionVector};
use crdt_sync::{DocumentId, FrameReader, FrameSummary, LinkId, Write};
use xxhash_rust::xxh3::xxh3_64;

use super::truth::Truth;
use crate::choices::Choices;
use crate::shadow::Shadow;
use crate::view::View;

mod bounds;
mod check;
mod credit;

use bounds::Arriving;
pub use check::{Broken, Check, Violation, broken};
use credit::Book;

/// One new state in so many is compared with the model: that is quadratic in the history.
const MODEL_ONE_IN: usize = 48;

/// Everything the judge knows.
#[derive(Debug)]
pub struct Oracle {
    /// By document.
    pub truths: Vec<Truth>,
    ids: Vec<DocumentId>,
    hosts: Vec<Known>,
    /// Under how many ids they have written.
    ids_used: usize,
    choices: Choices,
    /// Messages of some link were dropped, doubled or swapped.
    is_tampered: bool,
}

/// What is known of one replica.
#[derive(Debug)]
struct Known {
    /// Under which id it writes.
    replica: ReplicaId,
    /// By document: the version last seen.
    versions: Vec<VersionVector>,
    /// By document: the digest last seen.
    digests: Vec<Digest>,
    /// By document: what its store holds.
    durable: Vec<VersionVector>,
    /// By document: what any store has held that it has had.
    once_durable: Vec<VersionVector>,
    /// By document: what it has reported.
    shadows: Vec<Shadow>,
    /// What it has said, by link.
    said: BTreeMap<LinkId, Said>,
}

impl Oracle {
    /// Knows of replicas and documents, all empty.
    #[must_use]
    pub fn new(hosts: usize, ids: Vec<DocumentId>, seed: u64) -> Self {
        let known = |host| Known {
            replica: replica_of(host),
            versions: vec![VersionVector::new(); ids.len()],
            digests: vec![Digest::default(); ids.len()],
            durable: vec![VersionVector::new(); ids.len()],
            once_durable: vec![VersionVector::new(); ids.len()],
            shadows: ids.iter().map(|_| Shadow::default()).collect(),
            said: BTreeMap::new(),
        };
        Self {
            truths: ids.iter().map(|_| Truth::default()).collect(),
            hosts: (0..hosts).map(known).collect(),
            ids_used: hosts,
            choices: Choices::new(seed ^ 0x6f72_6163_6c65),
            ids,
            is_tampered: false,
        }
    }

    /// Messages of some link are dropped, doubled or swapped from here on.
    pub fn tampered(&mut self) {
        self.is_tampered = true;
    }

    /// Returns the number of a document.
    ///
    /// # Panics
    /// If there is none of that name.
    #[must_use]
    pub fn document(&self, id: &DocumentId) -> usize {
        self.ids.iter().position(|known| known == id).expect("only documents of the plan are opened")
    }

    /// Returns what a store must hold of a document.
    #[must_use]
    pub fn durable(&self, host: usize, document: usize) -> &VersionVector {
        &self.hosts[host].durable[document]
    }

    /// Returns what a store must hold of every document.
    #[must_use]
    pub fn all_durable(&self, host: usize) -> &[VersionVector] {
        &self.hosts[host].durable
    }

    /// Tells whether the others together hold durably all that the store of a replica does.
    #[must_use]
    pub fn is_held_elsewhere(&self, host: usize) -> bool {
        self.hosts[host].durable.iter().enumerate().all(|(document, durable)| {
            let others = self.hosts.iter().enumerate().filter(|(other, _)| *other != host);
            let mut held = VersionVector::new();
            others.for_each(|(_, other)| held.merge(&other.durable[document]));
            held.covers_all(durable)
        })
    }

    /// A replica that is down has another store, and another id.
    pub fn replaced(&mut self, host: usize, replica: ReplicaId, durable: Vec<VersionVector>) {
        let known = &mut self.hosts[host];
        known.once_durable.iter_mut().zip(&durable).for_each(|(once, durable)| once.merge(durable));
        (known.replica, known.durable) = (replica, durable);
        self.ids_used += 1;
    }

    /// Judges a write that a replica asks its store for.
    ///
    /// # Errors
    /// The check that failed, and how.
    pub fn requested(&mut self, document: usize, write: &Write) -> Result<(), Broken> {
        let Write::Delta(delta) = write else { return Ok(()) };
        if delta.len() > 1 {
            return Ok(());
        }
        let dot = single(delta);
        match self.truths[document].content(dot) {
            None => broken(Check::NoInvention, format!("{dot} was never spent")),
            Some(content) if content == content_of(delta) => Ok(()),
            Some(_) => broken(Check::OneContent, format!("{dot} stands for another transaction too")),
        }
    }

    /// Takes note of a write that is durable now.
    pub fn persisted(&mut self, host: usize, document: usize, write: &Write) {
        let known = &mut self.hosts[host];
        match write {
            Write::Delta(delta) => delta.advance(&mut known.durable[document]),
            Write::Snapshot(snapshot) => known.durable[document].merge(&snapshot.version()),
        }
        known.once_durable[document].merge(&known.durable[document]);
    }

    /// Judges a document as it stands now on a replica, and if it is in memory also what is in it.
    ///
    /// # Errors
    /// The check that failed, and how.
    pub fn observe(
        &mut self,
        host: usize,
        number: usize,
        (version, digest): (VersionVector, Digest),
        content: Option<Snapshot>,
    ) -> Result<(), Broken> {
        let known = &mut self.hosts[host];
        let before = std::mem::replace(&mut known.versions[number], version.clone());
        if std::mem::replace(&mut known.digests[number], digest) == digest && before == version {
            return Ok(());
        }
        if !version.covers_all(&before) {
            return broken(Check::NoRegress, format!("{version:?} after {before:?}"));
        }
        for (replica, _, through) in version.difference(&before) {
            let durable = self.hosts[host_of(replica)].once_durable[number].counter(replica);
            if host_of(replica) != host && through > durable {
                let detail = format!("{through} of {} is here, {durable} are durable there", host_of(replica));
                return broken(Check::DurableFirst, detail);
            }
        }
        let truth = &mut self.truths[number];
        let events = match truth.events(&version) {
            Ok(events) => events,
            Err(dot) => return broken(Check::NoInvention, format!("{dot} was never spent")),
        };
        if let Some(other) = truth.digest(events, digest) {
            return broken(Check::EqualStates, format!("{digest:?} and {other:?} at {version:?}"));
        }
        if self.choices.below(MODEL_ONE_IN) == 0
            && let Some(content) = content
        {
            self.compare(host, number, &content)?;
        }
        Ok(())
    }

    /// Compares the whole content with the model, and with what was reported.
    ///
    /// # Errors
    /// The check that failed, and how.
    pub fn compare(&self, host: usize, number: usize, document: &Snapshot) -> Result<(), Broken> {
        let truth = &self.truths[number];
        let Ok(events) = truth.events(&document.version()) else { return Ok(()) };
        if !truth.model.is_closed(events) {
            // Behind a message that was dropped comes what builds on it. Where it names nothing that is missing it is
            // taken (Invariant 2), and what it means is settled when the rest is there: a counter's owner, say, takes
            // out what somebody else has reset, and that reset is still to come.
            let detail = format!("{:?} lacks some of its past, and no message was dropped", document.version());
            return if self.is_tampered { Ok(()) } else { broken(Check::Model, detail) };
        }
        let (expected, found) = (truth.model.view(events), View::of(document.root()));
        if expected != found {
            return broken(Check::Model, format!("expected {expected:?}, found {found:?}"));
        }
        let (reported, shown) = (&self.hosts[host].shadows[number], Shadow::of(&found));
        if *reported != shown {
            return broken(Check::Reports, format!("reported {reported:?}, shown {shown:?}"));
        }
        Ok(())
    }

    /// Takes in what a replica reports to its application.
    ///
    /// # Errors
    /// The check that failed, and how.
    pub fn reported(&mut self, host: usize, document: usize, changes: &Changes) -> Result<(), Broken> {
        let contradiction = self.hosts[host].shadows[document].take_in(changes).err();
        contradiction.map_or(Ok(()), |change| broken(Check::Reports, format!("{change:?}")))
    }

    /// A replica has stopped, and what was not durable with it; returns how many transactions that were.
    pub fn stopped(&mut self, host: usize) -> u64 {
        let Known { replica, durable, .. } = &self.hosts[host];
        let truths = self.truths.iter_mut().zip(durable);
        truths.map(|(truth, durable)| truth.lose(*replica, durable.counter(*replica))).sum()
    }

    /// Judges a replica that has started again.
    ///
    /// # Errors
    /// The check that failed, and how.
    pub fn started(
        &mut self,
        host: usize,
        documents: impl IntoIterator<Item = (DocumentId, Head, Snapshot)>,
    ) -> Result<(), Broken> {
        let known = &mut self.hosts[host];
        let replica = known.replica;
        self.truths.iter_mut().for_each(|truth| truth.restart(replica));
        known.versions.fill(VersionVector::new());
        known.digests.fill(Digest::default());
        known.shadows.iter_mut().for_each(|shadow| *shadow = Shadow::default());
        for (id, head, content) in documents {
            let number = self.ids.iter().position(|known| *known == id).expect("only documents of the plan are stored");
            known.versions[number] = head.version();
            known.digests[number] = head.digest;
            known.shadows[number] = Shadow::of(&View::of(content.root()));
            let truth = &mut self.truths[number];
            let is_other = match truth.events(&head.version()) {
                Ok(events) => truth.digest(events, head.digest).is_some(),
                Err(_) => true,
            };
            if is_other || head != content.head() {
                return broken(Check::Reopens, format!("d{number} holds something else than it did"));
            }
        }
        if known.versions != known.durable {
            let detail = format!("opened {:?}, durable {:?}", known.versions, known.durable);
            return broken(Check::Reopens, detail);
        }
        Ok(())
    }

    /// A replica knows a link no more.
    pub fn ended(&mut self, host: usize, link: LinkId) {
        self.hosts[host].said.remove(&link);
    }

    /// Reads a message that a replica puts on a link. Comes once for each, in order.
    ///
    /// # Errors
    /// The check that failed, and how.
    pub fn read(&mut self, host: usize, link: LinkId, bytes: &[u8]) -> Result<FrameSummary, Broken> {
        let said = self.hosts[host].said.entry(link).or_default();
        let refused =
            |reason| Broken { check: Check::WellFormed, detail: format!("host {host} sends {bytes:?}: {reason}") };
        said.reader.read(bytes).map_err(refused)
    }

    /// Judges a message that a replica puts on a link: all that it says must be durable there.
    ///
    /// # Errors
    /// The check that failed, and how.
    pub fn sent(&mut self, host: usize, link: LinkId, bytes: &[u8], summary: &FrameSummary) -> Result<(), Broken> {
        let said = self.hosts[host].said.entry(link).or_default();
        match summary.clone() {
            FrameSummary::Begin { bytes: count, .. } => said.parts = bytes[bytes.len() - count..].to_vec(),
            FrameSummary::Part { bytes: count } => said.parts.extend(&bytes[bytes.len() - count..]),
            FrameSummary::Offer { handle, name, version, .. } => {
                said.handles
                    .insert(handle, self.ids.iter().position(|id| *id == name).expect("a document of the plan"));
                return self.must_be_durable(host, (link, handle), version.iter(), Check::DurableFirst);
            }
            FrameSummary::Snapshot { handle, version, .. } => {
                return self.must_be_durable(host, (link, handle), version.iter(), Check::DurableFirst);
            }
            FrameSummary::Delta { handle, ranges, .. } => {
                let ends = ranges.iter().map(|range| (range.replica, range.through));
                return self.must_be_durable(host, (link, handle), ends, Check::DurableFirst);
            }
            FrameSummary::Ack { handle, counters, .. } => {
                return self.must_be_durable(host, (link, handle), counters.into_iter(), Check::AckedIsDurable);
            }
            _ => return Ok(()),
        }
        // Is that all of it? Then it counts like any other message.
        if let Ok(summary) = said.reader.read(&said.parts) {
            let whole = std::mem::take(&mut said.parts);
            return self.sent(host, link, &whole, &summary);
        }
        Ok(())
    }

    /// Judges that a message brings its receiver something; one in parts may have been overtaken.
    ///
    /// # Errors
    /// The check that failed, and how.
    pub fn is_news(&self, host: usize, link: LinkId, summary: &FrameSummary) -> Result<(), Broken> {
        let Some(said) = self.hosts[host].said.get(&link) else { return Ok(()) };
        let FrameSummary::Delta { handle, ranges, .. } = summary else { return Ok(()) };
        let heard = said.handles.get(handle).and_then(|document| said.heard.get(document));
        if heard.is_some_and(|heard| ranges.iter().all(|range| range.through <= heard.counter(range.replica))) {
            return broken(Check::NoEcho, format!("host {host} sends {ranges:?} on link {}", link.0));
        }
        Ok(())
    }

    /// Takes note of what a replica learns of its peer by a message that arrives: `from` is the peer's
    /// end of the link, `to` the replica's own.
    pub fn heard(&mut self, from: (usize, LinkId), to: (usize, LinkId), bytes: &[u8]) {
        let handles = self.hosts[from.0].said.get(&from.1).map_or_else(BTreeMap::new, |said| said.handles.clone());
        let Some(said) = self.hosts[to.0].said.get_mut(&to.1) else { return };
        let Ok(summary) = said.book.heard(bytes, |handle| handles.get(&handle).copied()) else { return };
        said.arriving.take_in(&summary, bytes.len());
        let (handle, counters): (u32, Vec<(ReplicaId, u64)>) = match summary {
            FrameSummary::Offer { handle, version, .. } | FrameSummary::Snapshot { handle, version, .. } => {
                (handle, version.iter().collect())
            }
            FrameSummary::Delta { handle, ranges, .. } => {
                (handle, ranges.iter().map(|range| (range.replica, range.through)).collect())
            }
            FrameSummary::Ack { handle, counters, .. } => (handle, counters),
            _ => return,
        };
        let peer = self.hosts[from.0].said.get(&from.1);
        let Some(document) = peer.and_then(|said| said.handles.get(&handle)).copied() else { return };
        let Some(said) = self.hosts[to.0].said.get_mut(&to.1) else { return };
        let heard = said.heard.entry(document).or_default();
        counters.into_iter().for_each(|(replica, counter)| heard.raise(replica, counter));
    }

    fn must_be_durable(
        &self,
        host: usize,
        (link, handle): (LinkId, u32),
        counters: impl Iterator<Item = (ReplicaId, u64)>,
        check: Check,
    ) -> Result<(), Broken> {
        let Some(document) = self.hosts[host].said[&link].handles.get(&handle).copied() else { return Ok(()) };
        let durable = &self.hosts[host].durable[document];
        for (replica, counter) in counters {
            if counter > durable.counter(replica) {
                let detail =
                    format!("host {host} speaks of {replica}@{counter} of d{document}, durable is {durable:?}");
                return broken(check, detail);
            }
        }
        Ok(())
    }

    /// Judges that two replicas hold a document durably, as one of them says.
    ///
    /// # Errors
    /// The check that failed, and how.
    pub fn in_sync(
        &self,
        (host, peer): (usize, usize),
        document: usize,
        version: &VersionVector,
    ) -> Result<(), Broken> {
        // The peer may have got another store since it said so.
        let holds = [(host, &self.hosts[host].durable), (peer, &self.hosts[peer].once_durable)];
        for (who, durable) in holds {
            let durable = &durable[document];
            if !durable.covers_all(version) {
                let detail = format!("in sync with {peer} at {version:?}, but {who} has only {durable:?} durably");
                return broken(Check::AckedIsDurable, detail);
            }
        }
        Ok(())
    }

    /// Judges the end of a run: a document that should hold everything.
    ///
    /// # Errors
    /// The check that failed, and how.
    pub fn conclude(&self, host: usize, number: usize, document: &Snapshot, stored: &Snapshot) -> Result<(), Broken> {
        let (version, all) = (document.version(), self.truths[number].version());
        if stored.encode() != document.encode() {
            return broken(Check::Reopens, format!("the store of host {host} holds another d{number} than its memory"));
        }
        for known in &self.hosts {
            if !version.covers_all(&known.durable[number]) {
                return broken(Check::NothingLost, format!("{version:?} lacks some of {:?}", known.durable[number]));
            }
        }
        if version != all {
            return broken(Check::Converges, format!("{version:?} is not {all:?}"));
        }
        self.compare(host, number, document)
    }
}

/// What a replica has said on one link.
#[derive(Debug, Default)]
struct Said {
    /// Reads what it says.
    reader: FrameReader,
    /// What its handles stand for.
    handles: BTreeMap<u32, usize>,
    /// The beginning of a message in parts.
    parts: Vec<u8>,
    /// By document: what the peer has said here that it has.
    heard: BTreeMap<usize, VersionVector>,
    /// What has arrived of a message in parts.
    arriving: Arriving,
    /// What was taken in here, and given back for it.
    book: Book,
}

/// How many numbers of replicas there are.
const NUMBERS: usize = 16;

/// Returns the id under which a replica starts, by its number.
#[must_use]
pub fn replica_of(host: usize) -> ReplicaId {
    replica_in(host, 0)
}

/// Returns the id of a replica that has got so many other stores.
#[must_use]
pub fn replica_in(host: usize, renewals: usize) -> ReplicaId {
    ReplicaId::from_u128((renewals * NUMBERS + host) as u128 + 1)
}

/// Returns the number of a replica by its id.
#[must_use]
pub fn host_of(replica: ReplicaId) -> usize {
    (u128::from_be_bytes(replica.to_bytes()) as usize - 1) % NUMBERS
}

/// Returns the hash of a delta's bytes.
#[must_use]
pub fn content_of(delta: &Delta) -> u64 {
    xxh3_64(&delta.to_bytes())
}

/// Returns the one dot of a delta that covers one.
fn single(delta: &Delta) -> Dot {
    let range = delta.ranges().next().expect("a delta covers at least one transaction");
    Dot::new(range.replica, range.through)
}
