use tidings_wire::{Platform, Timestamp};

use super::*;
use crate::UserKey;

fn device(n: usize, used: i64) -> Device {
    Device {
        id: format!("d{n}").parse().unwrap(),
        user: UserKey { app: "demo".parse().unwrap(), tenant: String::new(), alias: "alice".into() },
        generation: 1,
        platform: Platform::Web,
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
        platform: Platform::Web,
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

#[test]
fn a_device_holds_eight_sockets_and_its_user_sixty_four() {
    let new: ConnectionId = "c0".parse().unwrap();
    // The new one has the oldest lease, and stays.
    let of_one: Vec<_> = (0..limits::DEVICE_SOCKETS + 2).map(|n| connection(n, 0, i64::try_from(n).unwrap())).collect();
    assert!(surplus_connections(&of_one[..limits::DEVICE_SOCKETS], &new).is_empty());
    assert_eq!(ids(&surplus_connections(&of_one, &new)), ["c2", "c1"]);

    let of_many =
        |count: usize| -> Vec<_> { (0..count).map(|n| connection(n, n, i64::try_from(n).unwrap())).collect() };
    assert!(surplus_connections(&of_many(limits::USER_SOCKETS), &new).is_empty());
    assert_eq!(ids(&surplus_connections(&of_many(limits::USER_SOCKETS + 1), &new)), ["c1"]);
}

#[test]
fn sockets_of_a_device_beyond_its_own_bound_do_not_count_against_the_user() {
    let mut connections: Vec<_> = (0..20).map(|n| connection(n, 0, 100)).collect();
    connections.extend((20..20 + limits::USER_SOCKETS - limits::DEVICE_SOCKETS).map(|n| connection(n, n, 50)));
    let gone = surplus_connections(&connections, &"c0".parse().unwrap());
    assert_eq!(gone.len(), 20 - limits::DEVICE_SOCKETS);
    assert!(gone.iter().all(|connection| connection.device.as_str() == "d0"));
}

#[test]
fn two_that_come_at_the_same_moment_evict_the_same_ones() {
    let connections: Vec<_> = (0..limits::DEVICE_SOCKETS + 2).map(|n| connection(n, 0, 7)).collect();
    let (one, other) = ("c8".parse().unwrap(), "c9".parse().unwrap());
    assert_eq!(ids(&surplus_connections(&connections, &one)), ids(&surplus_connections(&connections, &other)));
}
