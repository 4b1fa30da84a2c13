//! Watchers of a running soak: the trails, the outbox, the dead letters.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sam_twin::client::Method;
use serde_json::Value;
use tidings_wire::trail::State;
use tokio::time::Instant;

use super::check::{all_settled, begun};
use super::history::Item;
use super::world::World;
use sam_twin::cli::failure::Failure;
use sam_twin::cli::output;

/// The longest pause between two reads of a trail.
const LONGEST_LOOK: Duration = Duration::from_secs(5);

/// Reads trails as they are due until the soak is over.
pub(crate) async fn trails(world: Arc<World>) {
    while !world.stop.is_cancelled() {
        let Some((next, index)) = world.waiting.take() else {
            world.pause(Duration::from_millis(20)).await;
            continue;
        };
        if read(&world, index).await {
            world.progress.settled.fetch_add(1, Ordering::Relaxed);
        } else {
            world.waiting.put(next, (next * 3 / 2).min(LONGEST_LOOK), index);
        }
    }
}

/// Reads one trail and records it; returns whether every recipient is settled.
pub(crate) async fn read(world: &World, index: usize) -> bool {
    let id = world.log().sends[index].accepted.as_ref().map(|accepted| accepted.answer.request_id.clone());
    let Some(id) = id else { return false };
    let Ok(trail) = world.backend.trail(&id).await else {
        // Not there yet, or a fault: the trail is read again, and the checks report a missing one.
        return false;
    };
    let settled = all_settled(&trail);
    let mut log = world.log();
    for recipient in trail.recipients.iter().filter(|recipient| recipient.state == State::Confirmed) {
        log.begun_when_confirmed.entry((index, recipient.alias.clone())).or_insert_with(|| begun(recipient));
    }
    log.trails.insert(index, Arc::new(trail));
    settled
}

/// Fetches what was sent since the last time.
pub(crate) async fn outbox(world: &World) -> Result<(), Failure> {
    let after = world.log().outbox.last_key_value().map_or(0, |(number, _)| *number);
    let url = world.aws(&format!("/_twin/outbox?after={after}"));
    let items: Vec<Item> = world.control.json(Method::GET, &url).await?;
    world.log().outbox.extend(items.into_iter().map(|item| (item.number, item)));
    Ok(())
}

/// Copies the outbox while the soak runs, because the twin keeps only its newest items.
pub(crate) async fn keep_outbox(world: Arc<World>) {
    while world.pause(Duration::from_secs(2)).await {
        // A twin that restarts is asked in the next round.
        let _ = outbox(&world).await;
    }
}

/// Shows the progress on standard error: every second on a terminal, every ten seconds elsewhere.
pub(crate) async fn show_progress(world: Arc<World>) {
    let is_watched = std::io::stderr().is_terminal();
    let every = if is_watched { 1 } else { 10 };
    let (began, mut last) = (Instant::now(), 0);
    while world.pause(Duration::from_secs(every)).await {
        let accepted = world.progress.accepted();
        let settled = world.progress.settled.load(Ordering::Relaxed);
        let (total, seconds) = (world.plan.messages.len(), began.elapsed().as_secs());
        let pace = (accepted - last).checked_div(usize::try_from(every).unwrap_or(1)).unwrap_or(0);
        let line = format!("{seconds:>5} s  {accepted} of {total} accepted ({pace}/s), {settled} seen settled");
        if is_watched {
            output::progress(line);
        } else {
            output::note(line);
        }
        last = accepted;
    }
    if is_watched {
        output::note("");
    }
}

/// Names of the queues that have dead letters, with how many.
pub(crate) async fn dead_letters(world: &World) -> Result<Vec<(String, u64)>, Failure> {
    let queues: Value = world.control.json(Method::GET, &world.aws("/_twin/queues")).await?;
    Ok(dead(&queues))
}

fn dead(queues: &Value) -> Vec<(String, u64)> {
    let entries: Vec<(String, &Value)> = match queues {
        Value::Object(queues) => queues.iter().map(|(name, counts)| (name.clone(), counts)).collect(),
        Value::Array(queues) => {
            queues.iter().map(|queue| (queue["name"].as_str().unwrap_or_default().to_owned(), queue)).collect()
        }
        _ => Vec::new(),
    };
    let dead = entries.into_iter().filter(|(name, _)| name.to_lowercase().contains("dead"));
    let total = |counts: &Value| counts.as_object().map_or(0, |counts| counts.values().filter_map(Value::as_u64).sum());
    dead.map(|(name, counts)| (name, total(counts))).filter(|(_, count)| *count > 0).collect()
}

/// Moves all dead letters back to where they came from.
pub(crate) async fn redrive(world: &World) -> Result<(), Failure> {
    for (queue, _) in dead_letters(world).await? {
        let url = world.aws(&format!("/_twin/queues/{queue}/redrive"));
        let moved: Value = world.control.json(Method::POST, &url).await?;
        world.progress.redriven.fetch_add(moved["moved"].as_u64().unwrap_or(0), Ordering::Relaxed);
    }
    Ok(())
}

/// Adds up the injected faults; a twin that is killed loses its counts.
pub(crate) async fn faults(world: &World) -> Result<(), Failure> {
    let faults: Value = world.control.json(Method::GET, &world.aws("/_twin/faults")).await?;
    let injected = faults["injected"].as_object().cloned().unwrap_or_default();
    let mut log = world.log();
    for (kind, count) in injected {
        *log.faults.entry(kind).or_default() += count.as_u64().unwrap_or(0);
    }
    Ok(())
}
