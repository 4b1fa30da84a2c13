//! A device as an app drives it: it keeps a cursor, acknowledges late, leaves, comes back and is restarted.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tidings_client::{Ack, Backoff, CloseReason, Device, Event, Events, Identity, Options};
use tidings_wire::action::Position;
use tidings_wire::{MessageFrame, Timestamp};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, sleep_until};

use super::history::{Shown, ShownAnnouncement};
use super::plan::What;
use super::random::Random;
use super::world::World;

/// An injected fault may refuse a device, so it gives up only after many refusals.
const GIVE_UP_AFTER: u32 = 1_000;

/// Long enough that a busy machine is not asked twice for an answer that is on its way: the repetitions of a hundred
/// devices would keep it busy.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// The state that an app keeps while it does not run.
struct Kept {
    cursor: Option<Position>,
    /// The number of the last announcement that was shown.
    announced: u64,
    /// The last acknowledged position, if the app acknowledges by hand.
    acknowledged: Option<Position>,
    /// Messages that are shown and not acknowledged yet, with the time to acknowledge them.
    unacknowledged: VecDeque<(Instant, MessageFrame)>,
}

/// Why a run of the app ended.
enum End {
    Left,
    Restarted,
    Over,
}

/// Runs the device with this index in the plan until the soak is over.
pub(crate) async fn live(
    world: Arc<World>,
    device: usize,
    identity: Identity,
    ping_every: Option<Duration>,
    mut orders: mpsc::UnboundedReceiver<What>,
    ready: OwnedSemaphorePermit,
) {
    let mut ready = Some(ready);
    let mut kept = Kept { cursor: None, announced: 0, acknowledged: None, unacknowledged: VecDeque::new() };
    let mut random = Random::new(world.plan.seed, &format!("device {device}"));
    for run in 0.. {
        let options = Options {
            cursor: kept.cursor,
            announced: kept.announced,
            ack: if world.plan.devices[device].acks_after.is_some() { Ack::Manual } else { Ack::Automatic },
            ping_every,
            answer_within: ANSWER_WITHIN,
            backoff: Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(5) },
            give_up_after: GIVE_UP_AFTER,
            ..Options::new(&world.session.socket_url)
        };
        let (handle, events) = Device::open(identity.clone(), options);
        if let Some(position) = kept.acknowledged {
            // The last acknowledgement of the former run may have been lost.
            let _ = handle.ack_up_to(position);
        }
        let mut app = App { world: &world, device, run, handle: &handle, kept: &mut kept, ready: &mut ready };
        let end = app.run(events, &mut orders, &mut random).await;
        app.offline();
        match end {
            End::Restarted => world.log().devices[device].restarts += 1,
            End::Left => {
                handle.close().await;
                loop {
                    tokio::select! {
                        order = orders.recv() => match order {
                            Some(What::Return | What::Restart) => break,
                            Some(What::Leave) => {}
                            None => return,
                        },
                        () = world.stop.cancelled() => return,
                    }
                }
                world.log().devices[device].restarts += 1;
            }
            End::Over => {
                handle.close().await;
                return;
            }
        }
    }
}

/// One run of the app.
struct App<'a> {
    world: &'a World,
    device: usize,
    run: u64,
    handle: &'a Device,
    kept: &'a mut Kept,
    /// Released when the first replay is complete.
    ready: &'a mut Option<OwnedSemaphorePermit>,
}

impl App<'_> {
    async fn run(
        &mut self,
        mut events: Events,
        orders: &mut mpsc::UnboundedReceiver<What>,
        random: &mut Random,
    ) -> End {
        loop {
            let due = self.kept.unacknowledged.front().map(|(due, _)| *due);
            let never = Instant::now() + Duration::from_secs(3_600);
            tokio::select! {
                () = self.world.stop.cancelled() => return End::Over,
                order = orders.recv() => match order {
                    Some(What::Leave) => return End::Left,
                    Some(What::Restart) => return End::Restarted,
                    Some(What::Return) => {}
                    None => return End::Over,
                },
                () = sleep_until(due.unwrap_or(never)) => {
                    if let Some((_, message)) = self.kept.unacknowledged.pop_front() {
                        self.acknowledge(&message);
                    }
                }
                event = events.next() => match event {
                    Some(event) => self.take(event, random),
                    None => return End::Over,
                },
            }
        }
    }

    fn take(&mut self, event: Event, random: &mut Random) {
        match event {
            Event::Message(received) => {
                let message = received.message;
                self.world.log().devices[self.device].shown.push(Shown {
                    id: message.id.clone(),
                    position: message.position,
                    alert: message.content.alert.clone().unwrap_or_default(),
                    run: self.run,
                    at: Timestamp::now(),
                });
                if let Some(position) = message.position {
                    self.advance(position);
                }
                if let Some((shortest, longest)) = self.world.plan.devices[self.device].acks_after {
                    let due = Instant::now() + Duration::from_millis(random.within(shortest..=longest));
                    // In the order of receipt: a late acknowledgement also delays those after it.
                    let due = self.kept.unacknowledged.back().map_or(due, |(last, _)| due.max(*last));
                    self.kept.unacknowledged.push_back((due, message));
                }
            }
            Event::Synced(synced) => {
                self.advance(synced.position);
                self.ready.take();
                self.world.log().devices[self.device].online_since.get_or_insert(Timestamp::now());
            }
            Event::Announcement(announcement) => {
                let number = announcement.number;
                let alert = announcement.content.alert.unwrap_or_default();
                self.world.log().devices[self.device].announcements.push(ShownAnnouncement { number, alert });
                self.kept.announced = number;
            }
            Event::Disconnected { .. } => {
                self.offline();
                self.world.log().devices[self.device].reconnects += 1;
            }
            Event::RolledOver => self.world.log().devices[self.device].rollovers += 1,
            Event::Refused(error) => {
                *self.world.log().devices[self.device].refusals.entry(error.code).or_default() += 1;
            }
            Event::Closed(CloseReason::CannotConnect(error)) => {
                self.world.log().devices[self.device].ended = Some(error.to_string());
            }
            Event::Connected | Event::Pong(_) | Event::Unreadable(_) | Event::Closed(CloseReason::Asked) => {}
        }
    }

    /// Acknowledges by id and by position in turns. It fails only if the client has ended, which its last event
    /// reports.
    fn acknowledge(&mut self, message: &MessageFrame) {
        let _ = match message.position {
            Some(position) if position.seq % 2 == 0 => self.handle.ack_up_to(position),
            Some(_) | None => self.handle.ack(message),
        };
        self.kept.acknowledged = self.kept.acknowledged.max(message.position);
    }

    /// Advances the cursor, never back.
    fn advance(&mut self, to: Position) {
        let is_older = self.kept.cursor.is_some_and(|at| at.epoch == to.epoch && to.seq <= at.seq);
        if !is_older {
            self.kept.cursor = Some(to);
        }
    }

    fn offline(&self) {
        self.world.log().devices[self.device].offline(Timestamp::now());
    }
}
