//! A frame in parts, both ways. Memory grows by what has arrived, never by what was announced.

use std::sync::Arc;

use crdt_core::planted::{Bug, is_planted};
use xxhash_rust::xxh3::xxh3_64;

use crate::close::CloseReason;
use crate::endpoint::DocumentIndex;
use crate::frame;

/// A frame on its way out, part by part.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) document: DocumentIndex,
    /// An offer, which is made only once its last part is sent.
    pub(crate) is_offer: bool,
    frame: Arc<Vec<u8>>,
    sent: usize,
}

impl Outgoing {
    pub(crate) fn new(document: DocumentIndex, frame: Arc<Vec<u8>>, is_offer: bool) -> Self {
        Self { document, is_offer, frame, sent: 0 }
    }

    /// Returns the length of the message that [`next`](Self::next) would make.
    pub(crate) fn next_bytes(&self, part_bytes_max: usize) -> usize {
        frame::OVERHEAD_BYTES_MAX + part_bytes_max.min(self.frame.len() - self.sent)
    }

    /// Returns the length of the whole frame, sent or not.
    pub(crate) fn bytes(&self) -> usize {
        self.frame.len()
    }

    /// Makes the next message; true if it was the last.
    pub(crate) fn next(&mut self, part_bytes_max: usize) -> (Vec<u8>, bool) {
        let end = self.frame.len().min(self.sent + part_bytes_max);
        let bytes = &self.frame[self.sent..end];
        let message = match self.sent {
            0 => frame::begin(self.frame.len() as u64, xxh3_64(&self.frame), bytes),
            _ => frame::part(bytes),
        };
        self.sent = end;
        (message, end == self.frame.len())
    }
}

/// A frame on its way in.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    /// Length and hash as announced; none if nothing is on its way.
    announced: Option<(u64, u64)>,
    bytes: Vec<u8>,
}

impl Incoming {
    pub(crate) fn begin(&mut self, length: u64, hash: u64, bytes_max: usize) -> Result<(), CloseReason> {
        if self.announced.is_some() {
            return Err(CloseReason::ProtocolViolation("a message began within another"));
        }
        if length > bytes_max as u64 {
            return Err(CloseReason::TooLarge { bytes: length });
        }
        self.announced = Some((length, hash));
        if is_planted(Bug::PartsKept) {
            self.bytes.clear();
        }
        Ok(())
    }

    /// Returns how much has arrived of a frame that is not whole yet.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Takes in the next part; returns the whole frame if it was the last.
    pub(crate) fn push(&mut self, part: &[u8]) -> Result<Option<Vec<u8>>, CloseReason> {
        let Some((length, hash)) = self.announced else {
            return Err(CloseReason::ProtocolViolation("a part of nothing"));
        };
        self.bytes.extend_from_slice(part);
        match (self.bytes.len() as u64).cmp(&length) {
            _ if part.is_empty() => Err(CloseReason::ProtocolViolation("an empty part")),
            std::cmp::Ordering::Less => Ok(None),
            std::cmp::Ordering::Greater => Err(CloseReason::ProtocolViolation("parts beyond their length")),
            std::cmp::Ordering::Equal if xxh3_64(&self.bytes) != hash => Err(CloseReason::HashMismatch),
            std::cmp::Ordering::Equal => {
                self.announced = None;
                let kept = if is_planted(Bug::PartsKept) { self.bytes.clone() } else { Vec::new() };
                Ok(Some(std::mem::replace(&mut self.bytes, kept)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Frame;

    fn sent_in_parts(frame: &[u8], part_bytes_max: usize) -> Vec<Vec<u8>> {
        let mut outgoing = Outgoing::new(DocumentIndex(0), Arc::new(frame.to_vec()), false);
        let mut messages = Vec::new();
        loop {
            let (message, last) = outgoing.next(part_bytes_max);
            messages.push(message);
            if last {
                return messages;
            }
        }
    }

    fn receive(messages: &[Vec<u8>], bytes_max: usize) -> Result<Option<Vec<u8>>, CloseReason> {
        let mut incoming = Incoming::default();
        let mut whole = None;
        for message in messages {
            whole = match Frame::decode(message).unwrap() {
                Frame::Begin { length, hash, bytes } => {
                    incoming.begin(length, hash, bytes_max)?;
                    incoming.push(bytes)?
                }
                Frame::Part { bytes } => incoming.push(bytes)?,
                other => panic!("not a part: {other:?}"),
            };
        }
        Ok(whole)
    }

    #[test]
    fn a_frame_in_parts_arrives_whole_and_is_refused_one_byte_above_the_limit() {
        let frame: Vec<u8> = (0..=255).cycle().take(1_000).collect();
        for part_bytes_max in [1, 7, 999, 1_000, 5_000] {
            let messages = sent_in_parts(&frame, part_bytes_max);
            assert_eq!(messages.len(), 1_000_usize.div_ceil(part_bytes_max));
            assert_eq!(receive(&messages, 1_000), Ok(Some(frame.clone())));
            assert_eq!(receive(&messages, 999), Err(CloseReason::TooLarge { bytes: 1_000 }));
        }
    }

    #[test]
    fn a_changed_byte_in_a_part_is_noticed_at_the_end() {
        let mut messages = sent_in_parts(&[7; 100], 40);
        *messages[1].last_mut().unwrap() ^= 1;
        assert_eq!(receive(&messages, 100), Err(CloseReason::HashMismatch));
    }

    #[test]
    fn parts_out_of_place_are_a_violation() {
        let messages = sent_in_parts(&[7; 100], 40);
        assert!(receive(&messages[1..], 100).is_err());
        assert!(receive(&[messages[0].clone(), messages[0].clone()], 100).is_err());
        let [first, second, _] = &messages[..] else { panic!("three parts") };
        let beyond = [first.clone(), second.clone(), second.clone()];
        assert!(receive(&beyond, 100).is_err());
    }

    #[test]
    fn an_announcement_reserves_no_memory() {
        let mut incoming = Incoming::default();
        incoming.begin(1 << 40, 0, usize::MAX).unwrap();
        incoming.push(&[1]).unwrap();
        assert!(incoming.bytes.capacity() < 1_024);
    }
}
