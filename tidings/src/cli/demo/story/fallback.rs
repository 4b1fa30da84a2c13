//! A message for which no device is connected: an SMS at once, an email a little later.

use tidings_client::Backend;
use tidings_wire::send::{Channel, FallbackStep};
use tidings_wire::trail::{Event, State};
use tidings_wire::{Content, SendRequest, Trail};

use super::trails::{accepted_steps, arrived, events, story_of, trail_in};
use super::{ALIAS, PARCEL, Story};
use crate::cli::demo::Stage;
use crate::cli::demo::outbox::Sent;
use crate::cli::demo::watch::{Seen, until};
use crate::cli::target;
use sam_twin::cli::failure::Failure;

const PARCEL_SMS: &str = "Parcel here. Reply to no one.";
/// Seconds between the SMS and the email.
const EMAIL_AFTER: u64 = 2;

impl Story {
    /// Sends to a user without a connected device, and follows the chain to its end; returns the message's id.
    pub(super) async fn fall_back(&mut self, stage: &Stage, backend: &Backend) -> Result<String, Failure> {
        let (sms_before, emails_before) = (stage.outbox.sms().await?, stage.outbox.emails().await?);
        let id = self.send_with_chain(backend).await?;
        self.step("no device is connected, and nothing was posted anywhere", async |seen| {
            let trail = until(async || {
                let trail = backend.trail(&id).await.map_err(target::failure)?;
                seen.note(story_of(&trail));
                not_posted(&trail)?;
                let offline = events(&trail).any(|at| at.event == Event::Offline);
                Ok(offline.then_some(trail))
            })
            .await?;
            Ok(((), story_of(&trail)))
        })
        .await?;
        self.step("the SMS is in the outbox", async |seen| {
            let matching = |sent: &Sent| sent.is_to(&stage.mobile) && sent.text == PARCEL_SMS;
            let detail = until(async || {
                let sent = stage.outbox.sms().await?;
                arrived(backend, seen, &id, 0, sms_before.as_deref(), sent.as_deref(), matching).await
            })
            .await?;
            Ok(((), format!("to {}: {PARCEL_SMS:?} {detail}", stage.mobile)))
        })
        .await?;
        self.step("the email follows: later queue, timer, fallback", async |seen| {
            let matching =
                |sent: &Sent| sent.is_to(&stage.email) && (sent.subject.contains(PARCEL) || sent.text.contains(PARCEL));
            let detail = until(async || {
                let sent = stage.outbox.emails().await?;
                arrived(backend, seen, &id, 1, emails_before.as_deref(), sent.as_deref(), matching).await
            })
            .await?;
            Ok(((), format!("to {} {detail}", stage.email)))
        })
        .await?;
        self.step("the trail shows fallback-delivered, both steps accepted", async |seen| {
            let apart = steps_apart(backend, seen, &id).await?;
            Ok(((), format!("{:.1} s apart", apart as f64 / 1_000.0)))
        })
        .await?;
        Ok(id)
    }

    async fn send_with_chain(&mut self, backend: &Backend) -> Result<String, Failure> {
        let [sms, email] = [(Channel::Sms, 0), (Channel::Email, EMAIL_AFTER)]
            .map(|(channel, after)| FallbackStep { channel, after: Some(after) });
        let request = SendRequest {
            audiences: vec![ALIAS.to_owned()],
            content: Content { alert: Some(PARCEL.to_owned()), ..Content::default() },
            sms_message: Some(PARCEL_SMS.to_owned()),
            fallback: Some(vec![sms, email]),
            ..SendRequest::default()
        };
        self.step("the backend sends, with SMS at once and email 2 s later", async |_| {
            let answer = backend.send(&request, None).await.map_err(target::failure)?;
            let detail = format!("request {}", answer.request_id);
            Ok((answer.request_id, detail))
        })
        .await
    }
}

/// Waits until both steps were accepted, in order and with their pause; returns the milliseconds between them.
async fn steps_apart(backend: &Backend, seen: &Seen, id: &str) -> Result<i64, Failure> {
    let trail = until(async || {
        let trail = trail_in(backend, seen, id, State::FallbackDelivered).await?;
        Ok((accepted_steps(&trail).len() == 2).then_some(trail))
    })
    .await?;
    let steps = accepted_steps(&trail);
    let apart = steps[1].1 - steps[0].1;
    if (steps[0].0, steps[1].0) != (0, 1) || apart < i64::try_from(EMAIL_AFTER)? * 1_000 - 100 {
        return Err(Failure::new(format!("the steps are {apart} ms apart: {}", story_of(&trail))));
    }
    not_posted(&trail)?;
    Ok(apart)
}

fn not_posted(trail: &Trail) -> Result<(), Failure> {
    if events(trail).any(|at| matches!(at.event, Event::Posted | Event::Gone)) {
        return Err(Failure::new(format!("it was posted to a closed connection: {}", story_of(trail))));
    }
    Ok(())
}
