//! Who is on stage, the links between them and the clock; what happens, in order, as lines.

use std::collections::BTreeMap;

use crdt_store::MemoryStore;
use crdt_sync::{CloseReason, Config, Input, LinkId, Now};

use super::command::Name;
use super::wire::{Parcel, State, Wire};
use super::{Failure, lines};
use crate::WALL_MS;
use crate::sim::{Effect, Host};

/// More steps than any story has: a script that gets here does not come to rest.
const STEPS_MAX: usize = 100_000;

/// A replica, also while it is not running.
pub(super) struct Actor {
    pub(super) store: MemoryStore,
    pub(super) config: Config,
    pub(super) host: Option<Host>,
    /// Writes wait for `sync`.
    pub(super) holds: bool,
}

/// A story while it is played.
pub(super) struct Stage {
    pub(super) clock_ms: u64,
    /// The clock has moved on, and no line has been written since.
    clock_is_news: bool,
    pub(super) config: Config,
    pub(super) actors: BTreeMap<Name, Actor>,
    pub(super) wires: BTreeMap<u64, Wire>,
    pub(super) wires_laid: u64,
    pub(super) nonces: u64,
    processes: u64,
    lines: String,
}

impl Stage {
    pub(super) fn new() -> Self {
        Self {
            clock_ms: 0,
            clock_is_news: false,
            config: Config::default(),
            actors: BTreeMap::new(),
            wires: BTreeMap::new(),
            wires_laid: 0,
            nonces: 0,
            processes: 0,
            lines: String::new(),
        }
    }

    pub(super) fn take_lines(&mut self) -> String {
        std::mem::take(&mut self.lines)
    }

    pub(super) fn line(&mut self, line: &str) {
        if std::mem::take(&mut self.clock_is_news) {
            self.lines += &format!("at {}.{} s\n", self.clock_ms / 1_000, self.clock_ms % 1_000 / 100);
        }
        self.lines += &lines::with_letters(line);
        self.lines.push('\n');
    }

    pub(super) fn line_of(&mut self, name: Name, what: &str) {
        self.line(&format!("{:8}{what}", name.to_string()));
    }

    pub(super) fn now(&self) -> Now {
        Now { monotonic_ms: self.clock_ms, wall_ms: WALL_MS + self.clock_ms }
    }

    /// Counts one more process; returns the number that tells it apart.
    pub(super) fn incarnation(&mut self) -> u64 {
        self.processes += 1;
        // Not to be taken for a nonce.
        0x100 + self.processes
    }

    /// Returns the endpoint and store of whoever runs.
    pub(super) fn host(&mut self, name: Name) -> Result<&mut Host, Failure> {
        let host = self.actors.get_mut(&name).and_then(|actor| actor.host.as_mut());
        host.ok_or_else(|| format!("{name} does not run").into())
    }

    /// Tells an endpoint what has happened, and does what it asks for.
    pub(super) fn tell(&mut self, name: Name, input: Input<'_>) -> Result<(), Failure> {
        let now = self.now();
        self.host(name)?.endpoint.handle(now, input);
        self.carry_out(name)
    }

    /// Does what an endpoint asks for, until it asks for nothing.
    pub(super) fn carry_out(&mut self, name: Name) -> Result<(), Failure> {
        for _ in 0..STEPS_MAX {
            match self.host(name)?.poll() {
                Some(effect) => self.effect(name, effect)?,
                None if self.actors.get(&name).is_some_and(|actor| actor.holds) => return Ok(()),
                None if !self.host(name)?.asked().is_empty() => self.give(name)?,
                None if self.host(name)?.unsynced().is_empty() => return Ok(()),
                None => self.make_durable(name, usize::MAX)?,
            }
        }
        Err(format!("{name} never stops asking for more").into())
    }

    /// Makes the oldest writes durable, and tells the endpoint.
    pub(super) fn make_durable(&mut self, name: Name, count: usize) -> Result<(), Failure> {
        let now = self.now();
        let writes = self.host(name)?.unsynced().iter().take(count);
        let writes: Vec<String> =
            writes.map(|write| format!("{} {}", write.document, lines::write(&write.write))).collect();
        for write in writes {
            self.line_of(name, &format!("durable {write}"));
        }
        self.host(name)?.sync(now, count);
        Ok(())
    }

    /// Gives an endpoint the document that it has asked for first.
    pub(super) fn give(&mut self, name: Name) -> Result<(), Failure> {
        let now = self.now();
        if let Some(document) = self.host(name)?.asked().front().cloned() {
            self.line_of(name, &format!("loaded  {document}"));
        }
        Ok(self.host(name)?.load(now)?)
    }

