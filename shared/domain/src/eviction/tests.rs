use tidings_wire::{Platform, Timestamp};

use super::*;
use crate::UserKey;

fn device(n: usize, used: i64) -> Device {
    Device {
        id: format!("d{n}").parse().unwrap(),
        user: UserKey { app: "demo".parse().unwrap(), tenant: String::new(), alias: "alice".into() },
        generation: 1,
        platform: Platform::Web.into(),
        client_version: None,
        registered: Timestamp(0),
        used: Timestamp(used),
        cursor: None,
        push: None,
    }
}

fn connection(n: usize, device: usize, lease: i64) -> Connection {
    Connection {
        id: format!("c{n}").parse().unwrap(),
        device: format!("d{device}").parse().unwrap(),
        generation: 1,
        key_version: 1,
        platform: Platform::Web.into(),
        connected: Timestamp(0),
        lease: Timestamp(lease),
    }
}

fn ids(connections: &[&Connection]) -> Vec<String> {
    connections.iter().map(|connection| connection.id.to_string()).collect()
}

#[test]
fn the_least_recently_used_devices_go_and_never_the_new_one() {
    // The new one looks oldest: its clock may be behind.
    let mut devices: Vec<_> = (0..limits::USER_DEVICES).map(|n| device(n, 1_000 - i64::try_from(n).unwrap())).collect();
    let new = device(limits::USER_DEVICES, 0);
    assert!(surplus_devices(&devices, &[], &devices[0].id).is_empty());
    devices.push(new.clone());
    let gone = surplus_devices(&devices, &[], &new.id);
    assert_eq!(gone, [&devices[limits::USER_DEVICES - 1]]);
    devices.push(device(limits::USER_DEVICES + 1, -5));
    let gone = surplus_devices(&devices, &[], &new.id);
    assert_eq!(gone, [&devices[limits::USER_DEVICES + 1], &devices[limits::USER_DEVICES - 1]]);
}

#[test]
fn a_connected_device_stays_while_another_one_can_go() {
    let devices: Vec<_> = (0..=limits::USER_DEVICES).map(|n| device(n, i64::try_from(n).unwrap())).collect();
    let gone = surplus_devices(&devices, &[connection(0, 0, 9)], &devices[limits::USER_DEVICES].id);
    assert_eq!(gone, [&devices[1]]);
    let all: Vec<_> = (0..=limits::USER_DEVICES).map(|n| connection(n, n, 9)).collect();
    assert_eq!(surplus_devices(&devices, &all, &devices[limits::USER_DEVICES].id), [&devices[0]]);
}

const NOW: Timestamp = Timestamp(100_000);

/// Connections that are open for long; the first one of them is new.
fn with_new(mut connections: Vec<Connection>) -> Vec<Connection> {
    connections[0].connected = NOW;
    connections
}

/// The connections that are evicted by `c0`.
fn evicted(connections: &[Connection]) -> Vec<String> {
    match admit(connections, &"c0".parse().unwrap(), NOW) {
        Admission::Admitted(surplus) => ids(&surplus),
        other => panic!("admitted, not {other:?}"),
    }
}

/// A number of connections, of one device or of as many devices.
fn connections(count: usize, of_one: bool) -> Vec<Connection> {
    (0..count).map(|n| connection(n, if of_one { 0 } else { n }, i64::try_from(n).unwrap())).collect()
}

#[test]
fn a_device_holds_eight_sockets_and_its_user_sixty_four() {
    // The new one has the oldest lease, and stays.
    assert!(evicted(&with_new(connections(limits::DEVICE_SOCKETS, true))).is_empty());
    assert_eq!(evicted(&with_new(connections(limits::DEVICE_SOCKETS + 2, true))), ["c2", "c1"]);
    assert!(evicted(&with_new(connections(limits::USER_SOCKETS, false))).is_empty());
    assert_eq!(evicted(&with_new(connections(limits::USER_SOCKETS + 1, false))), ["c1"]);
}

#[test]
fn sockets_of_a_device_over_its_limit_do_not_count_against_the_user() {
    let mut all = with_new((0..20).map(|n| connection(n, 0, 100)).collect());
    all.extend((20..20 + limits::USER_SOCKETS - limits::DEVICE_SOCKETS).map(|n| connection(n, n, 50)));
    let gone = evicted(&all);
    assert_eq!(gone.len(), 20 - limits::DEVICE_SOCKETS);
    assert!(gone.iter().all(|id| id[1..].parse::<usize>().unwrap() < 20), "{gone:?}");
}

#[test]
fn two_connections_that_open_at_the_same_moment_evict_the_same_ones() {
    let mut all = connections(limits::DEVICE_SOCKETS + 2, true);
    (all[8].connected, all[9].connected) = (NOW, NOW);
    let (one, other) = ("c8".parse().unwrap(), "c9".parse().unwrap());
    let surplus = admit(&all, &one, NOW);
    assert_eq!(surplus, admit(&all, &other, NOW));
    assert_eq!(surplus, Admission::Admitted(vec![&all[1], &all[0]]));
}

#[test]
fn of_many_that_open_at_the_same_moment_the_limit_is_admitted_and_none_evicts_another() {
    for (of_one, most) in [(true, limits::DEVICE_SOCKETS), (false, limits::USER_SOCKETS)] {
        let mut all = connections(70, of_one);
        for (n, connection) in all.iter_mut().enumerate() {
            // Clocks differ: some seem to come from the future.
            connection.connected = Timestamp(NOW.0 + i64::try_from(n).unwrap() - 35);
        }
        let mut admitted = Vec::new();
        for connection in &all {
            match admit(&all, &connection.id, NOW) {
                Admission::Admitted(surplus) => {
                    assert!(surplus.is_empty());
                    admitted.push(connection);
                }
                Admission::Crowded => {}
                Admission::Missing => panic!("{connection:?} is there"),
            }
        }
        assert_eq!(admitted, all[..most].iter().collect::<Vec<_>>(), "the first ones");
    }
}

#[test]
fn an_upgrade_that_may_be_under_way_is_not_evicted() {
    let mut all = connections(limits::DEVICE_SOCKETS + 1, true);
    let opening = i64::try_from(OPENING_SECONDS).unwrap() * 1_000;
    for (age, is_evicted) in [(opening - 1, false), (opening, true)] {
        all[1].connected = Timestamp(NOW.0 - age);
        assert_eq!(evicted(&with_new(all.clone())) == ["c1"], is_evicted, "{age}");
    }
    // Eight of them refuse a ninth, but not one of another device.
    for connection in &mut all {
        connection.connected = Timestamp(NOW.0 - 1);
    }
    assert_eq!(admit(&with_new(all.clone()), &"c0".parse().unwrap(), NOW), Admission::Crowded);
    all[0].device = "d1".parse().unwrap();
    assert!(evicted(&with_new(all.clone())).is_empty());
    assert_eq!(admit(&all, &"elsewhere".parse().unwrap(), NOW), Admission::Missing);
}
