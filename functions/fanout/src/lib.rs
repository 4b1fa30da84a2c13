//! The `fanout` queue: pushes an announcement to all open connections of a tenant, one page of one shard at a time.
//!
//! A push is fast, but not reliable: devices request announcements with every `sync`, and each announcement names the
//! one before it, so that a device detects a gap. Parts may therefore be pushed twice, and a connection that cannot be
//! posted to is given up after a minute. Errors other than those of posts fail no part.

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use futures_util::stream::{self, StreamExt};
use tidings_domain::{
    Announcement, Timestamp,
    announcement::{self, Fanout, Part, Target},
    delivery::PostOutcome,
};
use tidings_gateway::Gateway;
use tidings_lambda::{
    Error,
    batch::{self, Batches, Record},
    logs,
};
use tidings_service::{Fanouts, Sealer};
use tidings_store::{Announcements, Connections};

/// Connections of one page.
const PAGE: usize = 500;

/// Posts in parallel. With the template's few workers and ten milliseconds a post, a push stays below 70 % of the ten
/// thousand requests a second that an account has for all its APIs.
const POSTS_AT_ONCE: usize = 16;

/// The handler's dependencies.
#[derive(Debug)]
pub struct Deps {
    batches: Batches,
    connections: Connections,
    announcements: Announcements,
    fanout: Fanouts,
    gateway: Gateway,
    sealer: Sealer,
}

/// Runs the function until its process ends.
///
/// # Errors
/// If the environment lacks a variable, or the Runtime API cannot be reached.
pub async fn run() -> Result<(), Error> {
    let sdk = tidings_lambda::start()?;
    let deps = Deps {
        batches: sdk.batches(),
        connections: sdk.connections()?,
        announcements: sdk.announcements()?,
        fanout: sdk.fanouts()?,
        gateway: sdk.gateway()?,
        sealer: sdk.sealer().await?,
    };
    batch::serve(|event, deadline| handle(&deps, event, deadline)).await
}

/// Processes a batch; reports exactly the parts that must be received again.
///
/// # Errors
/// If the event is malformed.
pub async fn handle(deps: &Deps, event: SqsEvent, deadline: Timestamp) -> Result<SqsBatchResponse, Error> {
    deps.batches.each(event, deadline, |record: Record<Fanout>| push(deps, record)).await
}

async fn push(deps: &Deps, Record { payload, trace, .. }: Record<Fanout>) -> Result<(), Error> {
    let Fanout { tenant, number, part, more } = payload;
    let now = Timestamp::now();
    let found = deps.announcements.get(&tenant, number, now).await?;
    let Some(announcement) = found.filter(|it| it.is_alive(now)) else {
        tracing::info!(number, "announcement is over");
        return Ok(());
    };
    let (targets, next, attempt) = match part {
        Part::Page { shard, after } => {
            let (targets, last) = deps.connections.connected(&tenant, shard, after.as_ref(), PAGE).await?;
            (targets, last.map(|last| Part::Page { shard, after: Some(last) }), 0)
        }
        Part::Again { targets, attempt } => (targets, None, attempt.saturating_add(1)),
    };
    let Posted { accepted, again } = post(deps, &announcement, &targets).await;
    let (id, count, failed) = (&announcement.id, targets.len(), again.len());
    tracing::info!(announcement = %id, targets = count, accepted, again = failed, "page pushed");
    if accepted > 0 {
        // The count is for people; pushing the page again would not improve it.
        let counted = deps.announcements.count_posts(&tenant, number, accepted).await;
        counted.unwrap_or_else(|error| tracing::warn!(error = logs::chain(&error), "posts were not counted"));
    }
    // Last, and in one request: a part that is received again after it has queued the next ones would queue them twice.
    let mut follow = Vec::from_iter(next.map(|next| (next, 0)));
    if let (false, Some(pause)) = (again.is_empty(), announcement::again_in(attempt)) {
        follow.push((Part::Again { targets: again, attempt }, pause));
    }
    let piece = |(part, delay)| (Fanout { tenant: tenant.clone(), number, part, more: more.clone() }, delay);
    let follow: Vec<_> = follow.into_iter().map(piece).collect();
    if !follow.is_empty() {
        deps.fanout.send(&follow, trace.as_deref()).await?;
    }
    Ok(())
}

/// The outcome of the posts of one page.
#[derive(Debug, Default)]
struct Posted {
    accepted: u64,
    /// Connections that could not be posted to at this moment.
    again: Vec<Target>,
}

async fn post(deps: &Deps, announcement: &Announcement, targets: &[Target]) -> Posted {
    let wanted = targets.iter().filter(|target| announcement.is_for(target.platform));
    let mut outcomes = stream::iter(wanted)
        .map(|target| async move { (target, post_to(deps, announcement, target).await) })
        .buffer_unordered(POSTS_AT_ONCE);
    let mut posted = Posted::default();
    while let Some((target, outcome)) = outcomes.next().await {
        match outcome {
            PostOutcome::Accepted => posted.accepted += 1,
            PostOutcome::Retry => posted.again.push(target.clone()),
            PostOutcome::Gone | PostOutcome::Fault => {}
        }
    }
    posted
}

async fn post_to(deps: &Deps, announcement: &Announcement, target: &Target) -> PostOutcome {
    let frame = announcement.frame(announcement.after.of(target.platform), &target.user, &target.device);
    let sealed = match deps.sealer.seal(&frame, target).await {
        Ok(sealed) => sealed,
        // For example, its root key is gone: no device could open the frame, and the others must not wait.
        Err(error) => {
            tracing::error!(error = logs::chain(&error), "an announcement could not be sealed");
            return PostOutcome::Fault;
        }
    };
    let outcome = deps.gateway.post(&target.connection, sealed).await;
    if outcome == PostOutcome::Gone {
        // The next post to it finds it gone as well: no reason to push the page again.
        let pruned = deps.connections.prune(&target.user, &target.connection).await;
        pruned.unwrap_or_else(|error| tracing::warn!(error = logs::chain(&error), "a connection was not pruned"));
    }
    outcome
}
