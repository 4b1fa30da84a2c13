use tidings_domain::Timestamp;

use super::schedule::Schedule;

fn at(seconds: i64) -> Timestamp {
    Timestamp(seconds * 1_000)
}

#[test]
fn what_was_read_serves_until_it_is_aged() {
    let mut schedule = Schedule::begin(at(0), 300);
    assert!(!schedule.is_aged(at(299)) && schedule.is_aged(at(300)));
    schedule.succeeded(at(400));
    assert!(!schedule.is_aged(at(699)) && schedule.is_aged(at(700)));
}

#[test]
fn a_failed_read_is_repeated_sooner() {
    let mut schedule = Schedule::begin(at(0), 300);
    schedule.failed(at(300));
    assert!(!schedule.is_aged(at(329)) && schedule.is_aged(at(330)));
    let mut often = Schedule::begin(at(0), 5);
    often.failed(at(5));
    assert!(often.is_aged(at(10)), "never later than without the failure");
}

#[test]
fn an_unknown_version_is_looked_up_at_once_and_then_not_for_ten_seconds() {
    let mut schedule = Schedule::begin(at(0), 300);
    assert!(schedule.may_look_up(at(0)), "another process may have read a version that came just after");
    schedule.looked_up(at(1));
    assert!(!schedule.may_look_up(at(10)) && schedule.may_look_up(at(11)));
    schedule.succeeded(at(2));
    assert!(!schedule.may_look_up(at(10)), "a read for age permits no look-up");
}
