use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use super::*;

const NAMES: [u8; 64] = counting(0);
const DATA: [u8; 64] = counting(64);
const WRAPPING: [u8; 64] = counting(128);

const fn counting(from: u8) -> [u8; 64] {
    let mut bytes = [0; 64];
    let mut at = 0;
    while at < 64 {
        bytes[at] = from + at as u8;
        at += 1;
    }
    bytes
}

fn keyring() -> Keyring {
    Keyring::new("demo", NAMES, DATA)
}

const PLACE: Place<'_> =
    Place { app: "demo", family: "mailbox_entry", partition: "demo||x", sort: "m#1", attribute: "content", id: "id-1" };

/// What is stored must stay readable. If this fails, the form changed; it must not. The values were computed by another
/// implementation (Python's hmac, hashlib and cryptography).
#[test]
fn forms_are_pinned() {
    let keyring = keyring();
    assert_eq!(
        hex(&keyring.seal_value(&PLACE, "Grüße".as_bytes(), 0)),
        "010000000164bfd1a770ec518d6d40d1c9b84d0b3a06652416fc7bbfdef77302fb31dca277\
         ec63912f2956ace129927b90931754dbdfa92b54f52acd05c9374e18da5f93b6"
    );
    let sealed = keyring.seal(&WRAPPING);
    assert_eq!(hex(&Sha256::digest(&sealed)), "ac9a103297208e3f421fa5ea4f9948311b1d4479ce89ca504b97667a735f79b1");
    assert_eq!(keyring.name("alias", "shop", "alice|50%"), "FSi-qAeLaNiOUfVi75IbzI9Njj-KXv3GZTt3vukxoP8");
    assert_eq!(keyring.hash("log", &["shop", "alice"]), "d1c74abe8d39118a004324219e1c72c7");
}

#[test]
fn every_flip_and_every_truncation_is_refused() {
    let keyring = keyring();
    for plain in [b"".as_slice(), b"x", b"sixteen bytes ok", &[7; 100]] {
        let sealed = keyring.seal_value(&PLACE, plain, 0);
        assert_eq!(keyring.open_value(&PLACE, &sealed).unwrap().as_slice(), plain);
        for at in 0..sealed.len() {
            // Every other byte at each place of the shortest value; of the others, every other bit.
            for flip in (1..=u8::MAX).filter(|flip| plain.is_empty() || flip.is_power_of_two()) {
                let mut changed = sealed.clone();
                changed[at] ^= flip;
                assert_eq!(keyring.open_value(&PLACE, &changed).unwrap_err(), Refused, "{at} {flip}");
            }
            assert_eq!(keyring.open_value(&PLACE, &sealed[..at]).unwrap_err(), Refused, "cut to {at}");
            assert_eq!(keyring.open_value(&PLACE, &sealed[at + 1..]).unwrap_err(), Refused, "cut from {at}");
        }
        assert!(keyring.open_value(&PLACE, &[sealed.as_slice(), &[0]].concat()).is_err());
    }
    let text = keyring.name("alias", "shop", "alice");
    for at in 0..text.len() {
        for other in ["A", "b", "-", "_", "=", ""] {
            let changed = format!("{}{other}{}", &text[..at], &text[at + 1..]);
            assert!(changed == text || keyring.open_name("alias", "shop", &changed).is_err(), "{changed}");
        }
    }
    let ring = keyring.seal(&WRAPPING);
    for at in 0..ring.len() {
        let mut changed = ring.clone();
        changed[at] ^= 1;
        assert!(Keyring::open("demo", &WRAPPING, &changed).is_err());
        assert!(Keyring::open("demo", &WRAPPING, &ring[..at]).is_err());
    }
}

