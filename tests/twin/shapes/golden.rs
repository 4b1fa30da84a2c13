//! The golden files in `tests/golden`, a folder for each version: every stored item and every queue body, exactly as
//! that version writes it. Each item has a file with all its fields and one with as few as possible.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use tidings_domain::{
    Open, Seal, Timer,
    mailbox::{Closed, Slot, Tail},
};
use tidings_store::{Announced, Announcements, Apps, Confirmation, Confirmed, Connected, Due, Items, minute_of};
use tidings_wire::{
    Choice, Platform,
    action::AppState,
    send::{Channel, Priority},
    trail::SkipReason,
};

use super::{
    json,
    samples::{
        alice, app, at, bob, chains, connection, device, device_id, draft, entry, entry_in_the_end, id, jobs,
        least_app, least_device, least_draft, least_entry, least_message, least_profile, least_stored, message, pieces,
        place, preferences, profile, put_off, redelivery, repeat, shop, step_due, steps, stored, timers,
    },
};
use crate::world::{APP, World, repository};

/// The forms of a shape, by name: `full`, `least`, or those of a queue's bodies.
type Forms = BTreeMap<String, Value>;

/// The version that the current code writes.
const VERSION: u32 = 1;

fn folder(version: u32) -> PathBuf {
    repository().join("tests/golden").join(version.to_string())
}

/// Every version with files.
fn versions() -> Vec<u32> {
    let folders = std::fs::read_dir(repository().join("tests/golden")).unwrap();
    let mut versions: Vec<u32> = folders.filter_map(|it| it.unwrap().file_name().to_str()?.parse().ok()).collect();
    versions.sort_unstable();
    versions
}

fn golden(version: u32) -> BTreeMap<String, Forms> {
    let read = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.unwrap().path();
        let kind = path.file_stem().unwrap().to_str().unwrap().to_owned();
        (kind, serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap())
    };
    std::fs::read_dir(folder(version)).unwrap().map(read).collect()
}

/// The stored words of each open enumeration.
fn words() -> Forms {
    fn of<T: Choice + 'static>() -> Value {
        T::ALL.iter().map(|(word, _)| *word).collect()
    }
    [
        ("app_state", of::<AppState>()),
        ("channel", of::<Channel>()),
        ("closing_reason", of::<Closed>()),
        ("platform", of::<Platform>()),
        ("priority", of::<Priority>()),
        ("skip_reason", of::<SkipReason>()),
    ]
    .map(|(kind, words)| (kind.to_owned(), words))
    .into()
}

/// Compares the current code's output to the files of its version. `GOLDEN=write` writes them, for a new version.
fn compare(written: &BTreeMap<String, Forms>, is_ours: impl Fn(&str) -> bool) {
    if std::env::var("GOLDEN").is_ok_and(|wanted| wanted == "write") {
        std::fs::create_dir_all(folder(VERSION)).unwrap();
        for (kind, forms) in written {
            let text = serde_json::to_string_pretty(forms).unwrap() + "\n";
            std::fs::write(folder(VERSION).join(kind).with_extension("json"), text).unwrap();
        }
    }
    let golden = golden(VERSION);
    let ours: BTreeMap<_, _> = golden.iter().filter(|(kind, _)| is_ours(kind)).collect();
    let kinds: BTreeSet<_> = ours.keys().copied().chain(written.keys()).collect();
    for kind in kinds {
        assert_eq!(
            ours.get(kind).copied().map(pretty),
            written.get(kind).map(pretty),
            "the stored shape of `{kind}` differs from what version {VERSION} wrote: docs/changing.md, \
             \"A stored shape\""
        );
    }
}

fn pretty(forms: &Forms) -> String {
    serde_json::to_string_pretty(forms).unwrap()
}

fn is_item(kind: &str) -> bool {
    !kind.starts_with("queue_") && kind != "words"
}

