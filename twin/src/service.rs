//! The description of an AWS service for ledger, faults and control API. The services are in
//! [`services`](crate::services).

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use serde::{Serialize, Serializer};

use crate::faults::Fault;

/// An AWS service. Each folder of `services` defines one.
#[derive(Clone, Copy)]
pub struct Service(&'static Definition);

/// The definition of a service, which exists without starting it.
#[derive(Debug)]
pub struct Definition {
    /// Its name in traces, rules of faults and on the command line: `dynamodb`.
    pub name: &'static str,
    /// Its name for people: `DynamoDB`.
    pub title: &'static str,
    /// Its place in lists and in the line of a trace; the first is 0.
    pub place: u8,
    /// The operations of the real service that a function may request.
    pub operations: &'static [&'static str],
    /// The words for an operation in the line of a trace.
    pub words: fn(operation: &str) -> Words,
    /// The faults that only this service has, at an operation.
    pub faults: fn(operation: &str) -> &'static [Fault],
}

/// The words under which the line of a trace counts requests: `DynamoDB 1 read 2 writes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Words {
    /// The place among the words of the service; the first is 0.
    pub order: u8,
    /// The group in which they are counted; empty if `many` stands alone.
    pub group: &'static str,
    /// The word for one.
    pub one: &'static str,
    /// The word for any other number.
    pub many: &'static str,
}

impl Words {
    /// A word that stands without a group: `posts 1`.
    #[must_use]
    pub const fn alone(order: u8, many: &'static str) -> Self {
        Self { order, group: "", one: many, many }
    }
}

impl Service {
    /// The service of this definition.
    #[must_use]
    pub const fn new(definition: &'static Definition) -> Self {
        Self(definition)
    }

    /// Its name in traces, rules of faults and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.0.name
    }

    /// Its name for people.
    #[must_use]
    pub const fn title(self) -> &'static str {
        self.0.title
    }

    /// The operations of the real service.
    #[must_use]
    pub const fn operations(self) -> &'static [&'static str] {
        self.0.operations
    }

    /// The words for an operation in the line of a trace.
    #[must_use]
    pub fn words(self, operation: &str) -> Words {
        (self.0.words)(operation)
    }

    /// The faults that a request for an operation can meet.
    #[must_use]
    pub fn faults(self, operation: &str) -> Vec<Fault> {
        let own = (self.0.faults)(operation);
        Fault::OF_REQUESTS.iter().chain(own).copied().collect()
    }
}

impl PartialEq for Service {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for Service {}

impl Hash for Service {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.name.hash(state);
    }
}

impl PartialOrd for Service {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Service {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.0.place, self.0.name).cmp(&(other.0.place, other.0.name))
    }
}

impl AsRef<str> for Service {
    fn as_ref(&self) -> &str {
        self.0.name
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

impl Serialize for Service {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.name)
    }
}
