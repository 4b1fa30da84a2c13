//! The protocol of delivery, acknowledgement, fallback and reconnect as a model, explored exhaustively.
//!
//! Every decision is made by the real code: `tidings_domain` for the service, `tidings_client::Inbox` for the device.
//! The model covers what lies between: the store's conditional writes, queues that redeliver, sockets that
//! lose, repeat and swap, and workers that die between any two of their requests. `stateright` walks through every
//! order in which all that can happen, each fault as often as the configuration's budget allows.
//!
//! Left out, because another order gives the same: a device whose connection stays reads at once, a heartbeat waits
//! until nothing else goes on (but for the budget `haste`), and a worker looks as soon as it is handed something.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, also in its helpers")]

mod chain;
mod deliver;
mod device;
mod explore;
mod service;
mod socket;
mod state;

use std::collections::BTreeSet;
use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model};

use service::{Config, Mutation, Tidings};
use state::Faults;

const NONE: Faults = Faults {
    crash: 0,
    repeat: 0,
    lose_frame: 0,
    repeat_frame: 0,
    gone_alive: 0,
    accepted_dead: 0,
    retry: 0,
    lose_word: 0,
    repeat_word: 0,
    drop: 0,
    roll: 0,
    abort: 0,
    lose_disconnect: 0,
    haste: 0,
    index_lag: 0,
};

/// Two messages in one lane for a user with two devices that are connected.
fn two_messages(faults: Faults) -> Config {
    Config {
        devices: 2,
        lanes: vec![0, 0],
        chain: Vec::new(),
        ttl: 3_600,
        times: vec![0],
        online: vec![0, 1],
        confirming: Vec::new(),
        refusals: false,
        faults,
        mutation: None,
    }
}

/// One message with a step for a user with one device, which confirms at any time or never before the end.
fn one_step(faults: Faults) -> Config {
    Config {
        devices: 1,
        lanes: vec![0],
        chain: vec![Some(60)],
        online: vec![0],
        confirming: vec![0],
        times: vec![0, 61, 130],
        ..two_messages(faults)
    }
}

/// Explores everything; every property must hold, and what is listed must have been met.
fn explore(name: &str, config: Config, at_least: usize, meets: &[&str]) {
    let began = Instant::now();
    let checker = Tidings::new(config).checker().spawn_bfs().join();
    let states = checker.unique_state_count();
    println!(
        "{name}: {states} states explored, {} transitions, depth {}, {} properties, {:.1?}",
        checker.state_count(),
        checker.max_depth(),
        checker.model().properties().len(),
        began.elapsed()
    );
    checker.assert_properties();
    let met: BTreeSet<_> = checker.model().met.lock().unwrap().clone();
    println!("  met: {met:?}");
    assert!(states > at_least, "{name}: no more than {states} states");
    for what in meets {
        assert!(met.contains(what), "{name}: never met {what}");
    }
}

#[test]
fn a_device_that_comes_back_has_missed_nothing() {
    let drop = Faults { drop: 1, ..NONE };
    explore("reconnect", two_messages(drop), 1_000, &["a message that comes before its turn"]);
    let lost = Faults { lose_frame: 1, ..drop };
    explore("reconnect, a frame lost", two_messages(lost), 10_000, &["a replay that is asked for again"]);
    let twice = Faults { repeat_frame: 1, ..drop };
    explore("reconnect, a frame twice", two_messages(twice), 1_000, &["a message that the device has already"]);
    let gone = Faults { gone_alive: 1, ..NONE };
    let meets = ["410 though alive", "a ping that brings a pruned connection back"];
    explore("410 though alive", two_messages(gone), 50, &meets);
    let unnoticed = Faults { lose_disconnect: 1, accepted_dead: 1, ..drop };
    explore("reconnect, its disconnect lost, 200 though dead", two_messages(unnoticed), 1_000, &[]);
    explore("reconnect, impatient", two_messages(Faults { haste: 1, ..drop }), 1_000, &[]);
    let aborted = Faults { abort: 1, ..NONE };
    let config = Config { online: vec![1], ..two_messages(aborted) };
    explore("a connect that is given up", config, 1_000, &["a disconnect that was handled before its connect"]);
}

#[test]
fn a_rollover_breaks_nothing() {
    let roll = Faults { roll: 1, ..NONE };
    explore("rollover", two_messages(roll), 1_000, &["a message that comes before its turn"]);
    let config = Config { devices: 1, lanes: vec![0, 1], online: vec![0], ..two_messages(Faults { drop: 1, ..NONE }) };
    explore("reconnect, two lanes", config, 10_000, &[]);
}

#[test]
fn both_at_once() {
    let config = Config { devices: 2, lanes: vec![0, 0], online: vec![0, 1], ..one_step(NONE) };
    explore("two messages, two devices, one step", config, 500, &[]);
    let one_device = Config { lanes: vec![0, 0], times: vec![0, 61], ..one_step(Faults { drop: 1, ..NONE }) };
    explore("two messages, one step, reconnect", one_device, 1_000, &[]);
}

