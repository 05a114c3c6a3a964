//! Documents as JSON, for people: command lines, web pages, exports.
//!
//! | data | JSON |
//! |---|---|
//! | map | object, keys sorted |
//! | set | array, values sorted |
//! | register | its winner: null, boolean, number, string |
//! | counter | number |
//! | bytes | `{"$bytes": "00ff…"}`, hexadecimal |
//! | float that JSON lacks | `{"$float": "NaN"}`, also `inf` and `-inf` |
//! | sum beyond 64 bits | `{"$sum": "…"}`, decimal |
//!
//! A name that leads to several kinds appears once plain, for the first of map, set, register and
//! counter, and as `name$set`, `name$register`, `name$counter` for the rest. A `$` in a name is
//! doubled, so nothing is mistaken for these.
//!
//! Import reads the same forms except `$sum`, and `{"$counter": 5}` or a name with `$counter` as an
//! increment of that counter: a plain number becomes a register, because JSON cannot tell a sum from
//! a value. Registers are overwritten, sets and maps grow, counters are added to, so importing twice
//! counts twice. Binary snapshots lose nothing; JSON loses conflicts, versions, and which numbers were
//! counters.

use serde_json::{Map, Number, Value as Json};
use thiserror::Error;

use crate::path::{Key, Kind};
use crate::read::{EntryRef, MapRef};
use crate::transaction::{EditError, MapMut, SetMut};
use crate::value::{Float, Value};

/// Why JSON could not be imported. Drop the transaction: it may hold a part.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ImportError {
    /// A limit of the document is passed.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// The content to import is not a JSON object.
    #[error("a document is imported from a JSON object, not from {found}")]
    NotAnObject {
        /// What it is.
        found: &'static str,
    },
    /// An array holds an object or an array: sets hold scalars.
    #[error("the array {name:?} holds {found}: a set holds scalars only")]
    NotAScalar {
        /// The key of the array.
        name: String,
        /// What it holds.
        found: &'static str,
    },
    /// An object with a `$` key does not have the form it stands for.
    #[error("{name:?} is not a form that is known: {form}")]
    BadForm {
        /// The key of the object.
        name: String,
        /// Its text.
        form: String,
    },
    /// A number fits neither 64-bit integers nor floats.
    #[error("the number {number} of {name:?} is out of range")]
    Number {
        /// The key it stands under.
        name: String,
        /// Its text.
        number: String,
    },
}

/// Renders a map.
pub(crate) fn from_map(map: MapRef<'_>) -> Json {
    let mut object = Map::new();
    let mut last: Option<&Key> = None;
    for (key, entry) in map.entries() {
        let plain = last.is_none_or(|last| last.name != key.name);
        let escaped = key.name.replace('$', "$$");
        let name = if plain { escaped } else { format!("{escaped}${}", key.kind) };
        let json = match entry {
            EntryRef::Map(map) => from_map(map),
            EntryRef::Set(set) => set.values().into_iter().map(from_value).collect(),
            EntryRef::Register(register) => from_value(register.get()),
            EntryRef::Counter(sum) => from_sum(sum),
        };
        object.insert(name, json);
        last = Some(key);
    }
    Json::Object(object)
}

fn from_sum(sum: i128) -> Json {
    i64::try_from(sum).map_or_else(|_| form("$sum", sum.to_string()), Json::from)
}

fn from_value(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Int(number) => Json::from(*number),
        Value::Float(number) => {
            Number::from_f64(number.to_f64()).map_or_else(|| form("$float", format!("{number:?}")), Json::Number)
        }
        Value::Text(text) => Json::String(text.to_string()),
        Value::Bytes(bytes) => form("$bytes", bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
    }
}

fn form(tag: &str, content: String) -> Json {
    Json::Object(Map::from_iter([(tag.to_owned(), Json::String(content))]))
}

/// Writes the content of an object into a map.
pub(crate) fn put(map: &mut MapMut<'_>, json: &Json) -> Result<(), ImportError> {
    let Json::Object(object) = json else {
        return Err(ImportError::NotAnObject { found: kind_of(json) });
    };
    // Before its content: what is nested too deep would take the stack with it.
    map.check()?;
    for (name, json) in object {
        put_entry(map, name, json)?;
    }
    Ok(())
}

