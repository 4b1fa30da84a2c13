//! The whole service, seen from outside: real function processes, real sockets and real AWS protocols, in the local
//! twin.
//!
//! - [`events`]: one event for every route and trigger, fed to its function
//! - [`refusals_http`], [`refusals_socket`]: the table of invalid input, and proof that nothing was stored
//! - [`delivery`]: the delivery of a message under many circumstances
//! - [`scheduled`], [`withdrawn`], [`redelivery`], [`cursors`], [`lanes`], [`rollover`]: one option of a message, or
//!   one part of the protocol each
//! - [`inbox`]: a device's requests over HTTP, and from which pages
//! - [`announcements`]: announcements, and the devices that receive them
//! - [`chains`]: the steps of messages that name none
//! - [`categories`]: declared and undeclared categories
//! - [`conditions`]: the conditions under which a step goes out
//! - [`preferences`]: a person's preferences, and the steps that they hold back
//! - [`pushes`]: native push in the chain, and providers that fail
//! - [`races`]: requests that overtake each other; [`repeats`]: repeats and half-finished work
//! - [`shapes`]: stored data in the form of every version, and of a later one
//! - [`soak`]: every promise, checked from outside, while everything goes wrong
//! - [`bounds`]: the limits of one user, and which messages of a removed device count
//! - [`budget`]: the number of AWS requests of each operation
//! - [`roots`]: root keys that are read, refreshed and withdrawn
//! - [`canaries`]: nothing of people and contents is found where data is sealed
//! - [`sealing`]: data that is sealed at rest, and KMS that does not answer
//! - [`console`]: the console's listener, and the users and messages that it lists
//! - [`demo`]: the command line's demo, which fails if any function is missing
//! - [`interop`]: a frame off the wire in third-party libraries
//! - [`contract`]: the machine-readable documents against the code's types
//! - [`matrix`]: every request to AWS times every fault that it can have
//! - [`up`]: the command line's twin, under the settings of a shell and beside another twin
//! - [`world`]: a running twin with one app; [`ending`]: the check that no fault in it went unnoticed
//! - [`house`]: who may import whom, and that the template gives every function what it needs

//!
//! The twin enforces the roles of the template, so a right that is missing fails the tests that need it. What all tests
//! together have used and asked is checked after them, by `tests/rights`.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking, also in its helpers")]

mod announcements;
mod bounds;
mod budget;
mod canaries;
mod categories;
mod chains;
mod conditions;
mod console;
mod contract;
mod cursors;
mod delivery;
mod demo;
mod ending;
mod events;
mod house;
mod inbox;
mod interop;
mod lanes;
mod matrix;
mod preferences;
mod pushes;
mod races;
mod redelivery;
mod refusals_http;
mod refusals_socket;
mod repeats;
mod rollover;
mod roots;
mod scheduled;
mod sealing;
mod shapes;
mod soak;
mod up;
mod withdrawn;
mod world;