/// Values of three apps at 1,000 places, each moved to another one: to another app, family, key, attribute or message.
#[test]
fn ten_thousand_moves_are_refused() {
    let rings = ["a", "b", "ab"].map(|app| Keyring::new(app, NAMES, DATA));
    let mut state = 1_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    // Parts that run into each other if they were only joined.
    let words = ["", "a", "b", "ab", "ba", "aa", "#", "a#b"];
    let mut sealed = Vec::new();
    for _ in 0..1_000 {
        let at: [usize; 6] = [random(3), random(8), random(8), random(8), random(8), random(8)];
        let place = place(&words, &at);
        sealed.push((at, rings[at[0]].seal_value(&place, b"value", 0)));
    }
    let mut moves = 0;
    while moves < 10_000 {
        let (from, value) = &sealed[random(1_000)];
        let (to, _) = &sealed[random(1_000)];
        if from == to {
            continue;
        }
        // All three share their data key: the place alone has to tell the apps apart.
        assert_eq!(rings[to[0]].open_value(&place(&words, to), value).unwrap_err(), Refused, "{from:?} {to:?}");
        assert!(rings[from[0]].open_value(&place(&words, from), value).is_ok());
        moves += 1;
    }
}

fn place<'a>(words: &[&'a str; 8], at: &[usize; 6]) -> Place<'a> {
    let word = |part: usize| words[at[part]];
    Place { app: "", family: word(1), partition: word(2), sort: word(3), attribute: word(4), id: word(5) }
}

#[test]
fn names_are_equal_exactly_for_equal_names_of_one_purpose_tenant_and_app() {
    let (ring, other) = (keyring(), Keyring::new("other", NAMES, DATA));
    let mut seen = BTreeSet::new();
    for ring in [&ring, &other] {
        for purpose in ["alias", "item"] {
            for tenant in ["", "shop", "alias"] {
                for name in ["", "alice", "爱丽丝", "|", &"x".repeat(512)] {
                    let text = ring.name(purpose, tenant, name);
                    assert_eq!(ring.name(purpose, tenant, name), text);
                    assert_eq!(ring.open_name(purpose, tenant, &text).unwrap(), name);
                    assert!(text.bytes().all(|it| it.is_ascii_alphanumeric() || b"-_".contains(&it)), "{text}");
                    assert!(seen.insert(text.clone()) && seen.insert(ring.hash(purpose, &[tenant, name])));
                }
            }
        }
    }
    let text = ring.name("alias", "shop", "alice");
    for (ring, purpose, tenant) in [(&other, "alias", "shop"), (&ring, "item", "shop"), (&ring, "alias", "")] {
        assert_eq!(ring.open_name(purpose, tenant, &text), Err(Refused));
    }
    assert_eq!(ring.open_name("alias", "shop", "alice"), Err(Refused));
}

#[test]
fn a_data_key_seals_from_its_time_on_and_opens_until_it_is_removed() {
    let old = keyring();
    let both = old.with(counting(3), 1_000);
    let [before, after] = [999, 1_000].map(|now| both.seal_value(&PLACE, b"v", now));
    assert_eq!((version(&before), version(&after)), (Some(1), Some(2)));
    assert_eq!(before, old.seal_value(&PLACE, b"v", 5_000));
    assert_eq!(both.forms(&PLACE, b"v"), [before.clone(), after.clone()]);
    assert!(both.open_value(&PLACE, &before).is_ok() && both.open_value(&PLACE, &after).is_ok());
    assert!(old.open_value(&PLACE, &after).is_err());
    let new = both.without_before(2);
    assert!(new.open_value(&PLACE, &before).is_err() && new.open_value(&PLACE, &after).is_ok());
    assert_eq!(new.without_before(9).versions().collect::<Vec<_>>(), [2]);
    // Names do not change with the data keys.
    assert_eq!(new.name("alias", "", "alice"), old.name("alias", "", "alice"));
    let read = Keyring::open("demo", &WRAPPING, &both.seal(&WRAPPING)).unwrap();
    assert_eq!(read.seal_value(&PLACE, b"v", 1_000), after);
}

#[test]
fn a_keyring_opens_for_its_app_and_under_its_key_alone_and_does_not_print() {
    let sealed = keyring().seal(&WRAPPING);
    assert!(Keyring::open("demo", &WRAPPING, &sealed).is_ok());
    assert!(Keyring::open("other", &WRAPPING, &sealed).is_err());
    assert!(Keyring::open("demo", &DATA, &sealed).is_err());
    assert_eq!(format!("{:?}", keyring()), r#"Keyring { app: "demo", versions: [1], .. }"#);
}
