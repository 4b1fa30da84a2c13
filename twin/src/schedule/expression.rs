//! Schedule expressions: `rate(…)` and `cron(…)`.

use std::collections::BTreeSet;
use std::time::Duration;

use time::{Date, Month, OffsetDateTime, Time};

/// How many years ahead a cron expression is searched for its next time.
const HORIZON_YEARS: i32 = 10;

/// The reason for which an expression is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("schedule expression {expression:?}: {reason}")]
pub struct ExpressionError {
    expression: String,
    reason: &'static str,
}

/// The times at which a schedule fires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    /// At an interval, from the start on.
    Rate(Duration),
    /// At the times of a calendar, in UTC.
    Cron(Cron),
}

/// The six fields of an EventBridge cron expression, each as the set of its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    minutes: BTreeSet<u16>,
    hours: BTreeSet<u16>,
    /// None if the field is `?` or `*`.
    days: Option<BTreeSet<u16>>,
    last_day: bool,
    months: BTreeSet<u16>,
    /// None if the field is `?` or `*`; Sunday is 1.
    weekdays: Option<BTreeSet<u16>>,
    years: BTreeSet<u16>,
}

impl Expression {
    /// Reads `rate(5 minutes)` or `cron(0 12 * * ? *)`.
    ///
    /// # Errors
    /// If it is neither, or uses `W` or `#`, which the twin does not support.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        let inside = |kind: &str| text.trim().strip_prefix(kind)?.strip_suffix(')');
        let parsed = if let Some(rate) = inside("rate(") {
            parse_rate(rate).map(Self::Rate)
        } else if let Some(cron) = inside("cron(") {
            Cron::parse(cron).map(Self::Cron)
        } else {
            Err("it is neither rate(…) nor cron(…)")
        };
        parsed.map_err(|reason| ExpressionError { expression: text.to_owned(), reason })
    }

    /// The first time after this moment; none if the calendar has no later one.
    #[must_use]
    pub fn next_after(&self, moment: OffsetDateTime) -> Option<OffsetDateTime> {
        match self {
            Self::Rate(period) => moment.checked_add(time::Duration::try_from(*period).ok()?),
            Self::Cron(cron) => cron.next_after(moment),
        }
    }
}

fn parse_rate(text: &str) -> Result<Duration, &'static str> {
    let (value, unit) = text.trim().split_once(' ').ok_or("a rate is a number and a unit")?;
    let value: u32 = value.parse().map_err(|_| "the rate is not a number")?;
    if value > 0 && (value == 1) == unit.trim().ends_with('s') {
        return Err("AWS takes the singular for 1, and the plural for more");
    }
    let unit = match unit.trim() {
        "minute" | "minutes" => Duration::from_secs(60),
        "hour" | "hours" => Duration::from_secs(60 * 60),
        "day" | "days" => Duration::from_secs(24 * 60 * 60),
        _ => return Err("the unit is minutes, hours or days"),
    };
    if value == 0 { Err("the rate is zero") } else { Ok(unit * value) }
}

const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

impl Cron {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let &[minutes, hours, days, months, weekdays, years] = fields.as_slice() else {
            return Err("a cron expression has six fields");
        };
        if (days == "?") == (weekdays == "?") && days != "*" && weekdays != "*" {
            return Err("one of day-of-month and day-of-week is ?");
        }
        let any = |field: &str| matches!(field, "?" | "*");
        let parse_days = |field: &str, range, names| match any(field) {
            true => Ok(None),
            false => parse_field(field, range, names).map(Some),
        };
        let last_day = days == "L";
        Ok(Self {
            minutes: parse_field(minutes, (0, 59), &[])?,
            hours: parse_field(hours, (0, 23), &[])?,
            days: if last_day { None } else { parse_days(days, (1, 31), &[])? },
            last_day,
            months: parse_field(months, (1, 12), &MONTHS)?,
            weekdays: parse_days(weekdays, (1, 7), &WEEKDAYS)?,
            years: parse_field(years, (1970, 2199), &[])?,
        })
    }

    fn next_after(&self, moment: OffsetDateTime) -> Option<OffsetDateTime> {
        let mut date = moment.date();
        let horizon = date.year() + HORIZON_YEARS;
        while date.year() <= horizon {
            if self.allows(date) {
                let earliest = (date == moment.date()).then(|| (u16::from(moment.hour()), u16::from(moment.minute())));
                let times = self.hours.iter().flat_map(|hour| self.minutes.iter().map(move |minute| (*hour, *minute)));
                let next = times.into_iter().find(|time| earliest.is_none_or(|earliest| *time > earliest));
                if let Some((hour, minute)) = next {
                    let time = Time::from_hms(u8::try_from(hour).ok()?, u8::try_from(minute).ok()?, 0).ok()?;
                    return Some(date.with_time(time).assume_utc());
                }
            }
            date = date.next_day()?;
        }
        None
    }

    fn allows(&self, date: Date) -> bool {
        let weekday = u16::from(date.weekday().number_days_from_sunday()) + 1;
        let day = u16::from(date.day());
        u16::try_from(date.year()).is_ok_and(|year| self.years.contains(&year))
            && self.months.contains(&u16::from(u8::from(date.month())))
            && self.days.as_ref().is_none_or(|days| days.contains(&day))
            && self.weekdays.as_ref().is_none_or(|days| days.contains(&weekday))
            && (!self.last_day || date.day() == days_in(date.month(), date.year()))
    }
}

