//! Announcements: pushed to open connections, found at `sync` by all other devices, shown by each device once and in
//! order.

use futures_util::StreamExt;
use http::Method;
use sam_twin::faults::{Fault, Rule};
use tidings_client::{ApiError, Device, Event, Events, Identity, Options};
use tidings_wire::{AnnounceRequest, Platform, send::Content};

use crate::world::{APP, World, eventually};

/// A device of a user on a platform.
async fn device(world: &World, alias: &str, token: &str, platform: Platform, tenant: Option<&str>) -> Identity {
    let mut registration = World::registration(alias, token);
    registration.platform = platform;
    registration.tenant_code = tenant.map(str::to_owned);
    Identity::from_answer(&world.backend().register(&registration).await.unwrap()).unwrap()
}

/// The next announcement that an app's client shows.
async fn next(events: &mut Events) -> String {
    let received = async {
        loop {
            match events.next().await.expect("the device is not closed") {
                Event::Announcement(announcement) => return announcement.content.alert.unwrap(),
                Event::Unreadable(unreadable) => panic!("{unreadable}"),
                _ => {}
            }
        }
    };
    tokio::time::timeout(crate::world::DEADLINE, received).await.expect("an announcement in time")
}

#[tokio::test(flavor = "multi_thread")]
async fn open_connections_are_pushed_to_and_other_devices_find_it_at_sync() {
    let world = World::start().await;
    let mut sockets = Vec::new();
    for (alias, token) in [("alice", "a"), ("alice", "b"), ("bob", "c")] {
        sockets.push((alias, world.online(alias, token).await));
    }
    let offline = world.device("carol", "d").await;
    let first = world.announce("First", |request| request.content.sender = Some("Shop".to_owned())).await;
    for (alias, socket) in &mut sockets {
        let came = socket.announcement().await;
        assert_eq!((came.id.as_str(), came.number, came.after), (first.request_id.as_str(), first.number, 0));
        assert_eq!((came.to_user_name.as_str(), came.from_user_name.as_deref()), (*alias, Some("Shop")));
        assert_eq!(came.content.alert.as_deref(), Some("First"));
    }
    let second = world.announce("Second", |_| {}).await;
    for (_, socket) in &mut sockets {
        let came = socket.announcement().await;
        assert_eq!((came.number, came.after), (second.number, first.number));
    }
    // Pushes to other shards may still be under way.
    world.idle().await;
    let mut carol = world.socket(&offline).await;
    let (found, end) = carol.announcements(0).await;
    let found: Vec<_> = found.iter().map(|it| (it.number, it.after)).collect();
    assert_eq!(found, [(first.number, 0), (second.number, first.number)]);
    assert_eq!((end.after, end.number, end.more), (second.number, second.number, false));
    let (found, end) = carol.announcements(first.number).await;
    assert_eq!((found.len(), end.after), (1, second.number));
    let (found, end) = carol.announcements(second.number).await;
    assert_eq!((found.len(), end.after, end.number), (0, second.number, second.number));
    // A client that does not ask for announcements receives none.
    assert_eq!(carol.sync(None).await.1.announced, None);

    // The posts are counted a moment after they are made.
    eventually("the posts are counted", async || {
        let listed = world.backend().announcements(None, None).await.unwrap();
        let listed: Vec<_> = listed.announcements.iter().map(|it| (it.number, it.posts)).collect();
        listed == [(second.number, 3), (first.number, 3)]
    })
    .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_device_of_another_tenant_app_or_platform_receives_it() {
    let world = World::start().await;
    let web = device(&world, "alice", "a", Platform::Web, None).await;
    let tenant = device(&world, "alice", "b", Platform::Web, Some("t|1")).await;
    let ios = device(&world, "bob", "c", Platform::Ios, None).await;
    let mut web = world.socket(&web).await;
    let mut tenant = world.socket(&tenant).await;
    let mut ios = world.socket(&ios).await;

    let theirs = world.announce("Theirs", |request| request.tenant_code = Some("t|1".to_owned())).await;
    let apples = world.announce("Apples", |request| request.platform = Some(Platform::Ios)).await;
    let all = world.announce("All", |_| {}).await;
    assert_eq!(tenant.announcement().await.id, theirs.request_id);
    let mut came = [ios.announcement().await, ios.announcement().await];
    came.sort_by_key(|it| it.number);
    assert_eq!(came.map(|it| it.id), [apples.request_id.clone(), all.request_id.clone()]);
    // The next frame on each socket answers its next message: no other frame was posted to it.
    let behind = web.announcement().await;
    assert_eq!((behind.number, behind.after), (all.number, 0), "announcements for others are no gap");
    assert_eq!(
        web.announcements(0).await.0.iter().map(|it| (it.number, it.after)).collect::<Vec<_>>(),
        [(all.number, 0)]
    );
    tenant.ping().await;
    ios.ping().await;

    // Nor does another app see, list or withdraw it.
    let other = world.other_backend().await;
    assert!(other.announcements(None, None).await.unwrap().announcements.is_empty());
    for answer in
        [other.announcement(&all.request_id).await.map(|_| ()), other.withdraw(&all.request_id).await.map(|_| ())]
    {
        let Err(ApiError::Problem(problem)) = answer else { panic!("{answer:?}") };
        assert_eq!((problem.status, problem.code.as_str()), (404, "not_found"));
    }
    let listed = world.backend().announcements(Some("t|1"), None).await.unwrap();
    assert_eq!(listed.announcements.iter().map(|it| it.number).collect::<Vec<_>>(), [theirs.number]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawn_or_expired_announcement_reaches_no_further_device() {
    let world = World::start().await;
    let mut socket = world.online("alice", "a").await;
    world.set_event_source("FanoutFunction", false).await;
    let wrong = world.announce("Wrong", |_| {}).await;
    let right = world.announce("Right", |_| {}).await;
    let first = world.backend().withdraw(&wrong.request_id).await.unwrap();
    let again = world.backend().withdraw(&wrong.request_id).await.unwrap();
    assert_eq!(first, again, "idempotent");
    world.set_event_source("FanoutFunction", true).await;
    let came = socket.announcement().await;
    assert_eq!((came.number, came.after), (right.number, wrong.number));
    let (found, end) = socket.announcements(0).await;
    assert_eq!(found.iter().map(|it| (it.number, it.after)).collect::<Vec<_>>(), [(right.number, 0)]);
    assert_eq!((end.after, end.number), (right.number, right.number));
    let shown = world.backend().announcement(&wrong.request_id).await.unwrap();
    assert_eq!((shown.withdrawn_at, shown.posts), (Some(first.withdrawn_at), 0));

    // An expired one that is not deleted yet.
    let (table, key) =
        (world.table("TIDINGS_DIRECTORY_TABLE"), |text: String| aws_sdk_dynamodb::types::AttributeValue::S(text));
    let over = world.dynamodb().update_item().table_name(table).key("pk", key(format!("announcements#{APP}|")));
    let over = over.key("sk", key(format!("n#{:020}", right.number))).update_expression("SET deadline = :past");
    let past = aws_sdk_dynamodb::types::AttributeValue::N("1".to_owned());
    over.expression_attribute_values(":past", past).send().await.unwrap();
    let (found, end) = socket.announcements(0).await;
    assert_eq!((found.len(), end.after, end.number), (0, 0, right.number), "its number is passed");
    for answer in [
        world.backend().announcement(&right.request_id).await.map(|_| ()),
        world.backend().withdraw(&right.request_id).await.map(|_| ()),
    ] {
        assert!(matches!(answer, Err(ApiError::Problem(problem)) if problem.code == "not_found"));
    }
    let listed = world.backend().announcements(None, None).await.unwrap();
    assert_eq!(listed.announcements.iter().map(|it| it.number).collect::<Vec<_>>(), [wrong.number]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_announces_once() {
    let world = World::start().await;
    world.set_event_source("FanoutFunction", false).await;
    let backend = world.backend();
    let request = |alert: &str| AnnounceRequest {
        content: Content { alert: Some(alert.to_owned()), ..Content::default() },
        ..AnnounceRequest::default()
    };
    let hello = request("Hello");
    let asked = futures_util::future::join_all((0..20).map(|_| backend.announce(&hello, Some("k")))).await;
    let first = asked[0].as_ref().unwrap();
    assert!(asked.iter().all(|it| it.as_ref().unwrap() == first), "{asked:?}");
    assert_eq!(backend.announcements(None, None).await.unwrap().announcements.len(), 1);
    let Err(ApiError::Problem(problem)) = backend.announce(&request("Other"), Some("k")).await else {
        panic!("refused")
    };
    assert_eq!((problem.status, problem.code.as_str()), (422, "idempotency_key_reused"));
    // The same key of a message is independent.
    let message = world.post(&serde_json::json!({"audiences": ["alice"], "alert": "Hello"}), "k").await;
    assert_eq!(message.status, 202);
    assert_ne!(message.json()["requestId"], first.request_id.as_str());

    // Two that are announced at the same moment have two numbers, and each names the one before it.
    let many = futures_util::future::join_all((0..8).map(|n| world.announce(["a", "b"][n % 2], |_| {}))).await;
    let mut numbers: Vec<_> = many.iter().map(|it| it.number).collect();
    numbers.sort_unstable();
    let mut socket = world.online("bob", "b").await;
    let (found, _) = socket.announcements(first.number).await;
    assert_eq!(found.iter().map(|it| it.number).collect::<Vec<_>>(), numbers);
    let listed = world.backend().announcements(None, Some(numbers[3])).await.unwrap();
    assert_eq!(listed.announcements.len(), 4, "{listed:?}");
    assert_eq!(listed.next, None);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_many_is_followed_by_the_next() {
    let world = World::start().await;
    world.set_event_source("FanoutFunction", false).await;
    let (count, page) = (53, tidings_wire::limits::ANNOUNCEMENT_PAGE);
    for n in 0..count {
        world.announce(&n.to_string(), |_| {}).await;
    }
    let identity = world.device("alice", "a").await;
    let mut socket = world.socket(&identity).await;
    let (found, end) = socket.announcements(0).await;
    assert_eq!((found.len(), end.more, end.number), (page, true, found.last().unwrap().number));
    let (found, end) = socket.announcements(end.number).await;
    assert_eq!((found.len(), end.more), (count - page, false));

    let (device, mut events) = Device::open(identity, Options::new(world.twin.socket_url()));
    for n in 0..count {
        assert_eq!(next(&mut events).await, n.to_string(), "each once, in order");
    }
    device.close().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_one_after_a_quiet_time_is_no_gap() {
    let world = World::start().await;
    // An announcement of yesterday that has expired: only the head of the log remembers it.
    let yesterday = u64::try_from(tidings_wire::Timestamp::now().0).unwrap() - 86_400_000;
    let text = |text: String| aws_sdk_dynamodb::types::AttributeValue::S(text);
    let number = |number: u64| aws_sdk_dynamodb::types::AttributeValue::N(number.to_string());
    let heads = ["android", "ios", "pc", "web"].map(|platform| (platform.to_owned(), number(yesterday)));
    let table = world.table("TIDINGS_DIRECTORY_TABLE");
    let head = world.dynamodb().put_item().table_name(table).item("pk", text(format!("announcements#{APP}|")));
    let head = head.item("sk", text("head".to_owned())).item("head", number(yesterday));
    let heads = aws_sdk_dynamodb::types::AttributeValue::M(heads.into());
    head.item("heads", heads).send().await.unwrap();

    let mut socket = world.online("alice", "a").await;
    let (found, end) = socket.announcements(0).await;
    assert!(found.is_empty() && end.after == 0 && end.number > yesterday, "{end:?}");
    world.announce("News", |_| {}).await;
    let came = socket.announcement().await;
    assert_eq!(came.after, yesterday);
    assert!(came.after <= end.number && end.number < came.number, "shown without a question: {came:?}, {end:?}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_is_lost_is_noticed_at_the_next_one() {
    let world = World::start().await;
    let identity = world.device("alice", "a").await;
    let (device, mut events) = Device::open(identity, Options::new(world.twin.socket_url()));
    while !matches!(events.next().await, Some(Event::Synced(_))) {}
    let faults = world.twin.faults();
    let lost =
        faults.add(Rule::new(Fault::AcceptedThoughDead).function("FanoutFunction").operation("PostToConnection"));
    world.announce("First", |_| {}).await;
    eventually("the post is lost", async || faults.hits(lost) > 0).await;
    world.idle().await;
    faults.clear();
    world.announce("Second", |_| {}).await;
    assert_eq!([next(&mut events).await, next(&mut events).await], ["First", "Second"]);
    device.close().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_connection_is_retried_and_one_that_is_gone_is_pruned() {
    let world = World::start().await;
    let mut alice = world.online("alice", "a").await;
    let mut bob = world.online("bob", "b").await;
    let faults = world.twin.faults();
    let busy = Rule::new(Fault::Throttle).function("FanoutFunction").operation("PostToConnection");
    // More often than the SDK tries one post.
    let busy = faults.add(busy.times(3));
    world.announce("First", |_| {}).await;
    assert_eq!(alice.announcement().await.content.alert.as_deref(), Some("First"));
    assert_eq!(bob.announcement().await.content.alert.as_deref(), Some("First"));
    assert_eq!(faults.hits(busy), 3);
    world.idle().await;
    for socket in [&mut alice, &mut bob] {
        socket.ping().await;
    }

    let user = World::user("alice");
    let gone = Rule::new(Fault::GoneThoughDelivered).function("FanoutFunction").operation("PostToConnection");
    let gone = faults.add(gone.times(2));
    world.announce("Second", |_| {}).await;
    let left = async |alias: &str| {
        world.stores().users.view(&World::user(alias), tidings_wire::Timestamp::now()).await.unwrap()
    };
    eventually("both are pruned", async || {
        left(&user.alias).await.connections.is_empty() && left("bob").await.connections.is_empty()
    })
    .await;
    assert_eq!(faults.hits(gone), 2);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_die_in_the_middle_of_a_push_lose_no_device() {
    let world = World::with(|options| {
        options.event_sources.retry_after = Some(std::time::Duration::from_millis(100));
    })
    .await;
    let mut devices = Vec::new();
    for n in 0..24 {
        let identity = world.device(&format!("user{n}"), &format!("token{n}")).await;
        devices.push(Device::open(identity, Options::new(world.twin.socket_url())));
    }
    for (_, events) in &mut devices {
        while !matches!(events.next().await, Some(Event::Synced(_))) {}
    }
    let faults = world.twin.faults();
    let died = Rule::new(Fault::KillAfter).function("FanoutFunction").operation("PostToConnection");
    let died = faults.add(died.times(5));
    let count = 4;
    for n in 0..count {
        world.announce(&n.to_string(), |_| {}).await;
    }
    for (device, events) in &mut devices {
        for n in 0..count {
            assert_eq!(next(events).await, n.to_string(), "each once, in order");
        }
        device.close().await;
        while let Some(event) = events.next().await {
            assert!(!matches!(event, Event::Announcement(_)), "no announcement comes twice: {event:?}");
        }
    }
    assert_eq!(faults.hits(died), 5);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_of_more_than_a_page_is_pushed_to_the_end() {
    let world = World::start().await;
    let stores = world.stores();
    let now = tidings_wire::Timestamp::now();
    // More connections in each shard than one page, all of them gone: each is posted to once, and pruned.
    let tenant = World::user("x").tenant();
    let mut socket = world.online("zoe", "z").await;
    let device = socket.identity.id().parse().unwrap();
    let connection = |n: usize| tidings_domain::Connection {
        id: format!("gone-{n}").parse().unwrap(),
        device: tidings_domain::DeviceId::clone(&device),
        generation: 1,
        key_version: 1,
        platform: Platform::Web.into(),
        connected: now,
        lease: now.plus_seconds(600),
    };
    let shard = tidings_domain::announcement::shard(&connection(0).id);
    let same: Vec<_> =
        (0..).map(connection).filter(|it| tidings_domain::announcement::shard(&it.id) == shard).take(530).collect();
    let record = |connection: tidings_domain::Connection| {
        let stores = stores.clone();
        async move {
            let jti = connection.id.to_string();
            stores.connections.connect(&World::user("alice"), &connection, &jti, now).await.unwrap();
        }
    };
    futures_util::stream::iter(same).for_each_concurrent(16, record).await;
    world.announce("Hello", |_| {}).await;
    socket.announcement().await;
    eventually("all of them were posted to", async || {
        let (left, more) = stores.connections.connected(&tenant, shard, None, 100).await.unwrap();
        more.is_none() && left.iter().all(|target| target.user.alias == "zoe")
    })
    .await;
    let queues = world.control(Method::GET, "/_twin/queues", None).await;
    let dead = queues.as_array().unwrap().iter().filter(|queue| queue["name"].as_str().unwrap().contains("FanoutDead"));
    assert!(dead.clone().all(|queue| queue["visible"] == 0) && dead.count() == 1, "{queues}");
    world.end().await;
}
