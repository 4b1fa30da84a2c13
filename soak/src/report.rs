//! The report of a soak: a row for each promise, figures of the run, and the first broken cases.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write as _;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use tidings_wire::trail::Event;

use super::check::{self, Broken, Row};
use super::history::History;
use super::world::World;

/// The number of broken cases of one promise that are printed in full.
const DETAILED: usize = 5;

/// A soak that is over, or the sum of several.
#[derive(Debug)]
pub(crate) struct Report {
    title: String,
    rows: Vec<Row>,
    facts: Facts,
    /// The broken cases in full.
    details: Vec<String>,
}

/// The figures of a run.
#[derive(Debug, Default)]
struct Facts {
    counts: BTreeMap<&'static str, u64>,
    states: BTreeMap<String, u64>,
    faults: BTreeMap<String, u64>,
    refusals: BTreeMap<String, u64>,
    sending: Duration,
    whole: Duration,
}

impl Report {
    pub(crate) fn new(history: History, world: &World, sending: Duration, whole: Duration) -> Self {
        let rows = check::check(&history);
        let details =
            rows.iter().flat_map(|row| row.broken.iter().take(DETAILED).map(|broken| describe(&history, row, broken)));
        let details = details.collect();
        let plan = &history.plan;
        let title = format!(
            "seed {}: {} users, {} devices, {} messages",
            plan.seed,
            plan.users.len(),
            plan.devices.len(),
            plan.messages.len()
        );
        Self { title, rows, facts: Facts::new(&history, world, sending, whole), details }
    }

    /// An empty sum.
    pub(crate) fn sum() -> Self {
        Self { title: "all seeds".to_owned(), rows: Vec::new(), facts: Facts::default(), details: Vec::new() }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        if self.rows.is_empty() {
            self.rows = other.rows.iter().map(|row| Row { checked: 0, broken: Vec::new(), ..row.clone() }).collect();
        }
        for (sum, row) in self.rows.iter_mut().zip(&other.rows) {
            sum.checked += row.checked;
            sum.broken.extend(row.broken.iter().cloned());
        }
        self.facts.add(&other.facts);
    }

    pub(crate) fn broken(&self) -> usize {
        self.rows.iter().map(|row| row.broken.len()).sum()
    }

    /// The table, as plain text.
    pub(crate) fn table(&self) -> String {
        let facts = &self.facts;
        let mut text = format!("{}, {:.1} s\n\n", self.title, facts.whole.as_secs_f64());
        let _ = writeln!(text, "  {:<36} {:>10} {:>8}", "promise", "checked", "broken");
        for row in &self.rows {
            let _ = writeln!(text, "  {:<36} {:>10} {:>8}", row.promise, row.checked, row.broken.len());
        }
        let _ = writeln!(text, "\n  {:<36} {:>10}", "what happened", "count");
        for (what, count) in &facts.counts {
            let _ = writeln!(text, "  {what:<36} {count:>10}");
        }
        let _ = writeln!(text, "  {:<36} {:>10.1}", "messages accepted a second", facts.pace());
        for (what, counts) in
            [("state", &facts.states), ("fault", &facts.faults), ("refused on the socket", &facts.refusals)]
        {
            for (name, count) in counts {
                let _ = writeln!(text, "  {:<36} {count:>10}", format!("{what} {name}"));
            }
        }
        text
    }

    /// The broken cases in full.
    pub(crate) fn details(&self) -> &[String] {
        &self.details
    }

    pub(crate) fn json(&self) -> Value {
        let facts = &self.facts;
        json!({
            "title": self.title,
            "seconds": facts.whole.as_secs_f64(),
            "messagesPerSecond": facts.pace(),
            "promises": self.rows.iter().map(|row| json!({
                "promise": row.promise, "checked": row.checked, "broken": row.broken.len(),
            })).collect::<Vec<_>>(),
            "counts": facts.counts,
            "states": facts.states,
            "faults": facts.faults,
            "refusals": facts.refusals,
            "broken": self.details,
        })
    }
}

