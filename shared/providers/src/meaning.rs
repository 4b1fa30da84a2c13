//! The table of all providers' codes and their meanings. docs/operations.md repeats it for operators.
//!
//! A request that was certainly not acted on may be sent again; one that may have been acted on never is. A code in
//! doubt is therefore [`Meaning::Unknown`]. The refusals that declare an address dead stand with each provider's
//! protocol.

use std::ops::RangeInclusive;

/// The fate of the request that a code answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// It was not acted on, and a repetition would not be either.
    Refused,
    /// It was not acted on, because too much was asked for; the provider works.
    Throttled,
    /// It was not acted on, because the provider fails, or the request came too late.
    Failing,
    /// It may have been acted on.
    Unknown,
}

/// The protocol of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codes {
    /// A status of HTTP, in answers of APNs, FCM, Web Push, Mi Push and webhooks.
    Http,
    /// The number in an answer of Mi Push, which refuses with status 200.
    Mipush,
    /// The name in an answer of Amazon SES v2 or Amazon SNS, or one of the names that all AWS services share.
    Aws,
}

/// Codes of one meaning.
type Numbers = (Codes, RangeInclusive<i64>, Meaning);

/// The rows of numbers; the first that matches counts. A number without a row is a refusal.
const NUMBERS: &[Numbers] = &[
    // The request did not arrive in time, or not completely.
    (Codes::Http, 408..=408, Meaning::Failing),
    (Codes::Http, 429..=429, Meaning::Throttled),
    // A gateway gave up waiting; the provider behind it may have acted.
    (Codes::Http, 504..=504, Meaning::Unknown),
    // APNs, FCM and the push services ask to send again after these.
    (Codes::Http, 500..=599, Meaning::Failing),
    // System error, service suspended, remote service error; system busy.
    (Codes::Mipush, 10_001..=10_003, Meaning::Failing),
    (Codes::Mipush, 10_009..=10_009, Meaning::Failing),
    // Too often: by IP, by user, by API; by app.
    (Codes::Mipush, 10_022..=10_024, Meaning::Throttled),
    (Codes::Mipush, 10_027..=10_027, Meaning::Throttled),
];

/// The names in answers of AWS, with those of the SDK's errors that SES v2 and SNS declare first. The enumerations of
/// the SDK may grow, so no match over them is exhaustive; a name without a row is classified by its status.
const NAMES: &[(&[&str], Meaning)] = &[
    // SendEmail.
    (&["TooManyRequestsException", "LimitExceededException"], Meaning::Throttled),
    // An operator has paused sending, and may resume it.
    (&["SendingPausedException"], Meaning::Failing),
    (
        &[
            "AccountSuspendedException",
            "BadRequestException",
            "MailFromDomainNotVerifiedException",
            "MessageRejected",
            "NotFoundException",
        ],
        Meaning::Refused,
    ),
    // Publish.
    (&["KMSThrottling"], Meaning::Throttled),
    (&["InternalError"], Meaning::Unknown),
    (
        &[
            "AuthorizationError",
            "EndpointDisabled",
            "InvalidParameter",
            "InvalidSecurity",
            "KMSAccessDenied",
            "KMSDisabled",
            "KMSInvalidState",
            "KMSNotFound",
            "KMSOptInRequired",
            "NotFound",
            "OptedOut",
            "ParameterValueInvalid",
            "PlatformApplicationDisabled",
            "ValidationException",
        ],
        Meaning::Refused,
    ),
    // All services.
    (
        &[
            "Throttling",
            "ThrottlingException",
            "ThrottledException",
            "RequestThrottled",
            "RequestThrottledException",
            "RequestLimitExceeded",
            "BandwidthLimitExceeded",
            "SlowDown",
        ],
        Meaning::Throttled,
    ),
    (
        &[
            "ServiceUnavailable",
            "ServiceUnavailableException",
            "RequestTimeout",
            "RequestTimeoutException",
            // The function's credentials or its request expired while it was frozen: another process has new ones.
            "ExpiredToken",
            "ExpiredTokenException",
            "RequestExpired",
        ],
        Meaning::Failing,
    ),
    (
        &["InternalFailure", "InternalServerError", "InternalServiceError", "InternalServiceErrorException"],
        Meaning::Unknown,
    ),
    (
        &[
            "AccessDenied",
            "AccessDeniedException",
            "IncompleteSignature",
            "InvalidClientTokenId",
            "OptInRequired",
            "SignatureDoesNotMatch",
            "UnrecognizedClientException",
        ],
        Meaning::Refused,
    ),
];

