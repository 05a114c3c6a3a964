//! How things are written down: one line each, replicas by their letters.

use crdt_core::{Changed, Changes, Delta, VersionVector};
use crdt_sync::{CloseReason, Event, FrameReader, LinkId, Source, Write};

use crate::network::replica;

/// How many changes an event lists.
const CHANGES_SHOWN: usize = 3;
/// How much of a text is shown.
const TEXT_SHOWN: usize = 20;

/// Puts letters for ids: A for 1, B for 2, …
pub(super) fn with_letters(line: &str) -> String {
    let mut line = line.to_owned();
    for letter in b'A'..=b'Z' {
        let id = replica(u128::from(letter - b'A' + 1)).to_string();
        if line.contains(&id) {
            line = line.replace(&id, char::from(letter).encode_utf8(&mut [0; 4]));
        }
    }
    line
}

/// Shows a message: `Delta #0 {A: 3} [60]`. The reader has read what the same end said before.
pub(super) fn message(bytes: &[u8], reader: &mut FrameReader) -> String {
    match reader.read(bytes) {
        Ok(frame) if frame.is_data() => format!("{frame} [{}]", bytes.len()),
        Ok(frame) => frame.to_string(),
        Err(CloseReason::Malformed(error)) => format!("no frame: {error}"),
        Err(reason) => format!("no frame here: {reason}"),
    }
}

/// Shows which message it is, where all of it was shown before: `Delta #0`.
pub(super) fn message_again(whole: &str) -> String {
    let words: Vec<&str> = whole.split(' ').collect();
    match words[..] {
        [kind, handle, ..] if handle.starts_with('#') => format!("{kind} {}", handle.trim_end_matches(':')),
        ["unknown" | "no", kind, ..] => format!("{} {}", words[0], kind.trim_end_matches(':')),
        [kind, ..] => kind.to_owned(),
        [] => whole.to_owned(),
    }
}

/// Shows a write: `delta {A: 1..3}`.
pub(super) fn write(write: &Write) -> String {
    match write {
        Write::Delta(delta) => format!("delta {}", ranges(delta)),
        Write::Snapshot(snapshot) => format!("snapshot at {}", version(&snapshot.version())),
    }
}

pub(super) fn version(version: &VersionVector) -> String {
    let counters = version.iter().map(|(replica, counter)| format!("{replica}: {counter}"));
    format!("{{{}}}", counters.collect::<Vec<_>>().join(", "))
}

fn ranges(delta: &Delta) -> String {
    let range = |after: u64, through: u64| match after + 1 {
        first if first == through => format!("{first}"),
        first => format!("{first}..{through}"),
    };
    let ranges = delta.ranges().map(|dots| format!("{}: {}", dots.replica, range(dots.after, dots.through)));
    format!("{{{}}}", ranges.collect::<Vec<_>>().join(", "))
}

/// Shows an event; `far` names what is at the other end of a link.
pub(super) fn event(event: &Event, far: impl Fn(LinkId) -> String) -> String {
    match event {
        Event::PeerUp { link, replica } => format!("PeerUp {}", who(&replica.to_string(), far(*link))),
        Event::PeerDown { link, replica } => format!("PeerDown {}", who(&replica.to_string(), far(*link))),
        Event::DuplicateIdentity { link, replica } => {
            format!("DuplicateIdentity {replica} on the link to {}", far(*link))
        }
        Event::Opened { document } => format!("Opened {document}"),
        Event::Changed { document, source: Source::Local, changes: what } => {
            format!("Changed {document} here: {}", changes(what))
        }
        Event::Changed { document, source: Source::Peer(replica), changes: what } => {
            format!("Changed {document} by way of {replica}: {}", changes(what))
        }
        Event::InSync { link, document } => format!("InSync {document} with {}", far(*link)),
        Event::Diverged { link, document, ours, theirs } => {
            format!("Diverged {document} from {}: {ours} here, {theirs} there", far(*link))
        }
        Event::IdentityConflict { link, document, dot } => {
            format!("IdentityConflict {document} with {} at {dot}", far(*link))
        }
        Event::Irreconcilable { document, replica } => format!("Irreconcilable {document} under {replica}"),
        Event::Refused { link, document, reason } => format!("Refused {document} with {}: {reason:?}", far(*link)),
        other => format!("{other:?}"),
    }
}

/// Shows who is at the other end of a link: `A`, `A/2` on a second link; or its identity, if it has another name.
fn who(replica: &str, far: String) -> String {
    let letter = with_letters(replica);
    let is_its_name = far.strip_prefix(&letter).is_some_and(|link| link.is_empty() || link.starts_with('/'));
    if is_its_name { far } else { format!("{letter}, which is {far}") }
}

/// Lists changes in the order of their places: the order in which they come means nothing.
fn changes(changes: &Changes) -> String {
    let mut shown: Vec<String> = changes
        .iter()
        .map(|change| {
            let name = change.path.to_string();
            format!("{} {}", name.trim_start_matches('/'), changed(&change.what))
        })
        .collect();
    shown.sort();
    let more = shown.len().saturating_sub(CHANGES_SHOWN);
    shown.truncate(CHANGES_SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    shown.join(", ") + &more
}

fn changed(what: &Changed) -> String {
    match what {
        Changed::Register { value: Some(value), values: 1 } => format!("= {}", shortened(value.to_string())),
        Changed::Register { value: Some(value), values } => {
            format!("= {} of {values}", shortened(value.to_string()))
        }
        Changed::Counter(Some(sum)) => format!("= {sum}"),
        Changed::Inserted(value) => format!("+ {}", shortened(value.to_string())),
        Changed::Removed(value) => format!("- {}", shortened(value.to_string())),
        Changed::Register { value: None, .. } | Changed::Counter(None) => "is gone".to_owned(),
        other => format!("{other:?}"),
    }
}

/// Cuts a long text short: scripts write repeated letters when they want length.
pub(super) fn shortened(text: String) -> String {
    match text.char_indices().nth(TEXT_SHOWN) {
        Some((at, _)) => format!("{}… ({} bytes)", &text[..at], text.len()),
        None => text,
    }
}