impl Facts {
    fn new(history: &History, world: &World, sending: Duration, whole: Duration) -> Self {
        let of_devices = |count: fn(&super::history::DeviceLog) -> u64| history.devices.iter().map(count).sum::<u64>();
        let many = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let mut facts = Self { sending, whole, faults: world.log().faults.clone(), ..Self::default() };
        let of_channel = |channel: &str| many(history.outbox.iter().filter(|item| item.channel == channel).count());
        facts.counts.extend([
            ("messages accepted", many(history.ids().len())),
            ("messages shown", of_devices(|log| log.shown.len() as u64)),
            ("announcements shown", of_devices(|log| log.announcements.len() as u64)),
            ("pushes sent", of_channel("fcm")),
            ("SMS sent", of_channel("sms")),
            ("emails sent", of_channel("email")),
            ("requests repeated by the backend", world.progress.retries.load(Ordering::Relaxed)),
            ("reconnects", of_devices(|log| log.reconnects)),
            ("rollovers", of_devices(|log| log.rollovers)),
            ("restarts of apps", of_devices(|log| log.restarts)),
            ("twins killed", world.progress.twins_killed.load(Ordering::Relaxed)),
            ("exchanges of the functions' code", world.progress.exchanges.load(Ordering::Relaxed)),
            ("dead letters redriven", world.progress.redriven.load(Ordering::Relaxed)),
            ("shown and not confirmed in the trail", unconfirmed(history)),
        ]);
        facts.counts.extend(check::chains(history));
        for trail in history.trails.values() {
            for recipient in &trail.recipients {
                *facts.states.entry(recipient.state.to_string()).or_default() += 1;
            }
        }
        for (code, count) in history.devices.iter().flat_map(|log| &log.refusals) {
            *facts.refusals.entry(code.clone()).or_default() += count;
        }
        facts
    }

    fn add(&mut self, other: &Self) {
        for (what, count) in &other.counts {
            *self.counts.entry(what).or_default() += count;
        }
        for (sum, counts) in [
            (&mut self.states, &other.states),
            (&mut self.faults, &other.faults),
            (&mut self.refusals, &other.refusals),
        ] {
            for (name, count) in counts {
                *sum.entry(name.clone()).or_default() += count;
            }
        }
        self.sending += other.sending;
        self.whole += other.whole;
    }

    fn pace(&self) -> f64 {
        let accepted = self.counts.get("messages accepted").copied().unwrap_or(0);
        #[expect(clippy::cast_precision_loss, reason = "no soak comes near 2^53 messages")]
        let accepted = accepted as f64;
        if self.sending.is_zero() { 0.0 } else { accepted / self.sending.as_secs_f64() }
    }
}

/// Acknowledgements without an event in the trail. Not a promise: another device may have settled the message.
fn unconfirmed(history: &History) -> u64 {
    let ids = history.ids();
    let mut confirmed: HashSet<(usize, &str)> = HashSet::new();
    for (message, trail) in &history.trails {
        let all = trail.recipients.iter().flat_map(|recipient| &recipient.transitions);
        let by = all.filter(|transition| transition.event == Event::Confirmed);
        confirmed.extend(by.filter_map(|transition| Some((*message, transition.device_id.as_deref()?))));
    }
    let of_device = |log: &super::history::DeviceLog| {
        let kept: BTreeSet<&str> =
            log.shown.iter().filter(|shown| shown.position.is_some()).map(|shown| shown.id.as_str()).collect();
        let is_known = |id: &&str| ids.get(id).is_some_and(|message| confirmed.contains(&(*message, log.id.as_str())));
        kept.iter().filter(|id| !is_known(id)).count() as u64
    };
    history.devices.iter().map(of_device).sum()
}

/// A device: its id, when it was connected, and when it showed the message.
fn describe_device(text: &mut String, history: &History, device: usize, message: Option<usize>) {
    let (plan, log) = (&history.plan.devices[device], &history.devices[device]);
    let acks = plan.acks_after.map_or_else(|| "at once".to_owned(), |(from, to)| format!("after {from} to {to} ms"));
    let _ = writeln!(text, "  device {device} ({}), {}, acknowledges {acks}", log.id, plan.platform);
    let online = log.online.iter().map(|(from, to)| format!("{from} to {to}")).collect::<Vec<_>>().join(", ");
    let _ = writeln!(text, "    connected {online}");
    let accepted = message.and_then(|message| history.sends[message].accepted.as_ref());
    for shown in log.shown.iter().filter(|shown| accepted.is_some_and(|one| one.answer.request_id == shown.id)) {
        let _ =
            writeln!(text, "    showed it at {}, in run {} of the app, as {:?}", shown.at, shown.run, shown.position);
    }
}

/// A broken case in full, for its analysis.
fn describe(history: &History, row: &Row, broken: &Broken) -> String {
    let mut text = format!("{}: {}\n", row.promise, broken.why);
    if let Some(message) = broken.message {
        let sent = &history.sends[message];
        let id = sent.accepted.as_ref().map_or("not accepted", |accepted| accepted.answer.request_id.as_str());
        let _ = writeln!(text, "  message {message} ({id}): {:?}", history.plan.messages[message]);
    }
    let of_user = broken.user.map(|user| history.plan.users[user].devices.clone()).unwrap_or_default();
    if let Some(user) = broken.user {
        let _ = writeln!(text, "  user {}", history.plan.users[user].alias);
    }
    for device in broken.device.map_or(of_user, |device| vec![device]) {
        describe_device(&mut text, history, device, broken.message);
    }
    if let Some(trail) = broken.message.and_then(|message| history.trails.get(&message)) {
        let _ = writeln!(text, "  trail {}", serde_json::to_string(&**trail).unwrap_or_default());
    }
    text
}