/// The meaning of a number.
#[must_use]
pub fn of_number(codes: Codes, number: i64) -> Meaning {
    let fits = |(whose, numbers, _): &&Numbers| *whose == codes && numbers.contains(&number);
    NUMBERS.iter().find(fits).map_or(Meaning::Refused, |(_, _, meaning)| *meaning)
}

/// The meaning of an AWS error: by its name if the table has it, otherwise by its status.
#[must_use]
pub fn of_aws(name: Option<&str>, status: u16) -> Meaning {
    let named = name.and_then(|name| NAMES.iter().find(|(names, _)| names.contains(&name)));
    named.map_or_else(
        || match status {
            429 => Meaning::Throttled,
            503 => Meaning::Failing,
            400..=499 => Meaning::Refused,
            // This includes a success whose body cannot be read.
            _ => Meaning::Unknown,
        },
        |(_, meaning)| *meaning,
    )
}

/// Every name in the table, with its meaning.
pub fn names() -> impl Iterator<Item = (&'static str, Meaning)> {
    NAMES.iter().flat_map(|(names, meaning)| names.iter().map(|name| (*name, *meaning)))
}

/// Every number in the table that is not an HTTP status, with its meaning.
pub fn numbers() -> impl Iterator<Item = (i64, Meaning)> {
    let others = NUMBERS.iter().filter(|(codes, _, _)| *codes != Codes::Http);
    others.flat_map(|(_, numbers, meaning)| numbers.clone().map(|number| (number, *meaning)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn what_was_certainly_not_sent_may_be_sent_again_and_nothing_else() {
        for (status, expected) in [
            (400, Meaning::Refused),
            (404, Meaning::Refused),
            (408, Meaning::Failing),
            (413, Meaning::Refused),
            (429, Meaning::Throttled),
            (500, Meaning::Failing),
            (502, Meaning::Failing),
            (503, Meaning::Failing),
            (504, Meaning::Unknown),
            (301, Meaning::Refused),
        ] {
            assert_eq!(of_number(Codes::Http, status), expected, "{status}");
        }
        for (name, status, expected) in [
            (Some("Throttling"), 400, Meaning::Throttled),
            (Some("TooManyRequestsException"), 429, Meaning::Throttled),
            (Some("ServiceUnavailable"), 503, Meaning::Failing),
            (Some("InternalError"), 500, Meaning::Unknown),
            (Some("InternalFailure"), 500, Meaning::Unknown),
            (Some("MessageRejected"), 400, Meaning::Refused),
            (Some("ExpiredTokenException"), 403, Meaning::Failing),
            // A name without a row is classified by its status.
            (Some("Unheard"), 400, Meaning::Refused),
            (Some("Unheard"), 429, Meaning::Throttled),
            (Some("Unheard"), 500, Meaning::Unknown),
            (None, 503, Meaning::Failing),
            (None, 502, Meaning::Unknown),
            (None, 200, Meaning::Unknown),
        ] {
            assert_eq!(of_aws(name, status), expected, "{name:?} {status}");
        }
    }

    #[test]
    fn a_name_stands_once() {
        let all: Vec<&str> = names().map(|(name, _)| name).collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    }

    /// The table in docs/operations.md has every code of this one, in a row with the same word.
    #[test]
    fn the_document_has_every_code_with_the_same_meaning() {
        let document = include_str!("../../../docs/operations.md");
        let codes = names().map(|(name, meaning)| (name.to_owned(), meaning));
        for (code, meaning) in codes.chain(numbers().map(|(number, meaning)| (number.to_string(), meaning))) {
            let quoted = format!("`{code}`");
            let word = match meaning {
                Meaning::Refused => "refused",
                Meaning::Throttled | Meaning::Failing => "put off",
                Meaning::Unknown => "unknown",
            };
            let rows: Vec<&str> =
                document.lines().filter(|line| line.starts_with('|') && line.contains(&quoted)).collect();
            assert!(rows.iter().any(|row| row.contains(word)), "{quoted} in a row with {word:?}: {rows:?}");
        }
    }
}
