//! The story's checks of a message's trail.

use tidings_client::Backend;
use tidings_wire::Trail;
use tidings_wire::trail::{self, State};

use crate::cli::demo::outbox::Sent;
use crate::cli::demo::watch::{Seen, until};
use crate::cli::target;
use sam_twin::cli::failure::Failure;

/// The trail, as soon as its one recipient is in `state`.
pub(super) async fn trail_in(backend: &Backend, seen: &Seen, id: &str, state: State) -> Result<Trail, Failure> {
    until(async || {
        let trail = backend.trail(id).await.map_err(target::failure)?;
        seen.note(story_of(&trail));
        let reached = trail.recipients.len() == 1 && trail.recipients[0].state == state;
        Ok(reached.then_some(trail))
    })
    .await
}

pub(super) fn events(trail: &Trail) -> impl Iterator<Item = &trail::Transition> {
    trail.recipients.iter().flat_map(|recipient| &recipient.transitions)
}

/// The steps that a provider accepted, with the time in milliseconds, in order.
pub(super) fn accepted_steps(trail: &Trail) -> Vec<(usize, i64)> {
    let accepted = events(trail).filter(|at| at.event == trail::Event::StepAccepted);
    accepted.filter_map(|at| Some((at.step?, at.at.0))).collect()
}

/// Whether exactly one item more than before is in the outbox for this story. If the outbox cannot be read, the
/// provider's id in the trail serves instead.
pub(super) async fn arrived(
    backend: &Backend,
    seen: &Seen,
    id: &str,
    step: usize,
    before: Option<&[Sent]>,
    now: Option<&[Sent]>,
    matching: impl Fn(&Sent) -> bool,
) -> Result<Option<String>, Failure> {
    let trail = backend.trail(id).await.map_err(target::failure)?;
    seen.note(story_of(&trail));
    let accepted = events(&trail).find(|at| at.event == trail::Event::StepAccepted && at.step == Some(step));
    let provider = accepted.and_then(|at| at.code.clone()).map(|id| format!("(provider's id {id})"));
    let (Some(before), Some(now)) = (before, now) else { return Ok(provider) };
    let count = |sent: &[Sent]| sent.iter().filter(|sent| matching(sent)).count();
    match count(now).saturating_sub(count(before)) {
        0 => Ok(None),
        1 => Ok(provider),
        more => Err(Failure::new(format!("it was sent {more} times"))),
    }
}

/// A trail in one line.
pub(super) fn story_of(trail: &Trail) -> String {
    let recipients = trail.recipients.iter().map(|recipient| {
        let events: Vec<_> = recipient.transitions.iter().map(|at| at.event.as_str()).collect();
        format!("{}: {}", recipient.state, events.join(", "))
    });
    recipients.collect::<Vec<_>>().join("; ")
}
