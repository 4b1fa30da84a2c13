//! What every function needs around its handler. Nothing else in `shared` knows Lambda.
//!
//! - [`config`]: the environment, read once at start; [`sdk`]: AWS clients built for a Lambda that freezes
//! - [`http`]: axum routers, problems; [`apps`]: who sends, by app key; [`device_token`]: which device asks
//! - [`socket`]: WebSocket events, and frames sealed for the device that asked
//! - [`batch`]: SQS events, each record by itself; [`lanes`]: what is put on the delivery queues; [`timers`]: what waits
//! - [`logs`]: lines of JSON, no content of anybody's

pub mod apps;
pub mod batch;
pub mod config;
pub mod device_token;
pub mod http;
pub mod lanes;
pub mod logs;
pub mod sdk;
pub mod sealer;
pub mod socket;
pub mod timers;

pub use lambda_runtime::Error;
pub use lanes::Lanes;
pub use sdk::Sdk;
pub use sealer::Sealer;
pub use timers::{Steps, Timers};
