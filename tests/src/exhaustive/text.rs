//! One number for a [`Debug`](std::fmt::Debug) text, whatever the order of the maps in it.
//!
//! Hash tables are written in an order that differs between two tables with the same content.
//! So what stands between braces is hashed part by part, and the hashes are added up. Brackets and
//! parentheses keep their order. Names with braces in them would confuse this; scenarios have none.

use xxhash_rust::xxh3::xxh3_128;

/// What has been read of a text between two braces.
#[derive(Default)]
struct Group {
    part: Vec<u8>,
    /// The hashes of the parts before.
    sum: u128,
    /// How many brackets and parentheses are open.
    ordered: usize,
}

impl Group {
    /// Adds what stands between two signs; maps have no space before their first part.
    fn add(&mut self, bytes: &[u8]) {
        self.part.extend_from_slice(if self.part.is_empty() { bytes.trim_ascii_start() } else { bytes });
    }

    fn end_part(&mut self) {
        self.sum = self.sum.wrapping_add(xxh3_128(&self.part));
        self.part.clear();
    }
}

/// Hashes a text.
pub(super) fn print(text: &str) -> u128 {
    let mut outer = Vec::new();
    let mut group = Group::default();
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| b"{},[]()".contains(byte)) {
        let byte = rest[at];
        group.add(&rest[..at]);
        rest = &rest[at + 1..];
        match byte {
            b'{' => outer.push(std::mem::take(&mut group)),
            b'}' => {
                group.end_part();
                let sum = group.sum;
                group = outer.pop().expect("each closing brace has an opening one");
                group.part.extend(sum.to_le_bytes());
            }
            b',' if group.ordered == 0 => group.end_part(),
            _ => {
                group.part.push(byte);
                match byte {
                    b'[' | b'(' => group.ordered += 1,
                    b']' | b')' => group.ordered -= 1,
                    _ => {}
                }
            }
        }
    }
    assert!(outer.is_empty(), "each opening brace has a closing one");
    group.add(rest);
    group.end_part();
    group.sum
}

#[cfg(test)]
mod tests {
    use super::print;

    #[test]
    fn order_counts_in_lists_and_not_in_maps() {
        assert_eq!(print("A { m: {1: [x, y], 2: z}, n: 3 }"), print("A { m: {2: z, 1: [x, y]}, n: 3 }"));
        assert_ne!(print("A { m: {1: [x, y], 2: z}, n: 3 }"), print("A { m: {1: [y, x], 2: z}, n: 3 }"));
        assert_ne!(print("{1: x, 2: y}"), print("{1: y, 2: x}"));
        assert_ne!(print("[{1}, {2}]"), print("[{2}, {1}]"));
    }
}
