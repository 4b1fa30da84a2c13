//! The push providers as an extension of the twin.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};

use axum::Router;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sam_twin::extension::{Extension, ExtensionError, Listener, Parts};

use super::rules::Rules;
use super::{PushProviders, obtain};

/// The name of the listener, in errors about its port.
const WHAT: &str = "push providers";

/// The attempt that fails if the extension does not start.
const PLAY: &str = "play the push providers";

/// The template's parameter for the providers' address. In a template that has it, the twin sets it to the emulated
/// ones.
const URL_PARAMETER: &str = "ProvidersUrl";

/// A part of the names of the apps' secrets. In the twin each of these secrets exists from the start, so every app can
/// push at once.
const SECRETS: &str = "/providers/";

/// The port of the providers, and their credentials.
#[derive(Debug, Clone, Default)]
pub struct ProvidersOptions {
    /// Their port; 0 takes a free one.
    pub port: u16,
    /// The file of credentials, which also serve apps without any; they are generated if there is no file.
    pub credentials: Option<PathBuf>,
}

/// The push providers of a twin: their address, and the faults to inject.
#[derive(Debug, Default)]
pub struct PlayedProviders {
    options: ProvidersOptions,
    rules: Rules,
    url: OnceLock<String>,
    running: Mutex<Option<PushProviders>>,
}

impl PlayedProviders {
    /// Providers that start together with the twin.
    #[must_use]
    pub fn new(options: ProvidersOptions) -> Self {
        Self { options, ..Self::default() }
    }

    /// The base URL of all providers, `http://127.0.0.1:7404`; empty before the twin has started.
    #[must_use]
    pub fn url(&self) -> &str {
        self.url.get().map_or("", String::as_str)
    }

    /// The faults to inject.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Option<PushProviders>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Extension for PlayedProviders {
    fn listener(&self) -> Option<Listener> {
        Some(Listener { what: WHAT, port: self.options.port })
    }

    fn parameters(&self, address: Option<SocketAddr>) -> BTreeMap<String, String> {
        address.map(|address| (URL_PARAMETER.to_owned(), format!("http://{address}"))).into_iter().collect()
    }

    fn start(&self, parts: Parts<'_>) -> Result<Router, ExtensionError> {
        let failed = |error: std::io::Error| ExtensionError::new(PLAY, error);
        let listener = parts.listener.ok_or_else(|| failed(std::io::Error::other("there is no listener")))?;
        let url = format!("http://{}", listener.local_addr().map_err(failed)?);
        let kept = parts.data.path("providers.json");
        let (document, credentials) = obtain(&url, self.options.credentials.as_deref(), kept.as_deref())
            .map_err(|error| ExtensionError::new(PLAY, error))?;
        parts.secrets.preset(SECRETS, document);
        let providers = PushProviders::start(listener, credentials, parts.outbox.clone(), self.rules.clone());
        *self.running() = Some(providers.map_err(failed)?);
        // Only a second twin with the same extension could start it a second time.
        let _ = self.url.set(url);
        Ok(Router::new())
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        let running = self.running().take();
        async move {
            if let Some(providers) = running {
                providers.shutdown().await;
            }
        }
        .boxed()
    }
}
