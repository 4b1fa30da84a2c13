//! The senders: backends that retry until an answer is final.

use std::sync::Arc;
use std::time::Duration;

use tidings_client::ApiError;
use tidings_wire::send::FallbackStep;
use tidings_wire::{AnnounceRequest, Content, SendAnswer, SendRequest, Timestamp};
use tokio_util::task::TaskTracker;

use super::history::{Accepted, Cancelled, Repeat};
use super::plan::Kind;
use super::world::{Progress, World};

/// Pause before a retry after a transient failure.
const AGAIN: Duration = Duration::from_millis(150);

/// Sends the messages of one sender, one after the other, each until it is accepted. Later actions on a message
/// (cancelling it, repeating it) are left to `later`.
pub(crate) async fn run(world: Arc<World>, sender: usize, later: TaskTracker) {
    let messages = world.plan.messages.iter().enumerate();
    let mine: Vec<usize> = messages.filter(|(_, plan)| plan.sender == sender).map(|(index, _)| index).collect();
    for index in mine {
        let request = request(&world, index, Timestamp::now());
        world.log().sends[index].send_at = request.send_at;
        if world.stop.is_cancelled() {
            return;
        }
        let first = match &world.plan.messages[index].kind {
            Kind::Repeated { .. } => {
                let all = tokio::join!(
                    until_final(&world, index, &request),
                    until_final(&world, index, &request),
                    until_final(&world, index, &request)
                );
                note_repeat(&world, index, false, all.1);
                note_repeat(&world, index, false, all.2);
                all.0
            }
            _ => until_final(&world, index, &request).await,
        };
        match first {
            Ok(answer) => {
                world.log().sends[index].accepted = Some(Accepted { at: Timestamp::now(), answer });
                world.progress.one_more_accepted();
                world.waiting.accepted(&world.plan, index);
                later.spawn(follow_up(Arc::clone(&world), index, request));
            }
            Err((status, code)) => {
                world.log().sends[index].refused = Some(format!("{status} {code}"));
            }
        }
    }
}

/// The answer: the request is repeated under the same key until it is accepted or finally refused.
async fn until_final(world: &World, index: usize, request: &SendRequest) -> Result<SendAnswer, (u16, String)> {
    let key = world.plan.key(index);
    loop {
        let error = match world.backend.send(request, Some(&key)).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        if !error.is_retryable() {
            return Err(match error {
                ApiError::Problem(problem) => {
                    let fields: Vec<_> =
                        problem.errors.iter().map(|at| format!("{}: {}", at.field, at.detail)).collect();
                    (problem.status, format!("{} {}", problem.code, fields.join("; ")))
                }
                ApiError::Unexpected { status, excerpt, .. } => (status.as_u16(), excerpt),
                other => (0, other.to_string()),
            });
        }
        Progress::count(&world.progress.retries);
        if !world.pause(AGAIN).await {
            return Err((0, format!("not accepted before the end: {error}")));
        }
    }
}

fn note_repeat(world: &World, index: usize, other_body: bool, answer: Result<SendAnswer, (u16, String)>) {
    world.log().sends[index].repeats.push(Repeat { other_body, answer });
}

async fn follow_up(world: Arc<World>, index: usize, request: SendRequest) {
    match world.plan.messages[index].kind {
        Kind::Repeated { later_ms } => {
            world.pause(Duration::from_millis(later_ms)).await;
            let answer = until_final(&world, index, &request).await;
            note_repeat(&world, index, false, answer);
        }
        Kind::OtherBody => {
            let mut other = request;
            other.content.alert = Some("another body".to_owned());
            let answer = until_final(&world, index, &other).await;
            note_repeat(&world, index, true, answer);
        }
        Kind::Cancelled { after_ms, .. } => {
            world.pause(Duration::from_millis(after_ms)).await;
            let cancelled = cancel(&world, index).await;
            world.log().sends[index].cancelled = cancelled;
        }
        _ => {}
    }
}

