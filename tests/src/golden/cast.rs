//! Commands about replicas: their beginning and end, documents, and what becomes durable.

use crdt_core::{EditError, Transaction};
use crdt_store::MemoryStore;
use crdt_sync::{Accept, Config, DocumentId};

use super::command::{Name, Verb};
use super::stage::{Actor, Stage};
use super::wire::State;
use super::{Failure, lines, store};
use crate::sim::Host;

/// One or more transactions of the same kind.
pub(super) struct Edit<'a> {
    pub(super) verb: Verb,
    pub(super) place: &'a str,
    pub(super) value: String,
    pub(super) times: usize,
}

impl Stage {
    pub(super) fn configure(&mut self, settings: &[(String, String)]) -> Result<(), Failure> {
        settings.iter().try_for_each(|(key, value)| set(&mut self.config, key, value))
    }

    /// Starts a replica on an empty store, unless it has been on stage before.
    pub(super) fn start(&mut self, name: Name) -> Result<(), Failure> {
        if name.is_stranger() || self.actors.contains_key(&name) {
            return Ok(());
        }
        self.enter(name, MemoryStore::new())
    }

    pub(super) fn open(&mut self, name: Name, document: &str) -> Result<(), Failure> {
        self.start(name)?;
        let now = self.now();
        self.host(name)?.endpoint.open(now, &DocumentId::new(document)?, None)?;
        self.carry_out(name)
    }

    pub(super) fn write(&mut self, name: Name, document: &str, edit: &Edit<'_>) -> Result<(), Failure> {
        self.start(name)?;
        let id = DocumentId::new(document)?;
        let now = self.now();
        if !self.host(name)?.endpoint.wake(now, &id) {
            self.carry_out(name)?;
        }
        for number in 1..=edit.times {
            let value = if edit.times > 1 { format!("{} {number}", edit.value) } else { edit.value.clone() };
            let now = self.now();
            let endpoint = &mut self.host(name)?.endpoint;
            endpoint.transact(now, &id, |transaction| commit(transaction, edit, &value))?;
            self.carry_out(name)?;
        }
        Ok(())
    }

    pub(super) fn show(&mut self, name: Name, document: &str) -> Result<(), Failure> {
        let id = DocumentId::new(document)?;
        let endpoint = &self.host(name)?.endpoint;
        let line = match endpoint.document(&id) {
            None if endpoint.head(&id).is_some() => format!("has {document} at rest"),
            Some(held) => {
                let json = held.root().to_json().to_string();
                format!("holds {document} at {} {}", lines::version(&held.version()), json)
            }
            None => format!("has no {document}"),
        };
        self.line_of(name, &line);
        Ok(())
    }

    pub(super) fn rest(&mut self, name: Name, document: &str) -> Result<(), Failure> {
        let now = self.now();
        if !self.host(name)?.endpoint.rest(now, &DocumentId::new(document)?) {
            self.line_of(name, &format!("keeps   {document}"));
        }
        self.carry_out(name)
    }

    pub(super) fn load(&mut self, name: Name) -> Result<(), Failure> {
        self.give(name)?;
        self.carry_out(name)
    }

    pub(super) fn hold(&mut self, name: Name) -> Result<(), Failure> {
        self.start(name)?;
        self.actors.entry(name).and_modify(|actor| actor.holds = true);
        Ok(())
    }

    pub(super) fn release(&mut self, name: Name) -> Result<(), Failure> {
        self.actors.entry(name).and_modify(|actor| actor.holds = false);
        self.carry_out(name)
    }

    pub(super) fn sync(&mut self, name: Name, count: usize) -> Result<(), Failure> {
        self.make_durable(name, count)?;
        self.carry_out(name)
    }

    /// Ends a process. Nobody is told: whether its peers hear of it is for the network to say.
    pub(super) fn crash(&mut self, name: Name, kept: usize) -> Result<(), Failure> {
        let host = self.actors.get_mut(&name).and_then(|actor| actor.host.take());
        let host = host.ok_or_else(|| format!("{name} does not run"))?;
        let writes: Vec<(bool, String)> = host
            .unsynced()
            .iter()
            .enumerate()
            .map(|(place, write)| (place < kept, format!("{} {}", write.document, lines::write(&write.write))))
            .collect();
        host.crash(kept);
        for (is_kept, write) in writes {
            self.line_of(name, &format!("{} {write}", if is_kept { "durable" } else { "loses" }));
        }
        for end in self.wires.values_mut().flat_map(|wire| &mut wire.ends).filter(|end| end.name == name) {
            end.state = State::Closed;
            end.towards.clear();
        }
        Ok(())
    }

    pub(super) fn restart(&mut self, name: Name) -> Result<(), Failure> {
        let (now, incarnation) = (self.now(), self.incarnation());
        let actor = self.actors.get_mut(&name).ok_or_else(|| format!("{name} has never run"))?;
        if actor.host.is_some() {
            return Err(format!("{name} runs").into());
        }
        actor.host = Some(Host::start(now, (name.replica(), incarnation), actor.config.clone(), &actor.store)?);
        self.carry_out(name)
    }

    pub(super) fn copy(&mut self, from: Name, to: Name) -> Result<(), Failure> {
        let original = &self.actors.get(&from).ok_or_else(|| format!("{from} has never run"))?.store;
        if self.actors.contains_key(&to) || to.replica() != from.replica() {
            return Err(format!("{to} is no other process of {from}").into());
        }
        let copy = store::copy(original, from.replica())?;
        self.enter(to, copy)
    }

    pub(super) fn damage(&mut self, name: Name, document: &str, old: &str, new: &str) -> Result<(), Failure> {
        let actor = self.actors.get(&name).ok_or_else(|| format!("{name} has never run"))?;
        store::damage(&actor.store, name.replica(), document, (old, new))
    }

    fn enter(&mut self, name: Name, store: MemoryStore) -> Result<(), Failure> {
        let config = self.config.clone();
        let who = (name.replica(), self.incarnation());
        let host = Host::start(self.now(), who, config.clone(), &store)?;
        self.actors.insert(name, Actor { store, config, host: Some(host), holds: false });
        self.carry_out(name)
    }
}

fn commit(transaction: &mut Transaction<'_>, edit: &Edit<'_>, value: &str) -> Result<(), Failure> {
    let Edit { verb, place, .. } = edit;
    let done: Result<(), EditError> = match verb {
        Verb::Insert => transaction.set(place).insert(value),
        Verb::Remove => transaction.set(place).remove(value).map(drop),
        Verb::Set => transaction.register(place).set(value),
        Verb::Add => transaction.counter(place).add(value.parse()?),
    };
    Ok(done?)
}

fn set(config: &mut Config, key: &str, value: &str) -> Result<(), Failure> {
    match key {
        "accept" => {
            config.accept = match value {
                "all" => Accept::All,
                "opened" => Accept::Opened,
                other => return Err(format!("accept is all or opened, not {other:?}").into()),
            }
        }
        "hello_timeout_ms" => config.hello_timeout_ms = value.parse()?,
        "in_flight_bytes_max" => config.in_flight_bytes_max = value.parse()?,
        "chunk_bytes_max" => config.chunk_bytes_max = value.parse()?,
        "frame_bytes_max" => config.frame_bytes_max = value.parse()?,
        "message_bytes_max" => config.message_bytes_max = value.parse()?,
        "log_bytes_max" => config.log_bytes_max = value.parse()?,
        "documents_max" => config.documents_max = value.parse()?,
        "resident_documents_max" => config.resident_documents_max = value.parse()?,
        other => return Err(format!("no limit is called {other:?}").into()),
    }
    Ok(())
}