    fn effect(&mut self, name: Name, effect: Effect) -> Result<(), Failure> {
        match effect {
            Effect::Requested => {
                let write = self.host(name)?.unsynced().back().ok_or("a request that is not in the queue")?;
                let line = format!("persist {} {}", write.document, lines::write(&write.write));
                self.line_of(name, &line);
            }
            Effect::Asked => {
                let asked = self.host(name)?.asked().back().ok_or("a document that nobody has asked for")?;
                let line = format!("load    {asked}");
                self.line_of(name, &line);
            }
            Effect::Rested { document, head } => {
                let line = format!("rested  {document} at {}", lines::version(&head.version()));
                self.line_of(name, &line);
            }
            Effect::Transmit { link, bytes } => {
                let (wire, end) = self.find(link)?;
                self.put(wire, end, bytes);
            }
            Effect::Close { link, reason } => self.close(link, &reason)?,
            Effect::Event(event) => {
                let far =
                    |link| self.find(link).map_or_else(|_| "?".to_owned(), |(wire, end)| self.wires[&wire].far(end));
                let line = lines::event(&event, far);
                self.line_of(name, &format!("event {line}"));
            }
        }
        Ok(())
    }

    /// Puts a message on a link; lost if there is nobody at the other end.
    pub(super) fn put(&mut self, wire: u64, end: usize, bytes: Vec<u8>) {
        let Some(it) = self.wires.get_mut(&wire) else { return };
        let message = lines::message(&bytes, &mut it.ends[end].reader);
        let line = format!("{}  {message}", it.arrow(end, "->"));
        let far = &mut it.ends[1 - end];
        if far.state != State::Closed {
            far.towards.push_back(Parcel::Message(bytes, message));
        }
        self.line(&line);
    }

    fn close(&mut self, link: LinkId, reason: &CloseReason) -> Result<(), Failure> {
        let (wire, end) = self.find(link)?;
        let it = self.wires.get_mut(&wire).ok_or("a link that was never laid")?;
        let name = it.ends[end].name;
        let line = format!("closes {}: {} {reason}", it.far(end), reason.code());
        it.ends[end].state = State::Closed;
        it.ends[end].towards.clear();
        it.ends[1 - end].towards.push_back(Parcel::Close);
        self.line_of(name, &line);
        Ok(())
    }

    /// Delivers everything until nothing is on its way, one message for each end of each link in turn.
    pub(super) fn run(&mut self) -> Result<(), Failure> {
        for _ in 0..STEPS_MAX {
            let ends: Vec<(u64, usize)> = self.wires.keys().flat_map(|wire| [(*wire, 0), (*wire, 1)]).collect();
            let mut busy = false;
            for (wire, end) in ends {
                busy |= self.arrive(wire, end)?;
            }
            if !busy {
                return Ok(());
            }
        }
        Err("the links never fall silent".into())
    }

    /// Delivers the next message at one end of a link; false if there is none.
    pub(super) fn arrive(&mut self, wire: u64, end: usize) -> Result<bool, Failure> {
        let Some(it) = self.wires.get_mut(&wire) else { return Ok(false) };
        let here = &mut it.ends[end];
        if here.is_paused || here.state == State::Waiting {
            return Ok(false);
        }
        let (name, link, state) = (here.name, here.link, here.state);
        let Some(parcel) = here.towards.pop_front() else { return Ok(false) };
        let arrow = it.arrow(end, "<-");
        match parcel {
            // It has closed the link, or is no more: nobody takes what still comes.
            _ if state == State::Closed => {}
            Parcel::Message(bytes, shown) => {
                self.line(&format!("{arrow}  {}", lines::message_again(&shown)));
                if !name.is_stranger() {
                    self.tell(name, Input::Received { link, bytes: &bytes })?;
                }
            }
            Parcel::Close => {
                it.ends[end].state = State::Closed;
                self.line(&format!("{arrow}  closed"));
                if !name.is_stranger() {
                    self.tell(name, Input::LinkDown { link })?;
                }
            }
        }
        Ok(true)
    }

    /// Lets time pass, timer by timer, and delivers everything in between.
    pub(super) fn pass(&mut self, ms: u64) -> Result<(), Failure> {
        let end_ms = self.clock_ms + ms;
        self.run()?;
        for _ in 0..STEPS_MAX {
            let due = |actor: &Actor| actor.host.as_ref()?.endpoint.poll_timeout();
            let next_ms = self.actors.values().filter_map(due).min().filter(|next_ms| *next_ms <= end_ms);
            let Some(next_ms) = next_ms else {
                self.clock_ms = end_ms;
                self.clock_is_news = false;
                return Ok(());
            };
            self.clock_ms = self.clock_ms.max(next_ms);
            self.clock_is_news = true;
            let names = self.actors.iter().filter(|(_, actor)| due(actor).is_some_and(|due| due <= next_ms));
            for name in names.map(|(name, _)| *name).collect::<Vec<Name>>() {
                self.tell(name, Input::Timeout)?;
            }
            self.run()?;
        }
        Err("the timers do not move on".into())
    }

    /// Finds a link and its end by the number that the endpoint knows it by.
    pub(super) fn find(&self, link: LinkId) -> Result<(u64, usize), Failure> {
        // Numbers are given in pairs: see `dial`.
        let (wire, end) = (link.0.div_ceil(2), usize::from(link.0.is_multiple_of(2)));
        if self.wires.contains_key(&wire) { Ok((wire, end)) } else { Err("a link that was never laid".into()) }
    }
}