fn bodies() -> BTreeMap<String, Forms> {
    fn forms<T: Serialize>(all: Vec<(&'static str, T)>) -> Forms {
        all.into_iter().map(|(form, body)| (form.to_owned(), serde_json::to_value(body).unwrap())).collect()
    }
    [
        ("queue_job", forms(jobs())),
        ("queue_timer", forms(timers())),
        ("queue_step", forms(steps())),
        ("queue_fanout", forms(pieces())),
        ("words", words()),
    ]
    .map(|(kind, forms)| (kind.to_owned(), forms))
    .into()
}

#[test]
fn queue_bodies_are_written_in_their_version_and_those_of_every_version_are_read() {
    fn read<T: DeserializeOwned + PartialEq + std::fmt::Debug>(forms: &Forms, expected: Vec<(&'static str, T)>) {
        for (form, expected) in expected {
            // A form that a later version has added is missing before.
            let Some(body) = forms.get(form) else { continue };
            assert_eq!(serde_json::from_value::<T>(body.clone()).unwrap(), expected, "{form}");
        }
    }
    compare(&bodies(), |kind| !is_item(kind));
    for version in versions() {
        let golden = golden(version);
        read(&golden["queue_job"], jobs());
        read(&golden["queue_timer"], timers());
        read(&golden["queue_step"], steps());
        read(&golden["queue_fanout"], pieces());
    }
}

/// The stores that the world does not provide.
struct Tables {
    apps: Apps,
    announcements: Announcements,
    items: Items,
    due: Due,
}

impl Tables {
    fn of(world: &World) -> Self {
        let directory = world.twin.outputs()["DirectoryTableName"].clone();
        Self {
            apps: Apps::new(world.dynamodb(), world.vault(), directory.clone()),
            announcements: Announcements::new(world.dynamodb(), world.vault(), directory.clone()),
            items: Items::new(world.dynamodb(), world.vault(), directory),
            due: Due::new(world.dynamodb(), world.vault(), world.table("TIDINGS_DUE_TABLE")),
        }
    }
}

/// Stores one of each item, by the methods that the functions use.
async fn write(world: &World) {
    people(world).await;
    mailboxes(world).await;
    let (tables, messages) = (Tables::of(world), world.messages());
    for stored in [Stored::first(&message(), "alice|50%", Some("hash")), Stored::first(&least_message(), "bob", None)] {
        assert_eq!(messages.store(&stored).await.unwrap(), None);
    }
    messages.begin(&id(3), at(1)).await.unwrap().unwrap();
    messages.cancel(&id(3), at(2)).await.unwrap().unwrap();
    for it in [app(), least_app()] {
        assert!(tables.apps.create(&it).await.unwrap());
    }
    assert!(tables.apps.set_chains(&shop().app, &chains()).await.unwrap());
    assert!(tables.apps.set_categories(&shop().app, &app().categories).await.unwrap());
    for it in [draft(), least_draft()] {
        let Announced::Now(receipt) = tables.announcements.announce(&it, "hash").await.unwrap() else { panic!("now") };
        if it.tenant == shop() {
            tables.announcements.withdraw(&shop(), receipt.number, at(1)).await.unwrap().unwrap();
            tables.announcements.count_posts(&shop(), receipt.number, 3).await.unwrap();
        }
    }
    tables.items.close(&shop(), "order:1", at(1)).await.unwrap();
    for (_, timer) in timers() {
        tables.due.keep(&timer).await.unwrap();
    }
    tables.due.set_done_until(minute_of(at(0))).await.unwrap();
}

/// The record as it is first written.
struct Stored;

impl Stored {
    fn first(message: &tidings_domain::Message, alias: &str, hash: Option<&str>) -> tidings_store::Stored {
        tidings_store::Stored::new(message, vec![alias.to_owned()], hash.map(str::to_owned))
    }
}

async fn people(world: &World) {
    let stores = world.stores();
    for (device, profile) in [(device(), profile()), (least_device(), least_profile())] {
        assert!(stores.devices.register(&device, &profile, None, at(0)).await.unwrap());
    }
    stores.devices.move_cursor(&device(), place(1)).await.unwrap();
    stores.users.set_preferences(&alice(), &preferences()).await.unwrap();
    for (device, id) in [(device(), "full"), (least_device(), "least"), (least_device(), "buried-full")] {
        let connection = connection(&device, id);
        let recorded =
            stores.connections.connect(&device.user, &connection, &format!("jti-{id}"), at(60)).await.unwrap();
        assert_eq!(recorded, Connected::Recorded);
    }
    stores.connections.set_state(&alice(), &"full".parse().unwrap(), AppState::Foreground).await.unwrap();
    for id in ["buried-full", "buried-least"] {
        stores.connections.disconnect(&id.parse().unwrap(), at(30)).await.unwrap();
    }
}

async fn mailboxes(world: &World) {
    let stores = world.stores();
    let (mailboxes, claims, alice) = (&stores.mailboxes, &stores.claims, alice());
    for (user, entry) in [(&alice, least_entry()), (&bob(), least_entry()), (&alice, entry())] {
        mailboxes.append(user, &entry).await.unwrap();
    }
    let due = |step| tidings_domain::chain::StepDue { step, ..step_due() };
    let [one, two, three, four] = entry_in_the_end().steps.try_into().unwrap();
    let outcome = |record: &tidings_domain::chain::StepRecord| record.outcome.clone().unwrap();
    assert!(claims.claim(&due(0), None, "worker-1", at(2)).await.unwrap());
    let (accepted, when) = outcome(&one);
    assert!(claims.end(&due(0), &accepted, one.detail.as_deref(), when).await.unwrap());
    assert!(claims.claim(&due(1), None, "worker-2", at(4)).await.unwrap());
    assert!(claims.release(&due(1), "worker-2", Some(&put_off())).await.unwrap());
    assert!(claims.claim(&due(3), None, "worker-3", at(7)).await.unwrap());
    assert!(claims.claim(&due(3), Some("worker-3"), "worker-4", at(8)).await.unwrap());
    for (step, record) in [(1, two), (2, three), (3, four)] {
        let (outcome, when) = outcome(&record);
        assert!(claims.end(&due(step), &outcome, None, when).await.unwrap());
    }
    mailboxes.note_offline(&alice, place(2), &[device_id()], at(10)).await.unwrap();
    mailboxes.note_unanswered(&alice, place(2), &[device_id()], at(10)).await.unwrap();
    for (redelivery, seconds) in [(redelivery(), 11), (repeat(), 12)] {
        mailboxes.note_redelivered(&redelivery, vec![device_id()], at(seconds)).await.unwrap();
    }
    for (what, seconds) in [(Confirmation::Acknowledged, 12), (Confirmation::Read, 13)] {
        let when = Confirmed::Alive(at(seconds));
        assert!(mailboxes.confirm(&alice, place(2), &id(1), &device_id(), what, when).await.unwrap());
    }
    assert!(mailboxes.close(&alice, place(2), Closed::Cancelled, at(14)).await.unwrap());
}

/// The kind of an item and its form; `None` for an item that is not a sample.
fn kind(table: &str, pk: &str, sk: &str) -> Option<(&'static str, String)> {
    let is_full =
        [alice().encode(), shop().encode(), shop().app.to_string(), id(3).to_string()].iter().any(|it| pk.contains(it));
    let form = |is_full: bool| if is_full { "full" } else { "least" }.to_owned();
    if pk == format!("app#{APP}") {
        return None;
    }
    Some(match (table, sk.split('#').next().unwrap_or_default()) {
        ("users", "z") => ("profile", form(is_full)),
        ("users", "y") => ("device", form(is_full)),
        ("users", "x") => ("connection", form(is_full)),
        // Alice's first entry only exists so that the second one can follow it.
        ("users", "m") if is_full && sk.ends_with('1') => return None,
        ("users", "m") => ("mailbox_entry", form(is_full)),
        ("users", "l") => ("mailbox_log", form(is_full)),
        ("lookups", _) => match pk.split('#').next().unwrap() {
            "d" => ("device_lookup", form(pk.ends_with("device-1"))),
            "c" if pk.contains("buried") => ("connection_tombstone", form(pk.ends_with("full"))),
            "c" => ("connection_lookup", form(pk.ends_with("full"))),
            "j" => ("token_used", form(pk.ends_with("full"))),
            other => panic!("a look-up of an unknown kind: {other}"),
        },
        ("messages", _) => ("message", form(is_full)),
        ("directory", "app") => ("app", form(is_full)),
        ("directory", "n") => ("announcement", form(is_full)),
        ("directory", "head") => ("announcement_head", form(is_full)),
        ("directory", "receipt") => ("announcement_receipt", form(*pk == *format!("announcement#{}", id(5)))),
        ("directory", _) => ("item_closed", form(is_full)),
        ("due", "cursor") => ("timer_cursor", "full".to_owned()),
        ("due", _) => ("timer", sk.split('#').nth(1).unwrap().to_owned()),
        _ => panic!("an item of an unknown kind: {table} {pk} {sk}"),
    })
}

/// Every stored item, by its kind.
async fn dump(world: &World) -> BTreeMap<String, Forms> {
    let mut found: BTreeMap<String, Forms> = BTreeMap::new();
    for table in &world.twin.template().tables {
        let logical = table.logical_id.trim_end_matches("Table").to_lowercase();
        let page = world.dynamodb().scan().table_name(&table.name).send().await.unwrap();
        for item in page.items.unwrap_or_default() {
            let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).cloned().unwrap_or_default();
            let Some((kind, form)) = kind(&logical, &text("pk"), &text("sk")) else { continue };
            // Several timers of one message: by their kind.
            let form = if kind == "timer" { format!("{form} {}", text("sk").split('#').nth(2).unwrap()) } else { form };
            let before = found.entry(kind.to_owned()).or_default().insert(form.clone(), json::of_item(&item));
            assert!(before.is_none() || kind == "token_used", "{kind} {form} twice");
        }
    }
    found
}

/// Stores the items of a version, in place of the existing ones.
async fn load(world: &World, golden: &BTreeMap<String, Forms>) {
    let mut of_table: BTreeMap<&str, Vec<json::Item>> = BTreeMap::new();
    for (kind, forms) in golden.iter().filter(|(kind, _)| is_item(kind)) {
        let table = match kind.as_str() {
            "profile" | "device" | "connection" | "mailbox_entry" | "mailbox_log" => "TIDINGS_USERS_TABLE",
            "device_lookup" | "connection_tombstone" | "connection_lookup" | "token_used" => "TIDINGS_LOOKUPS_TABLE",
            "message" => "TIDINGS_MESSAGES_TABLE",
            "timer" | "timer_cursor" => "TIDINGS_DUE_TABLE",
            _ => "TIDINGS_DIRECTORY_TABLE",
        };
        of_table.entry(table).or_default().extend(forms.values().map(json::item));
    }
    for (table, items) in of_table {
        world.put_all(&world.table(table), items).await;
    }
}

/// Reads everything by the methods that the functions use, and compares it to the samples.
async fn read(world: &World, version: u32) {
    let (stores, tables, now) = (world.stores(), Tables::of(world), at(20));
    for (user, device, profile, id, entry) in [
        (alice(), device(), profile(), "full", entry_in_the_end()),
        (bob(), least_device(), least_profile(), "least", least_entry()),
    ] {
        let cursor = Some(place(1)).filter(|_| user == alice());
        let view = stores.users.view(&user, now).await.unwrap();
        assert!(view.profile == Some(profile), "{version}");
        assert_eq!(view.devices, [tidings_domain::Device { cursor, ..device.clone() }], "{version}");
        assert_eq!(view.connections, [connection(&device, id)], "{version}");
        assert_eq!(view.tail, Some(Tail::from(&entry)), "{version}");
        let found = stores.mailboxes.entry(&user, entry.position).await.unwrap().unwrap();
        assert_eq!(found, Slot::Read(entry), "{version}");
        let looked_up = stores.devices.last_known(&device.id).await.unwrap().unwrap();
        assert_eq!(looked_up, tidings_domain::Device { push: None, ..device }, "{version}");
        let record = stores.connections.get(&id.parse().unwrap(), now).await.unwrap().unwrap();
        assert_eq!(record.user, user, "{version}");
    }
    let buried = "buried-full".parse().unwrap();
    assert_eq!(stores.connections.get(&buried, at(31)).await.unwrap(), None, "{version}");
    let last = stores.connections.last_words(&buried, at(31)).await.unwrap().unwrap();
    assert_eq!((last.user, last.buried), (bob(), Some(at(30))), "{version}");
    for expected in [stored(), least_stored()] {
        assert_eq!(world.messages().get(&expected.id, now).await.unwrap(), Some(expected), "{version}");
    }
    for expected in [app(), least_app()] {
        assert_eq!(tables.apps.get(&expected.id).await.unwrap(), Some(expected), "{version}");
    }
    for (draft, posts, withdrawn) in [(draft(), 3, Some(at(1))), (least_draft(), 0, None)] {
        let receipt = tables.announcements.receipt(&draft.id, now).await.unwrap().unwrap();
        let page = tables.announcements.after(&draft.tenant, 0, 10).await.unwrap();
        let expected = tidings_domain::Announcement { posts, withdrawn, ..draft.clone().behind(Default::default()) };
        assert_eq!((page.announcements, receipt.number), (vec![expected.clone()], expected.number), "{version}");
        // The next one follows the head.
        assert_eq!(expected.heads().of(Open::Known(draft.platform)), expected.number, "{version}");
    }
    assert_eq!(tables.items.closed(&shop(), "order:1", now).await.unwrap(), Some(at(1)), "{version}");
    let mut kept: Vec<Timer> = Vec::new();
    for minute in minute_of(at(0))..=minute_of(at(60)) {
        let found = tables.due.minute(minute).await.unwrap();
        assert_eq!(found.unreadable, 0, "{version}");
        kept.extend(found.timers.iter().map(|timer| serde_json::from_str::<Timer>(&timer.body).unwrap()));
    }
    let mut expected: Vec<Timer> = timers().into_iter().map(|(_, timer)| timer).collect();
    expected.sort_by_key(|timer| (timer.due(), timer.key(&Seal::Clear)));
    kept.sort_by_key(|timer| (timer.due(), timer.key(&Seal::Clear)));
    assert_eq!(kept, expected, "{version}");
    assert_eq!(tables.due.done_until(at(0)).await.unwrap(), Some(minute_of(at(0))), "{version}");
}

#[tokio::test(flavor = "multi_thread")]
async fn items_are_written_in_their_version_and_those_of_every_version_are_read() {
    let world = World::start().await;
    write(&world).await;
    compare(&dump(&world).await, is_item);
    for version in versions() {
        load(&world, &golden(version)).await;
        read(&world, version).await;
    }
    world.end().await;
}

#[test]
fn the_newest_files_are_those_of_the_version_that_is_written() {
    assert_eq!(versions().last(), Some(&VERSION));
    for (kind, forms) in golden(VERSION) {
        let is_empty = |form: &Value| form.as_object().map_or(form.as_array().is_none_or(Vec::is_empty), Map::is_empty);
        assert!(!forms.is_empty() && !forms.values().any(is_empty), "{kind}");
    }
}
