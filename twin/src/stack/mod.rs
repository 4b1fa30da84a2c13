//! The whole twin: a template on three loopback listeners, a console on a fourth, and the extensions.
//!
//! ```text
//! backend ─ HTTP ─> gateway::http ──┐
//! device ─ socket ─> gateway::websocket ─> functions (processes) ─> services (DynamoDB, SQS and the others)
//!                    schedule ──────┘        └── event_source <── services::sqs
//! person ─ HTTP ─> console: a page, which calls gateway::http and the control API
//! ```

mod options;
mod servers;

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;

pub use self::options::{StartError, TwinOptions};
use self::servers::{Listeners, Servers};
use crate::console::Console;
use crate::control::{self, NoParameters, answer};
use crate::data::DataFolder;
use crate::event_source::{self, EventSources, Invocation};
use crate::extension::{Extension, Parts};
use crate::faults::{self, Faults};
use crate::functions::{self, Functions, FunctionsOptions};
use crate::gateway::http::HttpApi;
use crate::gateway::websocket::{self, SocketApi};
use crate::guard::{Guard, Pages};
use crate::iam::{self, Arns, Roles};
use crate::ledger::{self, Ledger};
use crate::outbox::{self, Outbox};
use crate::records::Records;
use crate::schedule::{self, Schedules};
use crate::services::{self, Endpoint, Opening, Services};
use crate::template::{Settings, Template};

/// How long a shutdown waits for each of its steps.
const GRACE: Duration = Duration::from_secs(10);

/// How long the head of a request to a gateway may take, and how long its connection may be idle.
const HEAD: Duration = Duration::from_secs(60);

/// A running twin. [`Twin::shutdown`] ends it in order; a dropped one ends with its Tokio runtime.
#[derive(Debug)]
pub struct Twin {
    template: Template,
    api_url: String,
    socket_url: String,
    aws_url: String,
    console_url: Option<String>,
    extensions: Vec<Arc<dyn Extension>>,
    functions: Functions,
    roles: Roles,
    records: Option<Records>,
    sockets: Option<SocketApi>,
    schedules: Schedules,
    event_sources: EventSources,
    services: Services,
    outbox: Outbox,
    ledger: Ledger,
    faults: Faults,
    /// Locked while the twin runs.
    data: DataFolder,
    gateways: Servers,
    endpoint: Servers,
}

impl Twin {
    /// Starts everything; when this returns, every listener answers.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(options: TwinOptions) -> Result<Self, StartError> {
        let mut listeners = Listeners::bind(&options)?;
        let data = DataFolder::open(options.data.as_deref(), &format!("HTTP API at {}", listeners.api.url))?;
        let settings = settings(&options, &listeners)?;
        let template = Template::read(&options.template, &settings, &mut data.secrets()?)?;
        warn(&template, &options);

        let (ledger, faults) = (Ledger::new(), Faults::new(options.faults.clone()));
        let functions = Functions::new(
            template.functions.values().cloned(),
            FunctionsOptions {
                process_limit: options.process_limit,
                faults: faults.clone(),
                ..FunctionsOptions::new(options.source.clone(), &settings.region, &listeners.aws.url)
            },
            ledger.clone(),
        );
        let roles = roles(&template, &settings);
        let records = options.records.as_deref().map(|folder| Records::new(folder, &options.template));
        let http = template.http_api.clone();
        let http = http.map(|api| HttpApi::new(api, functions.clone(), ledger.clone(), options.http_limits));
        let sockets = template.websocket_api.clone();
        let sockets = sockets
            .map(|api| SocketApi::new(api, functions.clone(), ledger.clone(), options.socket_limits, faults.clone()));
        let outbox = Outbox::open(data.path("outbox.journal").as_deref()).map_err(|source| data.error(source))?;
        let opening = Opening {
            template: &template,
            data: &data,
            ledger: &ledger,
            faults: &faults,
            outbox: &outbox,
            sockets: sockets.as_ref(),
        };
        let services = Services::open(&opening).await?;
        let mut control = services.control();
        for (extension, listener) in options.extensions.iter().zip(std::mem::take(&mut listeners.extensions)) {
            control = control.merge(extension.start(Parts {
                listener,
                template: &template,
                region: &settings.region,
                aws_url: &listeners.aws.url,
                data: &data,
                dynamodb: &services.dynamodb,
                outbox: &outbox,
                secrets: &services.secretsmanager,
                ledger: &ledger,
            })?);
        }

