//! The whole service, seen from outside: real function processes, real sockets and real AWS protocols, in the local twin.
//!
//! - [`events`]: one event for every route and trigger, fed to its function
//! - [`refusals_http`], [`refusals_socket`]: the table of bad input, and proof that nothing was stored
//! - [`delivery`]: what happens to a message, whatever happens around it
//! - [`scheduled`], [`withdrawn`], [`redelivery`], [`cursors`], [`lanes`], [`rollover`]: one option of a message, or
//!   one part of the protocol each
//! - [`inbox`]: what a device reads over HTTP, and from which pages
//! - [`announcements`]: what is said to everyone, and who hears of it
//! - [`chains`]: what happens to a message that says nothing of it
//! - [`categories`]: those that an app has declared, and what becomes of others
//! - [`conditions`]: what has to hold for a step to go out
//! - [`preferences`]: what a person wants to be told of, and that nothing else is sent
//! - [`pushes`]: native push in the chain, and providers that fail
//! - [`races`]: what overtakes what; [`repeats`]: what comes twice, or is left half done
//! - [`shapes`]: what is stored, in the form of every version, and of one that comes later
//! - [`soak`]: every promise, checked from outside, while everything goes wrong
//! - [`bounds`]: what one user may hold, and what a device may say that has gone
//! - [`budget`]: the AWS requests that each thing costs
//! - [`console`]: the console's listener, and what it tells of users and messages
//! - [`demo`]: the command line's demo, and that it misses every function
//! - [`interop`]: a frame off the wire in other people's libraries
//! - [`contract`]: the documents for machines against the code's own types
//! - [`matrix`]: every request to AWS times every fault that it can have
//! - [`up`]: the command line's twin, under the settings of a shell and beside another twin
//! - [`world`]: a running twin with one app; [`ending`]: that nothing has gone wrong in it unnoticed
//! - [`house`]: who may import whom, and that the template gives every function what it needs

//!
//! The twin enforces the roles of the template, so a right that is missing fails the tests that need it. What all tests
//! together have used and asked is checked after them, by `tests/rights`.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking, also in its helpers")]

mod announcements;
mod bounds;
mod budget;
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
mod scheduled;
mod shapes;
mod soak;
mod up;
mod withdrawn;
mod world;
