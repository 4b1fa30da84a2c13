//! The story itself.

mod fallback;
mod trails;

use std::time::{Duration, Instant};

use tidings_client::{Ack, Backend, Device, DeviceApi, Event, Identity, Options, Received};
use tidings_crypto::app_key::AppKey;
use tidings_crypto::encoding::hex;
use tidings_crypto::{frame, random};
use tidings_wire::action::Position;
use tidings_wire::trail::{self, State};
use tidings_wire::{AnnounceRequest, Content, Platform, RegisterAnswer, RegisterRequest, SendRequest};

use self::trails::{events, story_of, trail_in};
use super::Stage;
use super::watch::{Seen, Watched, until};
use crate::cli::{aws, target};
use sam_twin::cli::failure::Failure;
use sam_twin::cli::output;
use sam_twin::cli::style::{Style, printable};

const ALIAS: &str = "alice";
const HELLO: &str = "Hello from Tidings 👋";
const NEWS: &str = "We are open on Sunday, too";
const PARCEL: &str = "Your parcel is here";

/// The figures of a story that has ended well.
pub(super) struct Completed {
    pub(super) steps: u32,
    pub(super) took: Duration,
}

/// Runs steps, one by one, each with a deadline, and prints them.
pub(super) struct Story {
    step_timeout: Duration,
    style: Style,
    began: Instant,
    steps: u32,
}

impl Story {
    pub(super) fn new(step_timeout: Duration, style: Style) -> Self {
        Self { step_timeout, style, began: Instant::now(), steps: 0 }
    }

    pub(super) fn style(&self) -> Style {
        self.style
    }

    fn chapter(&self, title: &str) -> Result<(), Failure> {
        output::line(format_args!("\n{}", self.style.bold(title)))
    }

    /// Runs one step. If it does not happen, the story ends with the last observation.
    pub(super) async fn step<T>(
        &mut self,
        name: &str,
        work: impl AsyncFnOnce(&Seen) -> Result<(T, String), Failure>,
    ) -> Result<T, Failure> {
        self.steps += 1;
        let began = Instant::now();
        let seen = Seen::default();
        let failed = match tokio::time::timeout(self.step_timeout, work(&seen)).await {
            Ok(Ok((value, detail))) => {
                let took = format!("{:>6} ms", began.elapsed().as_millis());
                let (check, took) = (self.style.good("✓"), self.style.faint(&took));
                let detail = if detail.is_empty() { detail } else { format!("  {}", self.style.faint(&detail)) };
                output::line(format_args!("  {check} {took}  {name}{detail}"))?;
                return Ok(value);
            }
            Ok(Err(failure)) => failure.reason(),
            Err(_) => format!("nothing within {} s; last seen: {}", self.step_timeout.as_secs(), seen.last()),
        };
        output::line(format_args!("  {} {:>9}  {name}  {}", self.style.bad("✗"), "", printable(&failed)))?;
        Err(Failure::new(format!("step {} did not happen: {name}: {failed}", self.steps)))
    }

    pub(super) async fn run(&mut self, stage: &Stage) -> Result<Completed, Failure> {
        self.chapter("An app and a device")?;
        let key = self.create_app(stage).await?;
        let backend = Backend::new(&stage.api_url, key.expose())?;
        let registered = self.register(stage, &backend, key.app_id()).await?;
        let identity = Identity::from_answer(&registered)?;

        self.chapter("A message goes all the way")?;
        let (device, mut watched) = open(stage, identity.clone(), None);
        let cursor = self.connect(&device, &mut watched).await?;
        let (id, received) = self.send_and_receive(&backend, &identity, &mut watched).await?;
        self.confirm(&backend, &device, &registered.id, &id, &received).await?;
        let cursor = received.message.position.unwrap_or(cursor);
        self.leave(&backend, &device, &registered.id).await?;

        self.chapter("No device is connected for the next one")?;
        let missed = self.fall_back(stage, &backend).await?;

        self.chapter("The device comes back")?;
        let (device, mut watched, received) =
            self.come_back(stage, &backend, identity.clone(), &registered.id, cursor, &missed).await?;

        self.chapter("And looks into its inbox")?;
        self.look_back(&DeviceApi::new(&stage.api_url, identity.clone())?, &identity, &device, &received, &id).await?;

        self.chapter("An announcement goes to everyone")?;
        self.announce(&backend, &mut watched).await?;
        device.close().await;
        Ok(Completed { steps: self.steps, took: self.began.elapsed() })
    }