        // The mappings may find messages of an earlier run at once; the requests of their functions wait in the
        // listener until the endpoint serves it.
        let invoked = functions.clone();
        let invoke = move |Invocation { function, payload, traces }: Invocation| {
            let functions = invoked.clone();
            async move { functions.invoke(&function, payload, &traces).await }
        };
        let event_sources =
            EventSources::start(&template, &services.sqs, &ledger, options.event_sources, &faults, invoke);
        let schedules = Schedules::start(template.schedules.clone(), &settings.region, &functions, &ledger);
        let twin = Self {
            template,
            api_url: listeners.api.url.clone(),
            socket_url: listeners.socket.url.clone(),
            aws_url: listeners.aws.url.clone(),
            console_url: listeners.console.as_ref().map(|console| console.url.clone()),
            extensions: options.extensions,
            functions,
            roles,
            records,
            sockets,
            schedules,
            event_sources,
            services,
            outbox,
            ledger,
            faults,
            data,
            gateways: Servers::default(),
            endpoint: Servers::default(),
        };
        let control = control::uniform(control.merge(twin.control()));
        Ok(twin.serve(listeners, options.address, control, http.as_ref().map(HttpApi::router).unwrap_or_default()))
    }

    /// The routes of the control API that every twin has, besides those of its services.
    fn control(&self) -> Router {
        let names = faults::Names {
            functions: self.functions.names().map(str::to_owned).collect(),
            services: services::called(),
            queues: self.template.queues.iter().map(|queue| (queue.name.clone(), queue.fifo)).collect(),
            fed: self.template.event_sources.iter().map(|it| (it.function.clone(), it.queue.clone())).collect(),
            disconnect: self.template.websocket_api.as_ref().and_then(|api| api.disconnect().map(str::to_owned)),
        };
        let outputs = self.template.outputs.clone();
        Router::new()
            .merge(outbox::control(self.outbox.clone()))
            .merge(ledger::control(self.ledger.clone()))
            .merge(event_source::control(self.event_sources.clone()))
            .merge(schedule::control(self.schedules.rules().clone()))
            .merge(faults::control(self.faults.clone(), names))
            .merge(iam::control(self.roles.clone()))
            .merge(functions::control(self.functions.clone()))
            .route("/_twin/outputs", get(move |_: NoParameters| async move { answer(&outputs) }))
    }

    /// Serves the started parts at their listeners.
    fn serve(mut self, listeners: Listeners, address: IpAddr, control: Router, api: Router) -> Self {
        let endpoint = Endpoint {
            services: self.services.clone(),
            functions: self.functions.clone(),
            roles: self.roles.clone(),
            kinds: self.records.as_ref().map(|records| records.kinds.clone()),
            ledger: self.ledger.clone(),
            faults: self.faults.clone(),
        };
        let programs = Guard::new(address, Pages::None);
        self.endpoint.serve(
            listeners.aws.listener,
            programs.protect(control.clone().merge(endpoint.clone().router())),
            None,
        );
        let sockets = self.sockets.as_ref().map(websocket::router).unwrap_or_default();
        let sockets = sockets.merge(programs.protect(endpoint.clone().connections_router()));
        self.gateways.serve(listeners.socket.listener, sockets, Some(HEAD));
        if let Some(bound) = listeners.console {
            let console = Console::new(address, &self.socket_url(), self.api_stage(), self.extensions.clone());
            self.gateways.serve(bound.listener, console.router(control, api.clone()), None);
        }
        self.gateways.serve(listeners.api.listener, api, Some(HEAD));
        self
    }

    /// The URL of the HTTP API, `http://127.0.0.1:7400`, with its stage unless that is `$default`.
    #[must_use]
    pub fn api_url(&self) -> String {
        self.api_stage().map_or_else(|| self.api_url.clone(), |stage| format!("{}/{stage}", self.api_url))
    }

    /// The stage of the HTTP API, if it is part of its paths.
    fn api_stage(&self) -> Option<&str> {
        self.template.http_api.as_ref().map(|api| api.stage.as_str()).filter(|stage| *stage != "$default")
    }

    /// The URL of the WebSocket API, with its stage: `ws://127.0.0.1:7401/prod`.
    #[must_use]
    pub fn socket_url(&self) -> String {
        let stage = self.template.websocket_api.as_ref().map(|api| api.stage.as_str());
        stage.map_or_else(|| self.socket_url.clone(), |stage| format!("{}/{stage}", self.socket_url))
    }

    /// The URL of the AWS services, `http://127.0.0.1:7402`.
    #[must_use]
    pub fn aws_url(&self) -> &str {
        &self.aws_url
    }

    /// The URL of the console, `http://127.0.0.1:7403`, if there is one.
    #[must_use]
    pub fn console_url(&self) -> Option<&str> {
        self.console_url.as_deref()
    }

    /// The template's outputs, resolved to what the twin serves.
    #[must_use]
    pub fn outputs(&self) -> &BTreeMap<String, String> {
        &self.template.outputs
    }

    /// The template, resolved.
    #[must_use]
    pub fn template(&self) -> &Template {
        &self.template
    }

    /// The functions.
    #[must_use]
    pub fn functions(&self) -> &Functions {
        &self.functions
    }

    /// The roles of the functions, and which of their rights were used.
    #[must_use]
    pub fn roles(&self) -> &Roles {
        &self.roles
    }

    /// The WebSocket API, if the template has one.
    #[must_use]
    pub fn sockets(&self) -> Option<&SocketApi> {
        self.sockets.as_ref()
    }

    /// The schedules, which can be fired by hand.
    #[must_use]
    pub fn schedules(&self) -> &Schedules {
        &self.schedules
    }

    /// The injected faults.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The cost of every trace.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The messages that were sent to people.
    #[must_use]
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// The services behind the AWS endpoint.
    #[must_use]
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// Ends everything in order: first the sources of work, then the sockets with their `$disconnect`, then the
    /// functions, and last the services that these need.
    pub async fn shutdown(self) {
        let Self {
            extensions,
            functions,
            roles,
            records,
            sockets,
            schedules,
            event_sources,
            services,
            gateways,
            endpoint,
            data,
            ..
        } = self;
        drop(schedules);
        // A mapping stops reading its queue at once; its running batch needs the functions a little longer.
        let mappings = async {
            if tokio::time::timeout(GRACE, event_sources.shutdown()).await.is_err() {
                tracing::warn!("some batches were aborted at shutdown; their messages stay in their queues");
            }
        };
        let gateways = async {
            gateways.shutdown(GRACE).await;
            tracing::debug!("the gateways accept no more requests");
            if let Some(sockets) = sockets {
                sockets.shutdown(GRACE).await;
            }
        };
        tokio::join!(mappings, gateways);
        tracing::debug!("all sources of work have stopped");
        functions.shutdown(GRACE).await;
        tracing::debug!("the functions have ended");
        for extension in extensions.iter().rev() {
            extension.stop().await;
        }
        endpoint.shutdown(GRACE).await;
        tracing::debug!("the AWS endpoint accepts no more requests");
        services.stop().await;
        if let Some(Err(error)) = records.map(|records| records.write(&roles)) {
            tracing::error!(%error, "the records of the functions cannot be written");
        }
        drop(data);
    }
}

