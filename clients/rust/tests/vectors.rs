//! The test vectors that every client must pass: docs/vectors.json.

use serde::Deserialize;
use tidings_client::Identity;
use tidings_wire::RegisterAnswer;

#[derive(Deserialize)]
struct Vectors {
    registration: RegisterAnswer,
    frames: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    sealed: String,
    opened: Option<String>,
}

#[test]
fn frames_open_or_are_refused_as_the_vectors_say() {
    let vectors: Vectors = serde_json::from_str(include_str!("../../../docs/vectors.json")).unwrap();
    let identity = Identity::from_answer(&vectors.registration).unwrap();
    let mut refusals = Vec::new();
    for Vector { name, sealed, opened } in vectors.frames {
        match (identity.open(&sealed), opened) {
            (Ok(plaintext), Some(opened)) => assert_eq!(String::from_utf8(plaintext).unwrap(), opened, "{name}"),
            (Err(error), None) => refusals.push(error.to_string()),
            (result, _) => panic!("{name}: {result:?}"),
        }
    }
    refusals.dedup();
    assert_eq!(refusals.len(), 1, "every refusal has the same text: {refusals:?}");
}