/// Cancels until there is a final answer; `None` if the soak ended before.
async fn cancel(world: &World, index: usize) -> Option<Cancelled> {
    let id = world.log().sends[index].accepted.as_ref().map(|accepted| accepted.answer.request_id.clone())?;
    loop {
        match world.backend.cancel(&id).await {
            Ok(_) => return Some(Cancelled::Yes(Timestamp::now())),
            Err(error) if error.is_retryable() => {}
            Err(ApiError::Problem(problem)) => match problem.code.as_str() {
                // If the first answer was lost, the repetition is answered with "already".
                "already_cancelled" => return Some(Cancelled::Yes(Timestamp::now())),
                "message_settled" => return Some(Cancelled::TooLate),
                code => return Some(Cancelled::Refused(problem.status, code.to_owned())),
            },
            Err(other) => return Some(Cancelled::Refused(0, other.to_string())),
        }
        Progress::count(&world.progress.retries);
        if !world.pause(AGAIN).await {
            return None;
        }
    }
}

/// Makes all announcements of the plan except the last, each until it is accepted.
pub(crate) async fn announce(world: Arc<World>) {
    let last = world.plan.announcements.len() - 1;
    for index in 0..last {
        world.progress.reached(world.plan.announcements[index].at).await;
        if announce_one(&world, index).await.is_err() {
            return;
        }
    }
}

/// Makes one announcement, until it is accepted.
///
/// # Errors
/// The final refusal, or the end of the soak.
pub(crate) async fn announce_one(world: &World, index: usize) -> Result<(), ApiError> {
    let request = AnnounceRequest {
        platform: Some(world.plan.announcements[index].platform),
        content: Content { alert: Some(world.plan.news(index)), ..Content::default() },
        ..AnnounceRequest::default()
    };
    loop {
        match world.backend.announce(&request, Some(&world.plan.news_key(index))).await {
            Ok(answer) => {
                world.log().announced[index] = Some(answer.number);
                return Ok(());
            }
            Err(error) if error.is_retryable() && world.pause(AGAIN).await => Progress::count(&world.progress.retries),
            Err(error) => return Err(error),
        }
    }
}

/// The request of a message of the plan.
fn request(world: &World, index: usize, now: Timestamp) -> SendRequest {
    let plan = &world.plan.messages[index];
    let token = world.plan.token(index);
    let audiences = plan.recipients.iter().map(|user| world.plan.users[*user].alias.clone()).collect();
    let mut request = SendRequest {
        audiences,
        content: Content { alert: Some(token.clone()), ..Content::default() },
        priority: plan.priority,
        // To the second, as the service stores it.
        send_at: plan.kind.ahead().map(|ahead| Timestamp(now.plus_seconds(ahead).seconds() * 1_000 + 1_000)),
        ..SendRequest::default()
    };
    match &plan.kind {
        Kind::Plain | Kind::Several | Kind::Bulk | Kind::Scheduled { .. } => {}
        Kind::Repeated { .. } | Kind::OtherBody => {}
        Kind::Fallback(steps) => {
            let steps = steps.iter().map(|(channel, after)| FallbackStep { channel: *channel, after: Some(*after) });
            request.fallback = Some(steps.collect());
            request.sms_message = Some(format!("{token} by SMS"));
        }
        Kind::NeedConfirm => request.content.need_confirm = Some(true),
        Kind::Fleeting { ttl } => (request.persist, request.ttl) = (Some(false), Some(*ttl)),
        Kind::Short { ttl } => request.ttl = Some(*ttl),
        Kind::Collapse { key } => request.collapse_key = Some(key.clone()),
        Kind::Cancelled { sms_after, .. } => {
            request.fallback = sms_after
                .map(|after| vec![FallbackStep { channel: tidings_wire::send::Channel::Sms, after: Some(after) }]);
        }
        Kind::OnePlatform(platform) => request.platform = Some(*platform),
    }
    request
}
