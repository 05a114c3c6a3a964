//! JSON from anybody, imported into documents.

use crdt_core::{Delta, Document, ImportError};
use serde_json::Value as Json;

use super::documents::still_works;
use super::history::history;
use super::input::Input;
use crate::network::replica;
use crate::same::{assert_same, assert_unchanged, through_bytes};
use crate::scene::observer;
use crate::script::WALL_MS;

/// A script whose first byte this is wraps the JSON after it into objects, as often as its next two say.
const NESTED: u8 = b'^';
/// Above it the recursion of the JSON type itself, when it is dropped, is in danger.
const NESTING_MAX: u16 = 4_096;

/// JSON text, possibly nested deeper than a JSON reader lets pass.
///
/// What is refused leaves no trace once the transaction is dropped. What is accepted keeps the limits (the
/// document can be saved and opened, and its delta followed by another replica), and what the document
/// exports then is accepted by an empty one, which exports the same. The same text goes into a document
/// that has content as well, on the same terms. More levels than a document has are refused.
///
/// # Panics
/// If one of these does not hold.
pub fn json_import(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let levels = match bytes.first() {
        Some(&NESTED) => {
            input.u8();
            input.u16() % NESTING_MAX
        }
        _ => 0,
    };
    let Ok(mut json) = serde_json::from_slice::<Json>(input.rest()) else { return };
    for _ in 0..levels {
        json = Json::Object([("a".to_owned(), json)].into_iter().collect());
    }
    let imported = import(Document::new(replica(1)), &json);
    let has_entries = json.pointer(&"/a".repeat(usize::from(levels))).is_some();
    assert!(
        imported.is_none() || !has_entries || usize::from(levels) <= crdt_core::limits::NESTING_MAX,
        "{levels} levels are too many"
    );
    if let Some(document) = imported {
        let exported = document.root().to_json();
        let again = import(Document::new(replica(2)), &exported).expect("an export can be imported");
        assert_eq!(again.root().to_json(), exported, "an export says the same once imported");
    }
    let _ = import(observer(history().state(20)), &json);
}

/// Imports into a document; `None` if that is refused.
fn import(mut document: Document, json: &Json) -> Option<Document> {
    let before = document.snapshot();
    let mut transaction = document.transact(WALL_MS);
    let outcome: Result<(), ImportError> = transaction.root().put_json(json);
    if let Err(error) = outcome {
        assert!(!error.to_string().is_empty());
        drop(transaction);
        assert_unchanged(&document, &before);
        return None;
    }
    if let Some(committed) = transaction.commit() {
        let delta = Delta::decode(&committed.delta.to_bytes()).expect("what is accepted is within all limits");
        let mut follower = Document::from_snapshot(replica(50), before);
        follower.apply(&delta).expect("an honest delta to who has its past");
        assert_same(&follower, &document);
    }
    let _ = through_bytes(&document.snapshot());
    still_works(&document);
    Some(document)
}

/// Each form of docs and its near misses; exports of honest states; too many levels.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    const TEXTS: [&str; 22] = [
        "{}",
        "[]",
        "null",
        r#"{"a":null,"b":true,"c":-7,"d":1.5e300,"e":"text","f":-0.0,"g":9223372036854775807}"#,
        r#"{"m":{"n":{"r":"deep"}},"empty":{},"none":[]}"#,
        r#"{"s":[1,2,2,"x",null,false,{"$bytes":"00ff"},{"$float":"NaN"}]}"#,
        r#"{"b":{"$bytes":"c0ffee"},"odd":{"$bytes":"c0f"}}"#,
        r#"{"f":{"$float":"inf"},"g":{"$float":"-inf"},"h":{"$float":"1e-400"}}"#,
        r#"{"c":{"$counter":5},"d":{"$counter":-9223372036854775808}}"#,
        r#"{"c$counter":5,"c":"register","c$set":[1],"c$map":{}}"#,
        r#"{"c$counter":1.5}"#,
        r#"{"a$$b":1,"$$":2,"$$counter":3,"a$$counter":4,"a$$$counter":5}"#,
        r#"{"$counter":5}"#,
        r#"{"c":{"$sum":"18446744073709551616"}}"#,
        r#"{"big":18446744073709551615}"#,
        r#"{"s":[[1]],"t":[{"a":1}]}"#,
        r#"{"s$register":[1]}"#,
        r#"{"":{"":{"":[""]}}}"#,
        r#"{"a":1,"a":2,"a$register":3}"#,
        r#"{"c":{"$counter":9223372036854775807},"c$counter":1}"#,
        r#"{"u":"\u0000\ud83d\ude00","\u0000":0}"#,
        r#"{"a$register":{"$bytes":""},"a$counter":{"$counter":1}}"#,
    ];
    let mut seeds: Vec<Vec<u8>> = TEXTS.iter().map(|text| text.as_bytes().to_vec()).collect();
    for state in history().states.iter().step_by(7) {
        let exported = state.root().to_json();
        seeds.push(exported.to_string().into_bytes());
    }
    for levels in [62_u16, 63, 64, 127, 4_095] {
        for text in ["null", "{}", "[]", r#"{"$counter":1}"#] {
            let mut script = vec![NESTED];
            script.extend_from_slice(&levels.to_le_bytes());
            script.extend_from_slice(text.as_bytes());
            seeds.push(script);
        }
    }
    seeds.push(vec![b'['; 200]);
    seeds.push(r#"{"a":"#.repeat(200).into_bytes());
    seeds.push(format!(r#"{{"{}":1}}"#, "k".repeat(crdt_core::limits::KEY_BYTES_MAX)).into_bytes());
    seeds.push(format!(r#"{{"{}":1}}"#, "k".repeat(crdt_core::limits::KEY_BYTES_MAX + 1)).into_bytes());
    seeds
}