/// The settings for reading the template: the addresses, and the parameters of the user and of the extensions.
fn settings(options: &TwinOptions, listeners: &Listeners) -> Result<Settings, StartError> {
    let mut settings = Settings::new(&listeners.api.url, &listeners.socket.url, &listeners.aws.url);
    settings.parameters = options.parameters.clone();
    let declared = Template::parameters(&options.template)?;
    for (extension, listener) in options.extensions.iter().zip(&listeners.extensions) {
        let address = listener.as_ref().and_then(|listener| listener.local_addr().ok());
        let values = extension.parameters(address).into_iter().filter(|(name, _)| declared.contains(name));
        for (name, value) in values {
            settings.parameters.entry(name).or_insert(value);
        }
    }
    Ok(settings)
}

/// The roles of the template's functions.
fn roles(template: &Template, settings: &Settings) -> Roles {
    let functions = template.functions.values();
    let functions = functions.map(|it| (it.logical_id.as_str(), it.name.as_str(), it.role.as_str()));
    let arns = Arns::new(&settings.region, &settings.account_id);
    Roles::new(functions, &template.roles, template.key_policies(), arns)
}

/// Logs how the twin deviates from the template.
fn warn(template: &Template, options: &TwinOptions) {
    for missing in template.functions.values().filter_map(|function| options.source.check(function).err()) {
        tracing::warn!("{missing}; its invocations will fail (--artefacts DIR: other folders)");
    }
    for warning in &template.warnings {
        tracing::warn!("{warning}");
    }
}

/// Listens for Ctrl-C and SIGTERM from now on; the returned future waits for one of them.
///
/// # Errors
/// If the system refuses to deliver the signals.
pub fn interruption() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