#[test]
fn workers_that_die_lose_nothing() {
    let crash = Faults { drop: 1, crash: 1, ..NONE };
    let config = Config { times: vec![0, 61], ..two_messages(crash) };
    explore("reconnect, a crash", config, 10_000, &["a message that is posted again under its old place"]);
    let alone = Config { devices: 1, lanes: vec![0], online: vec![0], times: vec![0, 61], ..two_messages(crash) };
    let meets = ["a worker that died before it noted that no device was reached"];
    explore("one device that goes away, a crash", alone, 50, &meets);
}

#[test]
fn what_comes_again_is_not_doubled() {
    let repeat = Faults { repeat: 1, lose_frame: 1, ..NONE };
    explore("a repeat, a frame lost", two_messages(repeat), 1_000, &["two workers want to begin the log"]);
    let config = Config { lanes: vec![0, 1], times: vec![0, 1], ..two_messages(NONE) };
    explore("two lanes", config, 1_000, &["two workers want to begin the log"]);
    let config = Config { lanes: vec![0, 1], ..two_messages(Faults { retry: 1, ..NONE }) };
    explore("two lanes, 429", config, 1_000, &[]);
}

#[test]
fn a_step_is_called_once_and_never_after_an_acknowledgement() {
    let meets = [
        "a crash between claim and call",
        "a crash between claim and outcome",
        "a step that another worker has claimed just now",
        "an acknowledgement between the read and the claim",
        "an acknowledgement between the claim and the call",
        "two workers want one step",
    ];
    explore("one step, a crash", one_step(Faults { crash: 1, ..NONE }), 1_000, &meets);
    explore("one step, a repeat", one_step(Faults { repeat: 1, ..NONE }), 1_000, &meets[5..]);
    let expiring = Config { ttl: 100, refusals: true, ..one_step(Faults { repeat: 1, ..NONE }) };
    explore("one step that may be refused, expiring", expiring, 1_000, &[]);
    let words = Faults { lose_word: 1, repeat_word: 1, ..NONE };
    explore("one step, acknowledgements lost and repeated", one_step(words), 500, &[]);
    let two = Config { chain: vec![Some(60), Some(60)], times: vec![0, 61, 130, 200], ..one_step(NONE) };
    explore("two steps", two.clone(), 1_000, &[]);
    explore("two steps, a crash", Config { faults: Faults { crash: 1, ..NONE }, ..two }, 10_000, &meets);
}

#[test]
fn an_acknowledgement_after_the_disconnect_counts() {
    let drop = Faults { drop: 1, ..NONE };
    let meets = ["an acknowledgement after the disconnect"];
    explore("one step, reconnect", one_step(drop), 1_000, &meets);
}

#[test]
fn a_device_that_comes_back_is_waited_for() {
    let config = Config { online: Vec::new(), chain: vec![None], ..one_step(NONE) };
    explore("one step, no device at first", config, 1_000, &["a step that waits for a device that came back"]);
}

/// The model detects each rule that is left out.
#[test]
fn every_mutant_is_found() {
    let drop = || two_messages(Faults { drop: 1, ..NONE });
    let lanes = || Config { lanes: vec![0, 1], times: vec![0, 1], ..two_messages(NONE) };
    let crash = || one_step(Faults { crash: 1, ..NONE });
    let mutants = [
        (Mutation::LogBeginsTwice, lanes(), "places are dense, in one epoch"),
        (Mutation::AppendUnconditionally, lanes(), "at rest every message is settled"),
        // The look-up by id would find it, if the index were not behind.
        (Mutation::WindowForgets, one_step(Faults { crash: 1, index_lag: 1, ..NONE }), "one entry for each message"),
        (Mutation::DeleteBeforeStore, crash(), "at rest every message is settled"),
        (
            Mutation::ConnectDespiteTombstone,
            Config { online: vec![1], ..two_messages(Faults { abort: 1, ..NONE }) },
            "a connection that has ended stays dead",
        ),
        (Mutation::ClaimDespiteAck, crash(), "nothing is claimed after an acknowledgement"),
        (Mutation::ClaimDespiteClaim, one_step(Faults { repeat: 1, ..NONE }), "a provider is called once at most"),
        (
            Mutation::OutcomeOverwrites,
            Config { refusals: true, ..one_step(Faults { repeat: 1, ..NONE }) },
            "a state never goes back",
        ),
        (
            Mutation::StepNotScheduled,
            Config { confirming: Vec::new(), ..one_step(NONE) },
            "at rest every message is settled",
        ),
        (
            Mutation::ClientTrustsLiveOrder,
            two_messages(Faults { lose_frame: 1, ..NONE }),
            "at rest every device has been shown what it wants",
        ),
        (Mutation::ClientShowsEverything, drop(), "nothing is shown twice"),
    ];
    for (mutation, config, property) in mutants {
        let model = Tidings::new(Config { mutation: Some(mutation), ..config });
        let wanted = HasDiscoveries::AnyOf(BTreeSet::from([property]));
        let checker = model.checker().finish_when(wanted).spawn_bfs().join();
        let found = checker.discoveries();
        let steps = found.get(property).map(|path| path.clone().into_actions().len());
        println!("{mutation:?}: {property:?} broken after {steps:?} events, {} states", checker.unique_state_count());
        assert!(steps.is_some(), "{mutation:?} is not found; broken are {:?}", found.keys());
    }
}