    async fn create_app(&mut self, stage: &Stage) -> Result<AppKey, Failure> {
        // A new app each time, so that the story can run again in the same deployment.
        let id = format!("demo-{}", hex(&random::bytes::<4>()?));
        self.step("an app is created, its key shown once", async |seen| {
            let apps =
                aws::apps(stage.aws_endpoint.as_deref(), &stage.directory_table, stage.seal_key.as_deref()).await;
            seen.note(format!("the table {}", stage.directory_table));
            let key = aws::create_app(&apps, &id, "Demo", Vec::new()).await?;
            let hidden = format!("{key:?}");
            Ok((key, hidden))
        })
        .await
    }

    async fn register(&mut self, stage: &Stage, backend: &Backend, app_id: &str) -> Result<RegisterAnswer, Failure> {
        let request = RegisterRequest {
            alias: ALIAS.to_owned(),
            app_id: app_id.to_owned(),
            platform: Platform::Web,
            native_token: format!("demo-{}", random::id()?),
            mobile: Some(stage.mobile.clone()),
            email: Some(stage.email.clone()),
            tag: None,
            tenant_code: None,
            client_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            locale: None,
            time_zone: None,
            push: None,
        };
        self.step("the device is registered and given its two keys", async |seen| {
            let registered = backend.register(&request).await.map_err(target::failure)?;
            seen.note(format!("device {}", registered.id));
            let known = backend.device(&registered.id).await.map_err(target::failure)?;
            if known.alias != ALIAS || known.id != registered.id {
                return Err(Failure::new(format!("the device is {}'s", known.alias)));
            }
            let detail = format!("device {}", registered.id);
            Ok((registered, detail))
        })
        .await
    }

    async fn connect(&mut self, device: &Device, watched: &mut Watched) -> Result<Position, Failure> {
        self.step("it connects with a token that it signed itself", async |seen| {
            watched.next(seen, |event| matches!(event, Event::Connected).then_some(())).await?;
            Ok(((), String::new()))
        })
        .await?;
        let cursor = self
            .step("sync: nothing was missed", async |seen| {
                let synced = watched
                    .next(seen, |event| if let Event::Synced(synced) = event { Some(synced.clone()) } else { None })
                    .await?;
                if synced.count != 0 {
                    return Err(Failure::new(format!("{} messages in a new mailbox", synced.count)));
                }
                Ok((synced.position, format!("place {}", synced.position.seq)))
            })
            .await?;
        self.step("ping, pong", async |seen| {
            device.ping()?;
            let pong = watched
                .next(seen, |event| if let Event::Pong(pong) = event { Some(pong.clone()) } else { None })
                .await?;
            Ok(((), format!("next due in {} s", pong.next_ping)))
        })
        .await?;
        Ok(cursor)
    }

