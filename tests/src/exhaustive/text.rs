//! One number for a [`Debug`](std::fmt::Debug) text, whatever the order of the maps in it.
//!
//! Hash tables are written in an order that differs between two tables with the same content.
//! So what stands between braces is hashed part by part, and the hashes are added up. Brackets and
//! parentheses keep their order. Names with braces in them would confuse this; scenarios have none.

use std::fmt::{self, Write};

use xxhash_rust::xxh3::xxh3_128;

/// Hashes texts, one after the other, in memory that is kept.
#[derive(Debug, Default)]
pub(super) struct Printer {
    text: String,
    /// The parts under way, those of the outer groups first.
    parts: Vec<u8>,
    /// The groups under way, outer ones first.
    groups: Vec<Group>,
}

/// What stands between two braces, as far as it was read.
#[derive(Debug)]
struct Group {
    /// Where its part under way begins.
    starts: usize,
    /// The hashes of the parts before.
    sum: u128,
    /// How many brackets and parentheses are open in it.
    ordered: usize,
}

impl Printer {
    /// Hashes what is written.
    pub(super) fn print(&mut self, value: fmt::Arguments<'_>) -> u128 {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        text.write_fmt(value).expect("a string takes everything");
        self.open();
        let mut rest = text.as_bytes();
        while let Some(at) = rest.iter().position(|byte| SIGN[usize::from(*byte)]) {
            self.add(&rest[..at]);
            self.sign(rest[at]);
            rest = &rest[at + 1..];
        }
        self.add(rest);
        self.text = text;
        let print = self.close();
        assert!(self.groups.is_empty(), "each opening brace has a closing one");
        print
    }

    fn sign(&mut self, byte: u8) {
        let ordered = &mut self.group().ordered;
        match byte {
            b'{' => return self.open(),
            b'}' => {
                let sum = self.close();
                return self.parts.extend(sum.to_le_bytes());
            }
            b',' if *ordered == 0 => return self.end_part(),
            b'[' | b'(' => *ordered += 1,
            b']' | b')' => *ordered -= 1,
            _ => {}
        }
        self.parts.push(byte);
    }

    /// Adds what stands between two signs; maps have no space before their first part.
    fn add(&mut self, bytes: &[u8]) {
        let begins = self.parts.len() == self.group().starts;
        self.parts.extend_from_slice(if begins { bytes.trim_ascii_start() } else { bytes });
    }

    fn open(&mut self) {
        self.groups.push(Group { starts: self.parts.len(), sum: 0, ordered: 0 });
    }

    fn close(&mut self) -> u128 {
        self.end_part();
        self.groups.pop().expect("each closing brace has an opening one").sum
    }

    fn end_part(&mut self) {
        let starts = self.group().starts;
        let hash = xxh3_128(&self.parts[starts..]);
        self.parts.truncate(starts);
        let sum = &mut self.group().sum;
        *sum = sum.wrapping_add(hash);
    }

    fn group(&mut self) -> &mut Group {
        self.groups.last_mut().expect("the whole text is a group")
    }
}

/// Which bytes give a text its shape.
const SIGN: [bool; 256] = {
    let mut sign = [false; 256];
    let mut at = 0;
    while at < 7 {
        sign[b"{},[]()"[at] as usize] = true;
        at += 1;
    }
    sign
};

#[cfg(test)]
mod tests {
    use super::Printer;

    fn print(text: &str) -> u128 {
        Printer::default().print(format_args!("{text}"))
    }

    #[test]
    fn order_counts_in_lists_and_not_in_maps() {
        assert_eq!(print("A { m: {1: [x, y], 2: z}, n: 3 }"), print("A { m: {2: z, 1: [x, y]}, n: 3 }"));
        assert_ne!(print("A { m: {1: [x, y], 2: z}, n: 3 }"), print("A { m: {1: [y, x], 2: z}, n: 3 }"));
        assert_ne!(print("{1: x, 2: y}"), print("{1: y, 2: x}"));
        assert_ne!(print("[{1}, {2}]"), print("[{2}, {1}]"));
    }
}
