//! What a script can say, as the table in the header of [`golden`](super) lists it.

use std::fmt;
use std::str::FromStr;

use crdt_core::ReplicaId;

/// One line of a script.
#[derive(Debug, goldenscript::Command)]
pub(super) enum Command {
    Config(Vec<(String, String)>),
    Start(Name),
    Open(Name, String),
    Write {
        name: Name,
        document: String,
        verb: Verb,
        place: String,
        value: String,
        #[arg(key)]
        times: Option<usize>,
        #[arg(key)]
        bytes: Option<usize>,
    },
    Show(Name, String),
    Connect(Name, Name),
    Dial(Name, Name),
    Answer(Name, Name),
    Run,
    Deliver {
        from: Name,
        to: Name,
        count: Option<usize>,
        #[arg(key)]
        link: Option<u64>,
    },
    Pause(Name, Name),
    Resume(Name, Name),
    Lose(Name, Name),
    Cut {
        from: Name,
        to: Name,
        #[arg(key)]
        link: Option<u64>,
    },
    Hold(Name),
    Release(Name),
    Sync(Name, Option<usize>),
    Rest(Name, String),
    Load(Name),
    Crash {
        name: Name,
        #[arg(key)]
        keep: Option<usize>,
    },
    Restart(Name),
    Copy(Name, Name),
    Damage {
        name: Name,
        document: String,
        old: String,
        new: String,
    },
    Raw {
        from: Name,
        to: Name,
        bytes: Hex,
    },
    Pass(Duration),
}

/// What a transaction does at a key of the root map.
#[derive(Clone, Copy, Debug)]
pub(super) enum Verb {
    Insert,
    Remove,
    Set,
    Add,
}

impl FromStr for Verb {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Ok(match word {
            "insert" => Self::Insert,
            "remove" => Self::Remove,
            "set" => Self::Set,
            "add" => Self::Add,
            other => return Err(format!("{other:?} is none of insert, remove, set, add")),
        })
    }
}

/// Who is on stage: a letter gives the identity, a digit tells processes apart that share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    letter: u8,
    process: Option<u8>,
}

impl Name {
    pub(super) fn replica(self) -> ReplicaId {
        ReplicaId::from_u128(u128::from(self.letter - b'A' + 1))
    }

    /// Speaks by `raw` only.
    pub(super) fn is_stranger(self) -> bool {
        self.letter == b'X'
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match *word.as_bytes() {
            [letter @ b'A'..=b'Z'] => Ok(Self { letter, process: None }),
            [letter @ b'A'..=b'Z', digit @ b'2'..=b'9'] => Ok(Self { letter, process: Some(digit) }),
            _ => Err(format!("{word:?} is no name: A to Z, or A2 for a second process")),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { letter, process } = self;
        write!(f, "{}", char::from(*letter))?;
        process.map_or(Ok(()), |digit| write!(f, "{}", char::from(digit)))
    }
}

/// A length of time: `15s` or `500ms`.
#[derive(Debug)]
pub(super) struct Duration {
    pub(super) ms: u64,
}

impl FromStr for Duration {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let seconds = || word.strip_suffix('s')?.parse::<u64>().ok()?.checked_mul(1_000);
        let millis = || word.strip_suffix("ms")?.parse().ok();
        let ms = millis().or_else(seconds).ok_or_else(|| format!("{word:?} is no length of time like 15s or 500ms"))?;
        Ok(Self { ms })
    }
}

/// Bytes, two digits each, with spaces between fields.
#[derive(Debug)]
pub(super) struct Hex(pub(super) Vec<u8>);

impl FromStr for Hex {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let digit = |digit: &u8| char::from(*digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
        let byte = |pair: &[u8]| match pair {
            [high, low] => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        };
        let bytes: Option<Vec<u8>> = word.split(' ').flat_map(|field| field.as_bytes().chunks(2)).map(byte).collect();
        bytes.map(Self).ok_or_else(|| format!("{word:?} are no bytes in hexadecimal"))
    }
}