    async fn send_and_receive(
        &mut self,
        backend: &Backend,
        identity: &Identity,
        watched: &mut Watched,
    ) -> Result<(String, Received), Failure> {
        let content = Content {
            alert: Some(HELLO.to_owned()),
            extra: Some(serde_json::json!({"order": 7, "paid": true})),
            ..Content::default()
        };
        let request =
            SendRequest { audiences: vec![ALIAS.to_owned()], content: content.clone(), ..SendRequest::default() };
        let id = self
            .step("the backend sends: 202", async |_| {
                let answer = backend.send(&request, None).await.map_err(target::failure)?;
                let detail = format!("request {}, kept {} h", answer.request_id, answer.ttl / 3600);
                Ok((answer.request_id, detail))
            })
            .await?;
        let received = self
            .step("a sealed frame arrives and opens", async |seen| {
                let received = message(watched, seen, &id).await?;
                let kid = frame::key_id(&received.sealed).unwrap_or_default();
                let in_clear = received.sealed.contains(HELLO);
                if in_clear || identity.open(&received.sealed).is_err() {
                    return Err(Failure::new("the frame is not a JWE for this device"));
                }
                // The service may add defaults, but must not change a field that was sent.
                let came = &received.message.content;
                if (&came.alert, &came.extra) != (&content.alert, &content.extra) {
                    return Err(Failure::new(format!("the frame is not what was sent: {came:?}")));
                }
                if received.message.to_user_name != ALIAS {
                    return Err(Failure::new("the frame names another user"));
                }
                let detail = format!("{} bytes, dir + A256CBC-HS512, kid {kid}", received.sealed.len());
                Ok((received, detail))
            })
            .await?;
        Ok((id, received))
    }

    async fn confirm(
        &mut self,
        backend: &Backend,
        device: &Device,
        device_id: &str,
        id: &str,
        received: &Received,
    ) -> Result<(), Failure> {
        self.step("the device acknowledges; the trail shows confirmed", async |seen| {
            device.ack(&received.message)?;
            let trail = trail_in(backend, seen, id, State::Confirmed).await?;
            let by = events(&trail).find(|at| at.event == trail::Event::Confirmed).and_then(|at| at.device_id.clone());
            if by.as_deref() != Some(device_id) {
                return Err(Failure::new(format!("confirmed by {by:?}, not by {device_id}")));
            }
            if !events(&trail).any(|at| at.event == trail::Event::Posted) {
                return Err(Failure::new("confirmed without having been posted"));
            }
            Ok(((), story_of(&trail)))
        })
        .await
    }

    async fn leave(&mut self, backend: &Backend, device: &Device, device_id: &str) -> Result<(), Failure> {
        self.step("the device closes; its connection is forgotten", async |seen| {
            let before = backend.device(device_id).await.map_err(target::failure)?.connections;
            device.close().await;
            until(async || {
                let connections = backend.device(device_id).await.map_err(target::failure)?.connections;
                seen.note(format!("{connections} connections on record"));
                Ok((connections == 0).then_some(()))
            })
            .await?;
            if before == 0 {
                return Err(Failure::new("no connection was on record while the device was connected"));
            }
            Ok(((), format!("{before} connection before, none now")))
        })
        .await
    }

    async fn come_back(
        &mut self,
        stage: &Stage,
        backend: &Backend,
        identity: Identity,
        device_id: &str,
        cursor: Position,
        missed: &str,
    ) -> Result<(Device, Watched, Received), Failure> {
        let (device, mut watched) = open(stage, identity, Some(cursor));
        let received = self
            .step("it connects again and the missed message comes by sync", async |seen| {
                let synced = watched
                    .next(seen, |event| if let Event::Synced(synced) = event { Some(synced.clone()) } else { None })
                    .await?;
                if !synced.recovered || synced.count != 1 {
                    let detail = format!("recovered: {}, {} messages", synced.recovered, synced.count);
                    return Err(Failure::new(format!("the replay is not the one missed message: {detail}")));
                }
                // The event was kept while the step waited for the end of the replay, so it came before that.
                let came = watched.kept().iter().any(|event| is_message(event, missed));
                if !came {
                    return Err(Failure::new("the replay ended without the missed message"));
                }
                let received = message(&mut watched, seen, missed).await?;
                if received.message.content.alert.as_deref() != Some(PARCEL) {
                    return Err(Failure::new("the frame is not what was sent"));
                }
                Ok((received, format!("after place {}", cursor.seq)))
            })
            .await?;
        self.step("it acknowledges; the trail shows confirmed after all", async |seen| {
            device.ack(&received.message)?;
            let trail = trail_in(backend, seen, missed, State::Confirmed).await?;
            let by_it = |at: &trail::Transition| {
                at.event == trail::Event::Confirmed && at.device_id.as_deref() == Some(device_id)
            };
            if !events(&trail).any(by_it) {
                return Err(Failure::new("confirmed by another device"));
            }
            Ok(((), String::new()))
        })
        .await?;
        Ok((device, watched, received))
    }