fn put_entry(map: &mut MapMut<'_>, written: &str, json: &Json) -> Result<(), ImportError> {
    let (name, kind) = parse_name(written);
    let name = name.as_str();
    let found = match json {
        Json::Object(object) if special(object).is_none() => Kind::Map,
        Json::Array(_) => Kind::Set,
        _ if kind == Some(Kind::Counter) => Kind::Counter,
        _ => Kind::Register,
    };
    if kind.is_some_and(|kind| kind != found) {
        return Err(bad_form(written, json));
    }
    match json {
        Json::Object(object) => match special(object) {
            Some(("$counter", by)) => {
                let by = by.as_i64().ok_or_else(|| bad_form(written, json))?;
                map.counter(name).add(by)?;
            }
            Some(_) => map.register(name).set(scalar(written, json)?)?,
            None if object.is_empty() => map.map(name).create()?,
            None => put(&mut map.map(name), json)?,
        },
        Json::Array(values) => put_set(&mut map.set(name), written, values)?,
        number if kind == Some(Kind::Counter) => {
            let by = number.as_i64().ok_or_else(|| bad_form(written, json))?;
            map.counter(name).add(by)?;
        }
        _ => map.register(name).set(scalar(written, json)?)?,
    }
    Ok(())
}

fn put_set(set: &mut SetMut<'_>, name: &str, values: &[Json]) -> Result<(), ImportError> {
    if values.is_empty() {
        set.create()?;
    }
    for value in values {
        set.insert(scalar(name, value)?)?;
    }
    Ok(())
}

/// Undoes the doubling of `$` and takes off the kind that a single one introduces.
fn parse_name(written: &str) -> (String, Option<Kind>) {
    let kinds = [Kind::Map, Kind::Set, Kind::Register, Kind::Counter];
    let suffixed = kinds.into_iter().find_map(|kind| {
        let name = written.strip_suffix(&format!("${kind}"))?;
        let doubled = name.bytes().rev().take_while(|byte| *byte == b'$').count();
        (doubled % 2 == 0).then_some((name, kind))
    });
    let (name, kind) = suffixed.map_or((written, None), |(name, kind)| (name, Some(kind)));
    (name.replace("$$", "$"), kind)
}

/// Returns the one `$` key of an object and what it holds: names in an object have theirs doubled.
fn special(object: &Map<String, Json>) -> Option<(&str, &Json)> {
    let (tag, content) = object.iter().next().filter(|_| object.len() == 1)?;
    (tag.starts_with('$') && !tag.starts_with("$$")).then_some((tag, content))
}

fn scalar(name: &str, json: &Json) -> Result<Value, ImportError> {
    match json {
        Json::Null => Ok(Value::Null),
        Json::Bool(value) => Ok(Value::Bool(*value)),
        Json::String(text) => Ok(Value::from(text.as_str())),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => Ok(Value::Int(number)),
            (None, Some(float)) if number.is_f64() => Ok(Value::from(float)),
            _ => Err(ImportError::Number { name: name.to_owned(), number: number.to_string() }),
        },
        Json::Object(object) => match special(object) {
            Some(("$bytes", Json::String(hex))) => bytes(hex).ok_or_else(|| bad_form(name, json)),
            Some(("$float", Json::String(text))) => {
                let float = text.parse::<f64>().map_err(|_| bad_form(name, json))?;
                Ok(Value::Float(Float::from(float)))
            }
            Some(_) => Err(bad_form(name, json)),
            None => Err(ImportError::NotAScalar { name: name.to_owned(), found: kind_of(json) }),
        },
        Json::Array(_) => Err(ImportError::NotAScalar { name: name.to_owned(), found: kind_of(json) }),
    }
}

fn bytes(hex: &str) -> Option<Value> {
    let digits: Option<Vec<u8>> = hex.chars().map(|digit| digit.to_digit(16).map(|digit| digit as u8)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    Some(Value::from(bytes))
}

fn bad_form(name: &str, json: &Json) -> ImportError {
    ImportError::BadForm { name: name.to_owned(), form: json.to_string() }
}

fn kind_of(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::String(_) => "a string",
        Json::Array(_) => "an array",
        Json::Object(_) => "an object",
    }
}
