//! Announcements: stored once, and found by devices that were not reached.

use std::collections::BTreeSet;

use http::Method;
use sam_twin::faults::{Fault, Rule};
use serde_json::{Value, json};
use tidings_domain::{
    More, Timestamp,
    announcement::{self, Draft, Fanout, Part, Receipt},
};
use tidings_store::Announced;
use tidings_wire::{AnnounceRequest, Frame, frame::AnnouncementFrame, send::Content};

use crate::matrix::{cell::Cell, phone::Phone};

const PATH: &str = "/v1/announcements";

async fn ask(cell: &Cell) -> Value {
    let answer = cell.ask(Method::POST, PATH, Some("k"), Some(json!({"alert": "News"}))).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.json()
}

/// Stores an announcement up to the point at which `send` queues its push.
async fn announced(cell: &Cell, body_hash: &str) -> Receipt {
    let content = Content { alert: Some("News".to_owned()), ..Content::default() };
    let request = AnnounceRequest { content, ..AnnounceRequest::default() };
    let draft: Draft =
        announcement::accept(request, cell.app(), &BTreeSet::new(), cell.announcement_id(), Timestamp::now()).unwrap();
    match cell.lane.announcements.announce(&draft, body_hash).await.unwrap() {
        Announced::Now(receipt) => receipt,
        Announced::Before(receipt) => panic!("there before: {receipt:?}"),
    }
}

/// The only stored announcement.
async fn only(cell: &Cell) -> tidings_domain::Announcement {
    let page = cell.lane.announcements.after(&cell.user().tenant(), 0, 10).await.unwrap();
    let (mut kept, more) = (page.announcements, page.more);
    assert_eq!((kept.len(), more), (1, false), "{kept:?}");
    kept.remove(0)
}

fn received(phone: &Phone) -> Vec<AnnouncementFrame> {
    let announcement = |frame: &Frame| match frame {
        Frame::Announcement(announcement) => Some(AnnouncementFrame::clone(announcement)),
        _ => None,
    };
    phone.seen(|seen| seen.frames.iter().filter_map(announcement).collect())
}

pub(super) async fn announce(cell: &Cell, again: bool) {
    let body = json!({"alert": "News"}).to_string();
    if again {
        announced(cell, &tidings_domain::digest(body.as_bytes())).await;
    }
    cell.arm().await;
    let answer = ask(cell).await;
    let kept = only(cell).await;
    assert_eq!(answer, json!({"requestId": cell.announcement_id(), "number": kept.number, "ttl": 259_200}));
}

pub(super) async fn list(cell: &Cell) {
    let receipt = announced(cell, "").await;
    cell.arm().await;
    let page = cell.ask(Method::GET, PATH, None, None).await.json();
    assert_eq!((&page["announcements"][0]["number"], &page["next"]), (&json!(receipt.number), &Value::Null));
}

pub(super) async fn one(cell: &Cell) {
    announced(cell, "").await;
    cell.arm().await;
    let shown = cell.ask(Method::GET, &format!("{PATH}/{}", cell.announcement_id()), None, None).await.json();
    assert_eq!((&shown["alert"], &shown["posts"]), (&json!("News"), &json!(0)));
}

pub(super) async fn withdraw(cell: &Cell) {
    announced(cell, "").await;
    cell.arm().await;
    let answer = cell.ask(Method::DELETE, &format!("{PATH}/{}", cell.announcement_id()), None, None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let withdrawn = only(cell).await.withdrawn.unwrap();
    assert_eq!(answer.json()["withdrawnAt"], json!(withdrawn));
}

pub(super) async fn sync(cell: &Cell) {
    let identity = cell.register(&cell.user()).await;
    let mut phone = Phone::open(cell, &identity).await;
    let number = announced(cell, "").await.number;
    cell.arm().await;
    let asked = json!({"action": "sync", "announced": 0});
    phone.send(cell, asked, async |phone| received(phone).iter().any(|it| it.number == number)).await;
    cell.until("the fault is over", async || cell.is_over()).await;
}

/// The part of the push that contains alice's connection.
async fn piece(cell: &Cell) -> Fanout {
    let (number, tenant) = (announced(cell, "").await.number, cell.user().tenant());
    let shard = announcement::shard(&cell.view().await.connections[0].id);
    Fanout { tenant, number, part: Part::Page { shard, after: None }, more: More::default() }
}

/// Whether a failure that is not worth a second push was ignored: the request failed as often as it was tried, and its
/// worker lives.
fn is_given_up(cell: &Cell, call: &str) -> bool {
    let unanswered = [Fault::LoseAnswer, Fault::KillBefore, Fault::KillAfter].contains(&cell.fault);
    cell.call.way.contains(call) && !cell.is_hidden() && !unanswered
}

pub(super) async fn push(cell: &Cell, busy: bool) {
    let identity = cell.register(&cell.user()).await;
    let mut phone = Phone::open(cell, &identity).await;
    if busy {
        // As often as a post is tried before the connection is retried later.
        let busy = Rule::new(Fault::Throttle).function("FanoutFunction").operation("PostToConnection");
        cell.lane.world.twin.faults().add(busy.times(2));
    }
    let piece = piece(cell).await;
    cell.arm().await;
    cell.put("FanoutFunction", "TIDINGS_FANOUT_QUEUE_URL", &piece).await;
    if cell.fault == Fault::AcceptedThoughDead {
        cell.until("the post is lost", async || cell.is_over()).await;
        let asked = json!({"action": "sync", "announced": 0});
        phone.send(cell, asked, async |phone| !received(phone).is_empty()).await;
    }
    cell.until("the device is pushed", async || !received(&phone).is_empty() && cell.is_over()).await;
    cell.idle().await;
    assert!(received(&phone).iter().all(|it| it.number == piece.number));
    let gone = cell.fault == Fault::GoneThoughDelivered;
    // A post without an answer is repeated. A part may be pushed twice, and is then counted twice.
    let uncounted = gone || is_given_up(cell, "count_posts");
    cell.until("the posts are counted", async || uncounted || only(cell).await.posts > 0).await;
    assert_eq!(cell.view().await.connections.is_empty(), gone);
    assert!(!gone || only(cell).await.posts == 0);
}

pub(super) async fn push_to_nobody(cell: &Cell) {
    cell.register(&cell.user()).await;
    cell.believe(&cell.user()).await;
    let piece = piece(cell).await;
    cell.arm().await;
    cell.put("FanoutFunction", "TIDINGS_FANOUT_QUEUE_URL", &piece).await;
    cell.until("the fault is over", async || cell.is_over()).await;
    cell.idle().await;
    if is_given_up(cell, "prune") {
        // Nothing was pushed again because of it; the next push finds the connection gone as well.
        assert_eq!(cell.view().await.connections.len(), 1);
        cell.put("FanoutFunction", "TIDINGS_FANOUT_QUEUE_URL", &piece).await;
    }
    cell.until("it is pruned", async || cell.view().await.connections.is_empty()).await;
    cell.idle().await;
    assert_eq!(only(cell).await.posts, 0);
}
