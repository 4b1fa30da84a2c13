//! `GET` and `PUT /v1/users/{alias}/preferences`, `/v1/preferences`: what a person wants to be notified of, by which
//! channel, and when not.
//!
//! They hold for fallback steps, and not for the socket: a muted message is still in the mailbox and still comes to an
//! open page, which decides how to show it.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use serde_json::{Map, Value};

use crate::{Choice, FieldProblem, fields::Fields, limits, open::known_keys, send::Channel};

/// What a person wants to be notified of. It holds for every step of a fallback chain, at the moment when the step is
/// due, and not for the socket. Absent fields are as for a person who has set nothing: everything is welcome.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::schema::request))]
pub struct Preferences {
    /// No channel is used at all, whatever the other fields are.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub muted: bool,
    /// Which channels are welcome.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "known_keys::deserialize")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::Welcome<Channel>"))]
    pub channels: BTreeMap<Channel, bool>,
    /// What differs for messages of a `category`, by its name. When it is set, the name must be one of the app's
    /// categories, if it has declared any.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(
        feature = "schema",
        schemars(
            extend(
                "maxProperties" = limits::PREFERRED_CATEGORIES,
                "propertyNames" = {"minLength": 1, "maxLength": limits::IDENTIFIER_CHARS}
            )
        )
    )]
    pub categories: BTreeMap<String, CategoryPreferences>,
    /// When no step is to go out: from a minute until before another, `HH:MM` in the person's local time, except for
    /// the categories in `except`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quiet_hours: Option<QuietHours>,
    /// Time zone of the quiet hours (IANA name). Default: the one that a device of the user was registered with last,
    /// else UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(
            length(min = 1, max = limits::IDENTIFIER_CHARS),
            regex(pattern = r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$")
        )
    )]
    pub time_zone: Option<String>,
    /// Language that the person reads (BCP 47). For senders; the service does not use it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(length(max = limits::IDENTIFIER_CHARS), regex(pattern = crate::language::PATTERN))
    )]
    pub language: Option<String>,
}

/// What differs for one category.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::schema::request))]
pub struct CategoryPreferences {
    /// No channel is used for it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub muted: bool,
    /// Which channels are welcome for it; the general ones hold for channels that are not named.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "known_keys::deserialize")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::Welcome<Channel>"))]
    pub channels: BTreeMap<Channel, bool>,
}

/// A part of every day when nothing is to be heard, by the clock on the person's wall; over midnight if `from` is later
/// than `to`. They must differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::schema::request))]
pub struct QuietHours {
    /// The first quiet minute.
    pub from: WallTime,
    /// The first minute that is not quiet any more.
    pub to: WallTime,
    /// Categories that are heard all the same. When they are set, they must be among the app's categories, if it has
    /// declared any.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    #[cfg_attr(
        feature = "schema",
        schemars(length(max = limits::PREFERRED_CATEGORIES), inner(length(max = limits::IDENTIFIER_CHARS)))
    )]
    pub except: Vec<String>,
}

impl QuietHours {
    /// Whether it is quiet when the clock on the wall shows this.
    #[must_use]
    pub fn contains(&self, time: WallTime) -> bool {
        if self.from <= self.to { self.from <= time && time < self.to } else { self.from <= time || time < self.to }
    }
}

/// What a clock on the wall shows, to the minute: `HH:MM`, from `00:00` to `23:59`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(inline, extend("pattern" = "^([01][0-9]|2[0-3]):[0-5][0-9]$"))
)]
pub struct WallTime(#[cfg_attr(feature = "schema", schemars(with = "String"))] u16);

impl WallTime {
    /// `None` for what no clock shows.
    #[must_use]
    pub fn new(hour: u8, minute: u8) -> Option<Self> {
        (hour < 24 && minute < 60).then(|| Self(u16::from(hour) * 60 + u16::from(minute)))
    }

    fn parse(text: &str) -> Option<Self> {
        let (hour, minute) = text.split_once(':')?;
        let number = |digits: &str| {
            let digits = Some(digits).filter(|d| d.len() == 2 && d.bytes().all(|b| b.is_ascii_digit()))?;
            digits.parse().ok()
        };
        Self::new(number(hour)?, number(minute)?)
    }
}

impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

impl Serialize for WallTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for WallTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("not a time as HH:MM"))
    }
}

impl Preferences {
    /// Reads all preferences of a person: fields that are absent are as for a person who has set none. Names every
    /// field that is wrong or not known. Whether a time zone exists is not known here.
    ///
    /// # Errors
    /// One [`FieldProblem`] for each.
    pub fn parse(object: Map<String, Value>) -> Result<Self, Vec<FieldProblem>> {
        let mut fields = Fields::new(object);
        let preferences = Self {
            muted: fields.boolean("muted").unwrap_or_default(),
            channels: channels(&mut fields),
            categories: fields
                .entries("categories", limits::PREFERRED_CATEGORIES, limits::IDENTIFIER_CHARS, |fields| {
                    let muted = fields.boolean("muted").unwrap_or_default();
                    Some(CategoryPreferences { muted, channels: channels(fields) })
                })
                .unwrap_or_default()
                .into_iter()
                .collect(),
            quiet_hours: fields.object("quietHours", quiet_hours),
            time_zone: fields.text("timeZone", limits::IDENTIFIER_CHARS),
            language: fields.language("language"),
        };
        let problems = fields.into_problems();
        if problems.is_empty() { Ok(preferences) } else { Err(problems) }
    }
}