    async fn announce(&mut self, backend: &Backend, watched: &mut Watched) -> Result<(), Failure> {
        let content = Content { alert: Some(NEWS.to_owned()), ..Content::default() };
        let request = AnnounceRequest { content, ..AnnounceRequest::default() };
        let id = self
            .step("the backend announces: 202, stored once", async |_| {
                let answer = backend.announce(&request, None).await.map_err(target::failure)?;
                let detail = format!("request {}, kept {} h", answer.request_id, answer.ttl / 3600);
                Ok((answer.request_id, detail))
            })
            .await?;
        self.step("the device, being connected, is pushed", async |seen| {
            let came = watched
                .next(seen, |event| match event {
                    Event::Announcement(announcement) if announcement.id == id => Some(announcement.clone()),
                    _ => None,
                })
                .await?;
            if came.content.alert.as_deref() != Some(NEWS) {
                return Err(Failure::new("the frame is not what was announced"));
            }
            until(async || {
                let posts = backend.announcement(&id).await.map_err(target::failure)?.posts;
                seen.note(format!("{posts} posts"));
                Ok((posts == 1).then_some(()))
            })
            .await?;
            Ok(((), "1 post".to_owned()))
        })
        .await
    }

    async fn look_back(
        &mut self,
        reader: &DeviceApi,
        identity: &Identity,
        device: &Device,
        newest: &Received,
        older: &str,
    ) -> Result<(), Failure> {
        let ids = [newest.message.id.as_str(), older];
        self.step("over HTTP, the inbox lists both messages, newest first and sealed", async |seen| {
            let page = reader.page(None, None).await.map_err(target::failure)?;
            let listed: Vec<&str> = page.messages.iter().map(|message| message.id.as_str()).collect();
            seen.note(listed.join(", "));
            if listed != ids || page.next.is_some() {
                return Err(Failure::new(format!("the inbox lists {listed:?}")));
            }
            if page.messages.iter().any(|message| identity.open(&message.frame).is_err()) {
                return Err(Failure::new("a frame is not a JWE for this device"));
            }
            let unread = reader.unread().await.map_err(target::failure)?;
            if (unread.count, unread.more) != (2, false) {
                return Err(Failure::new(format!("{} messages are unread", unread.count)));
            }
            Ok(((), format!("{} unread", unread.count)))
        })
        .await?;
        self.step("one of them is read, and the other is left", async |seen| {
            device.read(&newest.message)?;
            until(async || {
                let left = reader.unread().await.map_err(target::failure)?.count;
                seen.note(format!("{left} unread"));
                Ok((left == 1).then_some(()))
            })
            .await?;
            let page = reader.page(Some(1), None).await.map_err(target::failure)?;
            if !page.messages.iter().any(|message| message.id == ids[0] && message.read) {
                return Err(Failure::new("the inbox does not mark the right one"));
            }
            Ok(((), "1 unread".to_owned()))
        })
        .await
    }
}

fn open(stage: &Stage, identity: Identity, cursor: Option<Position>) -> (Device, Watched) {
    let options =
        Options { ack: Ack::Manual, cursor, token_in: stage.token_in, ..Options::new(stage.socket_url.as_str()) };
    let (device, events) = Device::open(identity, options);
    (device, Watched::new(events))
}

fn is_message(event: &Event, id: &str) -> bool {
    matches!(event, Event::Message(received) if received.message.id == id)
}

/// The message with this id, among the kept events or the next ones.
async fn message(watched: &mut Watched, seen: &Seen, id: &str) -> Result<Received, Failure> {
    watched
        .next(seen, |event| match event {
            Event::Message(received) if received.message.id == id => Some(Received::clone(received)),
            _ => None,
        })
        .await
}
