//! One soak from its beginning to its end: a twin, its devices and senders, the faults, and the history.

use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use sam_twin::client::Method;
use serde_json::Value;
use tidings_client::{Backend, Identity};
use tidings_wire::trail::State;
use tidings_wire::{PushAddress, RegisterRequest, Timestamp};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::history::History;
use super::plan::{Plan, What};
use super::report::Report;
use super::twin::{Twin, TwinOptions};
use super::world::{Progress, World};
use super::{check, device, mailboxes, send, watch};
use sam_twin::cli::failure::{Context, Failure};
use sam_twin::stack::interruption;

/// How many trails are read at once while messages are sent, and afterwards.
const LOOKING: usize = 3;
const LOOKING_AFTERWARDS: usize = 12;
/// How many devices register at once.
const REGISTERING: usize = 8;
/// How many devices connect for the first time at once.
const CONNECTING: usize = 8;
/// How long devices may take to show every message after all are settled.
const SHOWN_WITHIN: Duration = Duration::from_secs(30);
/// After the last acceptance the last step of a chain is due this much later at most.
const LAST_STEP: Duration = Duration::from_secs(8);
/// How long chains may take to come to their ends: each of their steps may wait for a device that has come back, or be
/// put off.
const CHAINS_WITHIN: Duration = Duration::from_secs(150);

/// How often the functions' code is exchanged: an even number, so that they end with their own.
const EXCHANGES: usize = 6;

/// The faults of a soak.
#[derive(Debug, Clone)]
pub(crate) struct Orders {
    pub(crate) senders: usize,
    pub(crate) kills: usize,
    /// The artefacts of another version, which take over and hand back.
    pub(crate) rollback: Option<PathBuf>,
    pub(crate) faults: Option<String>,
    pub(crate) is_calm: bool,
    /// `None`: the interval that the service requests.
    pub(crate) ping_every: Option<Duration>,
    pub(crate) patience: Duration,
    pub(crate) twin: TwinOptions,
}

/// Runs one soak in `folder`.
pub(crate) async fn run(plan: Plan, orders: &Orders, folder: &Path) -> Result<Report, Failure> {
    let mut twin = Twin::start(folder, orders.twin.clone()).await?;
    let session = twin.session().clone();
    let backend = Backend::new(&session.api_url, &session.app_key)?;
    let world = Arc::new(World::new(plan, session, backend));
    let tasks = TaskTracker::new();
    let interrupted = interruption()?;
    let report = tokio::select! {
        report = soak(&world, orders, &mut twin, &tasks) => report,
        () = interrupted => Err(Failure::new("interrupted")),
    };
    world.stop.cancel();
    tasks.close();
    twin.stop().await;
    // Requests to the stopped twin may fail.
    let _ = tokio::time::timeout(Duration::from_secs(5), tasks.wait()).await;
    report
}

async fn soak(world: &Arc<World>, orders: &Orders, twin: &mut Twin, tasks: &TaskTracker) -> Result<Report, Failure> {
    let identities = register(world).await?;
    let mut devices = Vec::with_capacity(identities.len());
    let connecting = Arc::new(Semaphore::new(CONNECTING));
    for (index, identity) in identities.into_iter().enumerate() {
        let ready = Arc::clone(&connecting).acquire_owned().await?;
        let (order, ordered) = mpsc::unbounded_channel();
        devices.push(order);
        tasks.spawn(device::live(Arc::clone(world), index, identity, orders.ping_every, ordered, ready));
    }
    // All permits are back: every device is connected.
    drop(connecting.acquire_many(u32::try_from(CONNECTING).unwrap_or(u32::MAX)).await?);
    for _ in 0..LOOKING {
        tasks.spawn(watch::trails(Arc::clone(world)));
    }
    tasks.spawn(watch::keep_outbox(Arc::clone(world)));
    tasks.spawn(watch::show_progress(Arc::clone(world)));

    let (began, later, senders) = (Instant::now(), TaskTracker::new(), TaskTracker::new());
    for sender in 0..orders.senders {
        senders.spawn(send::run(Arc::clone(world), sender, later.clone()));
    }
    senders.spawn(send::announce(Arc::clone(world)));
    senders.close();
    tokio::select! {
        () = sent(&senders, &later) => {}
        failure = kill_repeatedly(world, orders, twin) => return Err(failure),
        () = direct(world, &devices) => {}
    }
    let sending = began.elapsed();
    for device in &devices {
        // A device that gave up receives no order; its log has the reason.
        let _ = device.send(What::Return);
    }
    tokio::select! {
        settled = settle(world, orders, tasks) => settled?,
        failure = twin.ended() => return Err(failure),
    }
    let history = gather(world, orders).await?;
    Ok(Report::new(history, world, sending, began.elapsed()))
}

