//! Schedule expressions: `rate(…)` and `cron(…)`.

use std::collections::BTreeSet;
use std::time::Duration;

use time::{Date, OffsetDateTime, Time, Weekday};

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
    days: Days,
    months: BTreeSet<u16>,
    weekdays: Weekdays,
    years: BTreeSet<u16>,
}

/// The field of the days of a month.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Days {
    /// `?` or `*`.
    Any,
    Listed(BTreeSet<u16>),
    /// `L`
    Last,
    /// `LW`: the last day from Monday to Friday.
    LastWorkday,
    /// `15W`: the day from Monday to Friday that is nearest to this day of the month.
    Workday(u16),
}

/// The field of the days of a week. Sunday is 1.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Weekdays {
    /// `?` or `*`.
    Any,
    Listed(BTreeSet<u16>),
    /// `2#1`: the first Monday of the month.
    Nth(u16, u16),
    /// `6L`: the last Friday of the month.
    Last(u16),
}

impl Expression {
    /// Reads `rate(5 minutes)` or `cron(0 12 * * ? *)`.
    ///
    /// # Errors
    /// If it is neither, or AWS refuses it.
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
        if (days == "?") == (weekdays == "?") {
            return Err("one of day-of-month and day-of-week is ?");
        }
        Ok(Self {
            minutes: parse_field(minutes, (0, 59), &[])?,
            hours: parse_field(hours, (0, 23), &[])?,
            days: Days::parse(days)?,
            months: parse_field(months, (1, 12), &MONTHS)?,
            weekdays: Weekdays::parse(weekdays)?,
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
        u16::try_from(date.year()).is_ok_and(|year| self.years.contains(&year))
            && self.months.contains(&u16::from(u8::from(date.month())))
            && self.days.allow(date)
            && self.weekdays.allow(date)
    }
}

impl Days {
    const RANGE: (u16, u16) = (1, 31);

    fn parse(field: &str) -> Result<Self, &'static str> {
        Ok(match field {
            "?" | "*" => Self::Any,
            "L" => Self::Last,
            "LW" => Self::LastWorkday,
            _ => match field.strip_suffix('W') {
                Some(day) => Self::Workday(parse_value(day, Self::RANGE, &[])?),
                None => Self::Listed(parse_field(field, Self::RANGE, &[])?),
            },
        })
    }

    fn allow(&self, date: Date) -> bool {
        let (day, last) = (date.day(), date.month().length(date.year()));
        match self {
            Self::Any => true,
            Self::Listed(days) => days.contains(&u16::from(day)),
            Self::Last => day == last,
            Self::LastWorkday => nearest_workday(date, last) == Some(day),
            Self::Workday(to) => u8::try_from(*to).is_ok_and(|to| nearest_workday(date, to) == Some(day)),
        }
    }
}

impl Weekdays {
    const RANGE: (u16, u16) = (1, 7);

    fn parse(field: &str) -> Result<Self, &'static str> {
        let weekday = |text: &str| parse_value(text, Self::RANGE, &WEEKDAYS);
        Ok(match (field, field.split_once('#'), field.strip_suffix('L')) {
            ("?" | "*", ..) => Self::Any,
            // The last day of the week.
            ("L", ..) => Self::Listed(BTreeSet::from([7])),
            (_, Some((day, nth)), _) => Self::Nth(weekday(day)?, parse_value(nth, (1, 5), &[])?),
            (_, _, Some(day)) => Self::Last(weekday(day)?),
            _ => Self::Listed(parse_field(field, Self::RANGE, &WEEKDAYS)?),
        })
    }

    fn allow(&self, date: Date) -> bool {
        let weekday = u16::from(date.weekday().number_days_from_sunday()) + 1;
        let (day, last) = (u16::from(date.day()), u16::from(date.month().length(date.year())));
        match self {
            Self::Any => true,
            Self::Listed(days) => days.contains(&weekday),
            Self::Nth(of, nth) => weekday == *of && (day - 1) / 7 + 1 == *nth,
            Self::Last(of) => weekday == *of && day + 7 > last,
        }
    }
}

/// The day from Monday to Friday that is nearest to a day of this month and within the month, if it has that day.
fn nearest_workday(month: Date, day: u8) -> Option<u8> {
    let last = month.month().length(month.year());
    Some(match month.replace_day(day).ok()?.weekday() {
        Weekday::Saturday if day == 1 => 3,
        Weekday::Saturday => day - 1,
        Weekday::Sunday if day == last => day - 2,
        Weekday::Sunday => day + 1,
        _ => day,
    })
}

/// A number, or a name that stands for one.
fn parse_value(text: &str, (first, last): (u16, u16), names: &[&str]) -> Result<u16, &'static str> {
    let named = names.iter().position(|name| name.eq_ignore_ascii_case(text));
    let number = match named {
        Some(index) => first + u16::try_from(index).unwrap_or_default(),
        None => text.parse().map_err(|_| "a field is not understood")?,
    };
    if (first..=last).contains(&number) { Ok(number) } else { Err("a field is out of its range") }
}

/// `*`, `5`, `1-5`, `0/15`, `MON-FRI` and lists of these.
fn parse_field(text: &str, (first, last): (u16, u16), names: &[&str]) -> Result<BTreeSet<u16>, &'static str> {
    let value = |text: &str| parse_value(text, (first, last), names);
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
    fn days_are_counted_from_the_ends_of_months_and_weeks() {
        let sunday = datetime!(2026-11-22 05:20:30 UTC);
        for (expression, expected) in [
            ("cron(0 9 ? * 2#1 *)", datetime!(2026-12-07 09:00 UTC)),
            ("cron(0 9 ? * FRI#5 *)", datetime!(2027-01-29 09:00 UTC)),
            ("cron(0 9 ? * 6L *)", datetime!(2026-11-27 09:00 UTC)),
            ("cron(0 9 ? * SUNL *)", datetime!(2026-11-29 09:00 UTC)),
            ("cron(0 9 ? * L *)", datetime!(2026-11-28 09:00 UTC)),
            ("cron(0 9 LW * ? *)", datetime!(2026-11-30 09:00 UTC)),
            ("cron(0 9 LW 2 ? *)", datetime!(2027-02-26 09:00 UTC)),
            // The 28th is a Saturday, the 29th a Sunday.
            ("cron(0 9 28W * ? *)", datetime!(2026-11-27 09:00 UTC)),
            ("cron(0 9 29W * ? *)", datetime!(2026-11-30 09:00 UTC)),
            // A Saturday that begins a month, a Sunday that ends one, and a day that November does not have.
            ("cron(0 9 1W 5 ? 2027)", datetime!(2027-05-03 09:00 UTC)),
            ("cron(0 9 31W 1 ? 2027)", datetime!(2027-01-29 09:00 UTC)),
            ("cron(0 9 31W * ? *)", datetime!(2026-12-31 09:00 UTC)),
        ] {
            check(expression, sunday, Some(expected));
        }
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
            "cron(0 0 * * * *)",
            "cron(0 0 ? * ? *)",
            "cron(0 0 ? * 2#6 *)",
            "cron(0 0 ? * 8L *)",
            "cron(0 0 32W * ? *)",
            "cron(0 0 W * ? *)",
        ] {
            assert!(Expression::parse(text).is_err(), "{text}");
        }
    }
}