fn days_in(month: Month, year: i32) -> u8 {
    month.length(year)
}

/// `*`, `5`, `1-5`, `0/15`, `MON-FRI` and lists of these.
fn parse_field(text: &str, (first, last): (u16, u16), names: &[&str]) -> Result<BTreeSet<u16>, &'static str> {
    let value = |text: &str| -> Result<u16, &'static str> {
        let named = names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let number = match named {
            Some(index) => first + u16::try_from(index).unwrap_or_default(),
            None => text.parse().map_err(|_| "a field is not understood")?,
        };
        if (first..=last).contains(&number) { Ok(number) } else { Err("a field is out of its range") }
    };
    let mut allowed = BTreeSet::new();
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step.parse::<u16>().map_err(|_| "a step is not a number")?)),
            None => (part, None),
        };
        let (from, to) = match (range, range.split_once('-')) {
            ("*" | "?", _) => (first, last),
            (_, Some((from, to))) => (value(from)?, value(to)?),
            // `5/15` is every fifteenth from five on.
            (_, None) if step.is_some() => (value(range)?, last),
            (_, None) => (value(range)?, value(range)?),
        };
        let step = step.unwrap_or(1);
        if step == 0 || from > to {
            return Err("a range or a step is empty");
        }
        allowed.extend((from..=to).step_by(usize::from(step)));
    }
    Ok(allowed)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[track_caller]
    fn check(expression: &str, after: OffsetDateTime, expected: Option<OffsetDateTime>) {
        assert_eq!(Expression::parse(expression).unwrap().next_after(after), expected, "{expression}");
    }

    #[test]
    fn rates_repeat() {
        let moment = datetime!(2026-11-22 05:20:30 UTC);
        check("rate(1 minute)", moment, Some(datetime!(2026-11-22 05:21:30 UTC)));
        check("rate(12 hours)", moment, Some(datetime!(2026-11-22 17:20:30 UTC)));
    }

    #[test]
    fn calendars_are_followed() {
        let sunday = datetime!(2026-11-22 05:20:30 UTC);
        check("cron(0/15 * * * ? *)", sunday, Some(datetime!(2026-11-22 05:30 UTC)));
        check("cron(20 5 * * ? *)", sunday, Some(datetime!(2026-11-23 05:20 UTC)));
        check("cron(0 9 ? * MON-FRI *)", sunday, Some(datetime!(2026-11-23 09:00 UTC)));
        check("cron(0 0 L * ? *)", sunday, Some(datetime!(2026-11-30 00:00 UTC)));
        check("cron(0 0 29 FEB ? *)", sunday, Some(datetime!(2028-02-29 00:00 UTC)));
        check("cron(0 0 1 1 ? 2020)", sunday, None);
    }

    #[test]
    fn invalid_expressions_are_refused_with_a_reason() {
        for text in [
            "every day",
            "rate(0 minutes)",
            "rate(1 minutes)",
            "rate(5 minute)",
            "rate(5)",
            "cron(* * * *)",
            "cron(61 * * * ? *)",
            "cron(0 0 1 * 2 *)",
        ] {
            assert!(Expression::parse(text).is_err(), "{text}");
        }
    }
}
