//! Frames from a peer that turns hostile in the middle of an honest conversation.

use std::sync::OnceLock;

use crdt_core::Frontier;
use crdt_sync::{DocumentId, Input as Happened, LinkId, Now};

use super::history::{ACTS, history};
use super::input::{Input, put_piece};
use super::node::{Node, Sent, id};
use super::pair::Pair;
use super::seal::{DELTA, IN_PARTS, SEALED, SNAPSHOT, frames};
use crate::forge;
use crate::network::replica;
use crate::script::WALL_MS;

const NOW: Now = Now { monotonic_ms: 1_000, wall_ms: WALL_MS };
/// When every deadline has passed.
const LATER: Now = Now { monotonic_ms: 200_000, wall_ms: WALL_MS };
/// Who the victim meets afterwards.
const HONEST: u128 = 0x5eed_0123_4567_89ab_cdef;
const HOSTILE: LinkId = LinkId(1);
/// Frames that one input holds at most.
const PIECES_MAX: usize = 16;

/// Frames for an endpoint in mid-conversation.
///
/// Script: how many frames of an honest peer come first, at least its hello; then frames, each with flags (bit
/// 0: the checksums of a delta or snapshot in it are made right; bit 1: it is sent in two parts with the right
/// hash) and a length.
///
/// Whatever they are, the endpoint comes to rest after each, sends only frames that can be read and are
/// within its limit, sets its timers into the future, says nothing on a link that it has closed, and asks
/// its store for all that it holds: what is stored is what is in memory. Its documents work on. Then it
/// meets an honest peer that has a document of its own; nothing closes that link, and both hold the same in
/// the end.
///
/// # Panics
/// If one of these does not hold.
pub fn frame(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut victim = victim();
    let mut closed = false;
    let mut hear = |victim: &mut Node, bytes: &[u8]| {
        for sent in victim.handle(NOW, Happened::Received { link: HOSTILE, bytes }) {
            assert!(!closed, "{sent:?} on a link that was closed");
            closed = matches!(sent, Sent::Close(..));
        }
    };
    let honest = &conversation().heard;
    let _ = victim.handle(NOW, Happened::LinkUp { link: HOSTILE, nonce: 11 });
    for bytes in &honest[..1 + input.below(honest.len())] {
        hear(&mut victim, bytes);
    }
    for _ in 0..PIECES_MAX {
        if input.is_empty() {
            break;
        }
        let flags = input.u8();
        let standing = victim.endpoint.document(&both()).map_or_else(Frontier::default, |it| it.frontier());
        for bytes in frames(flags, input.piece(), &standing) {
            hear(&mut victim, &bytes);
        }
    }
    let _ = victim.handle(NOW, Happened::LinkDown { link: HOSTILE });
    let _ = victim.fire_timers(LATER);
    victim.check_store();
    victim.check_documents();
    meet_honest(victim);
}

fn both() -> DocumentId {
    id("both")
}

/// The victim before the conversation: two documents, one of which the peer has a version of too.
fn victim() -> Node {
    let mut victim = Node::new(replica(1));
    let _ = victim.write(NOW, &both(), |t| t.counter("c").add(5).expect("small"));
    let _ = victim.write(NOW, &id("mine"), |t| t.set("s").insert("x").expect("small"));
    victim
}

/// Lets the victim meet somebody who has never heard of the hostile peer.
fn meet_honest(victim: Node) {
    let mut honest = Node::new(replica(HONEST));
    // A fuzzer that watches comparisons may find even this id. Who forges writes of a replica makes
    // it conflict with itself, and there is nothing to be said.
    if victim.endpoint.documents().any(|(_, document)| document.version().counter(honest.endpoint.replica()) > 0) {
        return;
    }
    let _ = honest.write(NOW, &id("mine"), |t| t.set("s").insert("honest").expect("small"));
    let mut pair = Pair::of([victim, honest], LATER.monotonic_ms);
    pair.write(0, &id("mine"), |t| t.set("s").insert("after").expect("small"));
    pair.connect(0);
    pair.run();
    assert_eq!(pair.closes, [], "nobody is to blame");
    for (name, document) in pair.nodes[0].endpoint.documents() {
        assert_eq!(Some(document), pair.nodes[1].endpoint.document(name), "{name:?}");
    }
    pair.nodes[1].check_store();
}