fn channels(fields: &mut Fields) -> BTreeMap<Channel, bool> {
    let read = |fields: &mut Fields| {
        Some(Channel::ALL.iter().filter_map(|(word, channel)| Some((*channel, fields.boolean(word)?))).collect())
    };
    fields.object("channels", read).unwrap_or_default()
}

fn quiet_hours(fields: &mut Fields) -> Option<QuietHours> {
    let mut time = |name: &'static str| {
        fields.require(name);
        let text = fields.text(name, limits::IDENTIFIER_CHARS)?;
        let time = WallTime::parse(&text);
        if time.is_none() {
            fields.refuse(name, "must be a time as HH:MM, from 00:00 to 23:59");
        }
        time
    };
    let (from, to) = (time("from"), time("to"));
    let except = fields.names("except", limits::PREFERRED_CATEGORIES, limits::IDENTIFIER_CHARS).unwrap_or_default();
    let (from, to) = (from?, to?);
    if from == to {
        fields.refuse("to", "must differ from `from`; set `muted` for silence all day");
        return None;
    }
    Some(QuietHours { from, to, except })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(value: Value) -> Result<Preferences, Vec<String>> {
        Preferences::parse(value.as_object().unwrap().clone()).map_err(|problems| {
            problems.into_iter().map(|problem| format!("{}: {}", problem.field, problem.detail)).collect()
        })
    }

    #[test]
    fn reads_every_field_and_writes_it_again() {
        let value = serde_json::json!({
            "muted": true, "channels": {"sms": false, "email": true},
            "categories": {"news": {"muted": true}, "orders": {"channels": {"sms": true}}},
            "quietHours": {"from": "22:00", "to": "07:30", "except": ["alerts"]},
            "timeZone": "Asia/Shanghai", "language": "zh-CN",
        });
        assert_eq!(serde_json::to_value(parse(value.clone()).unwrap()).unwrap(), value);
        assert_eq!(parse(serde_json::json!({})).unwrap(), Preferences::default());
        assert_eq!(serde_json::to_value(Preferences::default()).unwrap(), serde_json::json!({}));
        assert_eq!(serde_json::from_value::<Preferences>(serde_json::json!({})).unwrap(), Preferences::default());
    }

    #[test]
    fn names_every_field_that_is_wrong() {
        let many: Map<String, Value> =
            (0..=limits::PREFERRED_CATEGORIES).map(|n| (n.to_string(), serde_json::json!({}))).collect();
        for (value, problem) in [
            (serde_json::json!({"muted": "yes"}), "muted: must be true or false"),
            (serde_json::json!({"mute": true}), "mute: is not a field of this request; did you mean `muted`?"),
            (serde_json::json!({"channels": {"sms": 0}}), "channels.sms: must be true or false"),
            (serde_json::json!({"channels": {"pigeon": true}}), "channels.pigeon: is not a field of this request"),
            (serde_json::json!({"channels": []}), "channels: must be an object"),
            (serde_json::json!({"categories": {"": {}}}), "categories: has an empty name"),
            (
                serde_json::json!({"categories": {"n".repeat(65): {}}}),
                "categories: has a name of 65 characters; the limit is 64",
            ),
            (serde_json::json!({"categories": {"news": 1}}), "categories.news: must be an object"),
            (
                serde_json::json!({"categories": {"news": {"x": 1}}}),
                "categories.news.x: is not a field of this request",
            ),
            (serde_json::json!({"categories": many}), "categories: has 51 items; the limit is 50"),
            (serde_json::json!({"quietHours": {"from": "22:00"}}), "quietHours.to: is required"),
            (
                serde_json::json!({"quietHours": {"from": "24:00", "to": "07:00"}}),
                "quietHours.from: must be a time as HH:MM, from 00:00 to 23:59",
            ),
            (
                serde_json::json!({"quietHours": {"from": "7:00", "to": "08:00"}}),
                "quietHours.from: must be a time as HH:MM, from 00:00 to 23:59",
            ),
            (
                serde_json::json!({"quietHours": {"from": "07:00", "to": "07:00"}}),
                "quietHours.to: must differ from `from`; set `muted` for silence all day",
            ),
        ] {
            assert_eq!(parse(value), Err(vec![problem.to_owned()]));
        }
    }

    #[test]
    fn quiet_hours_may_pass_midnight() {
        let time = |text| WallTime::parse(text).unwrap();
        let quiet = |from, to, at| QuietHours { from: time(from), to: time(to), except: vec![] }.contains(time(at));
        for (at, day, night) in [
            ("00:00", false, true),
            ("06:59", false, true),
            ("07:00", true, false),
            ("21:59", true, false),
            ("22:00", false, true),
            ("23:59", false, true),
        ] {
            assert_eq!((quiet("07:00", "22:00", at), quiet("22:00", "07:00", at)), (day, night), "{at}");
        }
    }
}
