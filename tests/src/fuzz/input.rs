//! Any bytes as a script: numbers and pieces, read from the front.
//!
//! Nothing is ever malformed. What is missing at the end reads as zeros, and a piece that claims to be
//! longer than the rest is the rest, so that most mutants of a script are scripts.

/// Reads a script.
#[derive(Clone, Debug)]
pub(crate) struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn u8(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from(self.u8()) | u16::from(self.u8()) << 8
    }

    /// Reads a number below `bound`, which is at least 1, from one byte.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::from(self.u8()) % bound
    }

    /// Reads a length of two bytes and as many bytes as that.
    pub(crate) fn piece(&mut self) -> &'a [u8] {
        let len = usize::from(self.u16());
        self.take(len)
    }

    fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(len.min(self.rest.len()));
        self.rest = rest;
        taken
    }
}

/// Appends what [`Input::piece`] reads; a piece has at most 65,535 bytes.
pub(crate) fn put_piece(script: &mut Vec<u8>, piece: &[u8]) {
    let len = u16::try_from(piece.len()).expect("a seed is a few kilobytes");
    script.extend_from_slice(&len.to_le_bytes());
    script.extend_from_slice(piece);
}