/// Waits until everything is sent, and the later repetitions and cancels are done.
async fn sent(senders: &TaskTracker, later: &TaskTracker) {
    senders.wait().await;
    later.close();
    later.wait().await;
}

/// Registers every device, and repeats requests that a fault has struck.
async fn register(world: &World) -> Result<Vec<Identity>, Failure> {
    let registered = stream::iter(0..world.plan.devices.len()).map(async |index| {
        let device = &world.plan.devices[index];
        let user = &world.plan.users[device.user];
        let request = RegisterRequest {
            alias: user.alias.clone(),
            app_id: world.session.app_id.clone(),
            platform: device.platform,
            native_token: format!("soak-{}-{index}", world.plan.seed),
            mobile: user.mobile.clone(),
            email: user.email.clone(),
            tag: None,
            tenant_code: None,
            client_version: None,
            locale: None,
            time_zone: None,
            push: world.plan.chains.then(|| PushAddress::Fcm { token: world.plan.push_token(index) }),
        };
        loop {
            match world.backend.register(&request).await {
                Ok(answer) => {
                    world.log().devices[index].id.clone_from(&answer.id);
                    return Ok(Identity::from_answer(&answer)?);
                }
                Err(error) if error.is_retryable() => {
                    Progress::count(&world.progress.retries);
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                Err(error) => return Err(Failure::from(error)),
            }
        }
    });
    registered.buffered(REGISTERING).try_collect().await
}

/// Sends the devices the plan's orders as messages are accepted. Does not end by itself.
async fn direct(world: &World, devices: &[mpsc::UnboundedSender<What>]) {
    for next in &world.plan.moves {
        world.progress.reached(next.at).await;
        // A device that gave up receives no order; its log has the reason.
        let _ = devices[next.device].send(next.what);
    }
    std::future::pending::<()>().await;
}

/// Exchanges the functions' code while messages are sent: for that of another version, and back. What one has written,
/// in tables and queues, the other one goes on with. Ends only with a failure.
async fn exchange(world: &World, other: &Path, twin: &mut Twin) -> Failure {
    for number in 1..=EXCHANGES {
        let at = world.plan.messages.len() * number / (EXCHANGES + 1);
        tokio::select! {
            () = world.progress.reached(at) => {}
            failure = twin.ended() => return failure,
        }
        let (method, body) = match number % 2 {
            0 => (Method::DELETE, String::new()),
            _ => (Method::PUT, serde_json::json!({"folder": other}).to_string()),
        };
        let asked = world.control.request(method, &world.aws("/_twin/artefacts"), &[], body).await;
        match asked {
            Ok(answer) if answer.status.is_success() => Progress::count(&world.progress.exchanges),
            Ok(answer) => {
                let told = String::from_utf8_lossy(&answer.body).into_owned();
                return Failure::new(format!("the functions were not exchanged: {told}"));
            }
            Err(error) => return Failure::from(error),
        }
    }
    twin.ended().await
}

/// Kills the twin as often as ordered, spread over the messages. Ends only with a failure.
async fn kill_repeatedly(world: &World, orders: &Orders, twin: &mut Twin) -> Failure {
    if let Some(other) = &orders.rollback {
        return exchange(world, other, twin).await;
    }
    for kill in 1..=orders.kills {
        let at = world.plan.messages.len() * kill / (orders.kills + 1);
        tokio::select! {
            () = world.progress.reached(at) => {}
            failure = twin.ended() => return failure,
        }
        // Counts that cannot be read now are lost with the twin.
        let _ = watch::faults(world).await;
        if let Err(failure) = twin.kill_and_restart().await {
            return failure;
        }
        Progress::count(&world.progress.twins_killed);
    }
    twin.ended().await
}

/// Ends the faults, then waits until every message is settled and every device has shown what it owes. The checks
/// report anything that is missing after the deadline.
async fn settle(world: &Arc<World>, orders: &Orders, tasks: &TaskTracker) -> Result<(), Failure> {
    if orders.faults.is_some() {
        watch::faults(world).await?;
        world.control.json::<Value>(Method::DELETE, &world.aws("/_twin/faults")).await?;
    }
    for _ in LOOKING..LOOKING_AFTERWARDS {
        tasks.spawn(watch::trails(Arc::clone(world)));
    }
    let (began, accepted) = (Instant::now(), world.progress.accepted());
    while world.progress.settled.load(Ordering::Relaxed) < accepted && began.elapsed() < orders.patience {
        watch::redrive(world).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    send::announce_one(world, world.plan.announcements.len() - 1).await?;
    look_again(world).await;
    let deadline = Instant::now() + SHOWN_WITHIN;
    while Instant::now() < deadline && !check::nothing_owed(&history(world, orders)) {
        watch::redrive(world).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    tokio::time::sleep_until(began + LAST_STEP).await;
    let deadline = Instant::now() + CHAINS_WITHIN;
    while world.plan.chains && Instant::now() < deadline && !check::chains_ended(&history(world, orders)) {
        tokio::time::sleep(Duration::from_secs(1)).await;
        look_again(world).await;
    }
    Ok(())
}

/// Reads every trail that may have changed since it was settled.
async fn look_again(world: &World) {
    let again: Vec<usize> = {
        let log = world.log();
        let is_done = |index: &usize| {
            let confirmed = log
                .trails
                .get(index)
                .is_some_and(|trail| trail.recipients.iter().all(|recipient| recipient.state == State::Confirmed));
            confirmed && !world.plan.messages[*index].kind.changes_when_settled()
        };
        (0..world.plan.messages.len()).filter(|index| !is_done(index)).collect()
    };
    stream::iter(again)
        .for_each_concurrent(LOOKING_AFTERWARDS, async |index| {
            watch::read(world, index).await;
        })
        .await;
}

/// The complete history, at the end.
async fn gather(world: &World, orders: &Orders) -> Result<History, Failure> {
    look_again(world).await;
    watch::outbox(world).await?;
    let aliases: Vec<&str> = world.plan.users.iter().map(|user| user.alias.as_str()).collect();
    let mailboxes = mailboxes::read(&world.session.aws_url, &world.session.app_id, &aliases).await?;
    Ok(History { mailboxes, ..history(world, orders) })
}

/// The history so far, without the mailboxes.
fn history(world: &World, orders: &Orders) -> History {
    let ended = Timestamp::now();
    let log = world.log();
    let mut devices = log.devices.clone();
    devices.iter_mut().for_each(|device| device.offline(ended));
    History {
        plan: Arc::clone(&world.plan),
        sends: log.sends.clone(),
        announced: log.announced.clone(),
        devices,
        trails: log.trails.clone(),
        begun_when_confirmed: log.begun_when_confirmed.clone(),
        mailboxes: Vec::new(),
        outbox: log.outbox.values().cloned().collect(),
        calm: orders.is_calm,
        ended,
    }
}

/// A new folder for one soak, for its owner alone: the keys of the soak's app and devices are in it.
pub(crate) fn folder(seed: u64) -> Result<PathBuf, Failure> {
    let name = std::env::temp_dir().join(format!("tidings-soak-{}-{seed}", std::process::id()));
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    let mut folder = name.clone();
    // A folder that was kept may have the name, because process ids recur.
    for copy in 2.. {
        match builder.create(&folder) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                folder = name.with_added_extension(copy.to_string())
            }
            made => {
                made.context(|| format!("make {}", folder.display()))?;
                break;
            }
        }
    }
    Ok(folder)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn every_soak_has_a_new_folder_that_others_cannot_read() {
        let folders = [super::folder(4_711).unwrap(), super::folder(4_711).unwrap()];
        assert_ne!(folders[0], folders[1]);
        for folder in folders {
            assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700);
            std::fs::remove_dir(folder).unwrap();
        }
    }
}