/// What an honest peer has said.
struct Conversation {
    /// Its frames, in order: a snapshot in parts, some deltas, then live writes.
    heard: Vec<Vec<u8>>,
    /// Where both stand with the document of [`both`] in the end.
    settled: Frontier,
}

fn conversation() -> &'static Conversation {
    static CONVERSATION: OnceLock<Conversation> = OnceLock::new();
    CONVERSATION.get_or_init(|| {
        let (mut victim, mut peer) = (victim(), Node::new(replica(2)));
        for number in 0..20_i64 {
            let element = format!("an element of some length, number {number}");
            let _ = peer.write(NOW, &both(), |t| t.set("s").insert(element).expect("small"));
            let _ = peer.write(NOW, &both(), |t| t.map("m").register("r").set(number).expect("small"));
        }
        for act in &ACTS[..8] {
            let _ = peer.write(NOW, &id("theirs"), |t| act(t).expect("within all limits"));
        }
        let mut heard = Vec::new();
        let mut to_peer = victim.handle(NOW, Happened::LinkUp { link: HOSTILE, nonce: 11 });
        let mut to_victim = peer.handle(NOW, Happened::LinkUp { link: HOSTILE, nonce: 22 });
        let mut live = ACTS[8..14].iter();
        loop {
            let mut answers = Vec::new();
            for bytes in frames_of(std::mem::take(&mut to_victim)) {
                answers.extend(victim.handle(NOW, Happened::Received { link: HOSTILE, bytes: &bytes }));
                heard.push(bytes);
            }
            for bytes in frames_of(std::mem::replace(&mut to_peer, answers)) {
                to_victim.extend(peer.handle(NOW, Happened::Received { link: HOSTILE, bytes: &bytes }));
            }
            if to_victim.is_empty() && to_peer.is_empty() {
                let Some(act) = live.next() else { break };
                to_victim = peer.write(NOW, &id("theirs"), |t| act(t).expect("within all limits"));
            }
        }
        assert_eq!(victim.endpoint.document(&both()), peer.endpoint.document(&both()), "an honest conversation");
        let settled = victim.endpoint.document(&both()).expect("opened above").frontier();
        Conversation { heard, settled }
    })
}

fn frames_of(sent: Vec<Sent>) -> impl Iterator<Item = Vec<u8>> {
    sent.into_iter().map(|sent| match sent {
        Sent::Frame(_, bytes) => bytes,
        Sent::Close(_, reason) => panic!("an honest link was closed: {reason}"),
    })
}

/// The conversation cut at each place, with what would have come next; offers with every kind of payload.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let Conversation { heard: honest, settled: standing } = conversation();
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    for at in 1..honest.len() {
        let mut script = vec![at as u8 - 1];
        for next in honest[at..].iter().take(2).filter(|next| next.len() <= 1_500) {
            script.push(SEALED);
            put_piece(&mut script, next);
        }
        seeds.push(script);
    }
    // By now the peer has offered "both" under handle 0 and "theirs" under 1.
    let settled = honest.len() as u8 - 1;
    let mut payload = |kind: u8, handle: u8, body: &[u8]| {
        let mut script = vec![settled, SEALED | IN_PARTS];
        put_piece(&mut script, &[&[kind, handle], body].concat());
        seeds.push(script);
    };
    // A snapshot that claims to be at the version that the victim has, and holds nothing.
    let mut nothing = vec![3];
    standing.encode(&mut nothing);
    nothing.extend_from_slice(&[0; 18]);
    payload(SNAPSHOT, 0, &nothing);
    for state in history().states.iter().skip(4).step_by(12) {
        payload(SNAPSHOT, 1, &state.encode());
    }
    for delta in history().deltas.iter().step_by(12) {
        payload(DELTA, 1, &forge::delta_in_full(delta));
    }
    for control in [&[0x08, 100][..], &[0x0a, 1, 2], &[0x0b], &[0x0c], &[0x80, 1, 2], &[0x07, 1, 0, 0]] {
        let mut script = vec![settled, 0];
        put_piece(&mut script, control);
        seeds.push(script);
    }
    seeds
}
