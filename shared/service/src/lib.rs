//! Services over the store, the queues and the root keys. None of them knows Lambda or reads the environment.
//!
//! - [`apps`]: apps and their keys, cached for a minute; [`device_token`]: the device that signed a token
//! - [`roots`]: root keys, read and refreshed; [`device_roots`]: the keys that a device is given
//! - [`sealer`]: frames sealed for one device
//! - [`lanes`]: the two delivery queues; [`timers`]: work that is due later; [`fanouts`]: announcements on their way

pub mod apps;
pub mod device_roots;
pub mod device_token;
pub mod fanouts;
pub mod lanes;
pub mod roots;
pub mod sealer;
pub mod timers;

pub use apps::AppCache;
pub use device_roots::DeviceRoots;
pub use device_token::DeviceTokens;
pub use fanouts::Fanouts;
pub use lanes::Lanes;
pub use roots::{Purpose, Roots};
pub use sealer::Sealer;
pub use timers::{Steps, Timers};
