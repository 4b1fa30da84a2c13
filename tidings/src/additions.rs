//! The extensions that Tidings adds to the twin.

use std::sync::Arc;

use sam_twin::stack::TwinOptions;

use crate::console::Console;
use crate::providers::{PlayedProviders, ProvidersOptions};

/// The additions of Tidings to a twin.
#[derive(Debug, Clone)]
pub struct Additions {
    /// The push providers that the twin plays.
    pub providers: Arc<PlayedProviders>,
    /// The console's panels and records.
    pub console: Arc<Console>,
}

impl Additions {
    /// Additions to the twin that will be started with these options.
    #[must_use]
    pub fn to(options: &mut TwinOptions, providers: ProvidersOptions) -> Self {
        let providers = Arc::new(PlayedProviders::new(providers));
        let console = Arc::new(Console::default());
        options.extensions.push(providers.clone());
        options.extensions.push(console.clone());
        Self { providers, console }
    }
}
