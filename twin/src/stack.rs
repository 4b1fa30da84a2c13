//! The whole twin: a template on three loopback listeners, a console on a fourth, and what extensions add.
//!
//! ```text
//! backend ─ HTTP ─> gateway::http ──┐                     ┌─> aws (DynamoDB, SQS, SES, SNS, Secrets Manager,
//!                                                         │    @connections)
//! device ─ socket ─> gateway::websocket ─> functions (processes)
//!                    schedule ──────┘        └── event_source <── aws::sqs
//! person ─ HTTP ─> console: a page, which asks gateway::http and aws
//! ```

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::aws::dynamodb::{DynamoDb, DynamoDbError};
use crate::aws::outbox::Outbox;
use crate::aws::secretsmanager::SecretsManager;
use crate::aws::sqs::Sqs;
use crate::aws::{self, Services};
use crate::console::Console;
use crate::data::{DataError, DataFolder};
use crate::event_source::{EventSourceOptions, EventSources, Invocation};
use crate::extension::{Extension, ExtensionError, Parts};
use crate::faults::{Faults, Plan};
use crate::functions::{Functions, FunctionsOptions, Source};
use crate::gateway::http::{HttpApi, HttpLimits};
use crate::gateway::management;
use crate::gateway::websocket::{SocketApi, SocketLimits};
use crate::guard::{Guard, Pages};
use crate::ledger::Ledger;
use crate::schedule::Schedules;
use crate::template::{Settings, Template, TemplateError};

/// How long a shutdown waits for each of its steps.
const GRACE: Duration = Duration::from_secs(10);

/// How often expired items are deleted. AWS takes days at times; readers filter on the attribute either way.
const SWEEP_EVERY: Duration = Duration::from_secs(30);

/// What to run, and where.
#[derive(Debug, Clone)]
pub struct TwinOptions {
    /// The SAM template.
    pub template: PathBuf,
    /// Its parameters that are not to take their defaults.
    pub parameters: BTreeMap<String, String>,
    /// Where the functions' code comes from.
    pub source: Source,
    /// Where what was accepted is kept; in memory where there is none.
    pub data: Option<PathBuf>,
    /// The address to listen at. Anything but loopback lets others in, and the twin checks no signatures.
    pub address: IpAddr,
    /// The port of the HTTP API; 0 takes a free one.
    pub api_port: u16,
    /// The port of the WebSocket API; 0 takes a free one.
    pub socket_port: u16,
    /// The port of the AWS endpoint; 0 takes a free one.
    pub aws_port: u16,
    /// The port of the console; 0 takes a free one, and without one there is no console.
    pub console_port: Option<u16>,
    /// The most processes of one function.
    pub process_limit: usize,
    /// The limits of the HTTP API.
    pub http_limits: HttpLimits,
    /// The limits of the WebSocket API.
    pub socket_limits: SocketLimits,
    /// How the event-source mappings differ from AWS's.
    pub event_sources: EventSourceOptions,
    /// What is to go wrong by chance, from the start on.
    pub faults: Option<Plan>,
    /// What the program adds, in the order in which it starts.
    pub extensions: Vec<Arc<dyn Extension>>,
}

impl TwinOptions {
    /// A template on free ports, in memory, with AWS's limits.
    #[must_use]
    pub fn new(template: impl Into<PathBuf>, source: Source) -> Self {
        Self {
            template: template.into(),
            parameters: BTreeMap::new(),
            source,
            data: None,
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            api_port: 0,
            socket_port: 0,
            aws_port: 0,
            console_port: None,
            process_limit: 16,
            http_limits: HttpLimits::default(),
            socket_limits: SocketLimits::default(),
            event_sources: EventSourceOptions::default(),
            faults: None,
            extensions: Vec::new(),
        }
    }
}

/// Why a twin does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port is taken, or may not be had.
    #[error("listen on {address} for the {what}")]
    Listen {
        /// What was to listen.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The template cannot be served.
    #[error("the template cannot be served")]
    Template(#[from] TemplateError),
    /// The data folder cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// An extension does not start.
    #[error(transparent)]
    Extension(#[from] ExtensionError),
    /// The tables cannot be served.
    #[error("serve the tables")]
    DynamoDb(#[from] DynamoDbError),
}

/// A running twin. [`Twin::shutdown`] ends it in order; one that is merely dropped ends with its Tokio runtime.
#[derive(Debug)]
pub struct Twin {
    template: Template,
    api_url: String,
    socket_url: String,
    aws_url: String,
    extensions: Vec<Arc<dyn Extension>>,
    console_url: Option<String>,
    functions: Functions,
    sockets: Option<SocketApi>,
    schedules: Schedules,
    services: Services,
    gateways: Servers,
    endpoint: Servers,
}

impl Twin {
    /// Starts everything; when this returns, every listener answers.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(options: TwinOptions) -> Result<Self, StartError> {
        // Bound first: the template's URLs name the ports, and a taken one should be told before anything begins.
        let (api, api_url) = listen("HTTP API", "http", options.address, options.api_port).await?;
        let (socket, socket_url) = listen("WebSocket API", "ws", options.address, options.socket_port).await?;
        let (aws, aws_url) = listen("AWS endpoint", "http", options.address, options.aws_port).await?;
        let mut extensions = Vec::new();
        for extension in &options.extensions {
            let listener = match extension.listener() {
                Some(wanted) => Some(listen(wanted.what, "http", options.address, wanted.port).await?.0),
                None => None,
            };
            extensions.push((extension, listener));
        }
        let page = match options.console_port {
            Some(port) => Some(listen("console", "http", options.address, port).await?),
            None => None,
        };

        let kept = DataFolder::open(options.data.as_deref())?;
        let mut settings = Settings::new(&api_url, &socket_url, &aws_url);
        settings.parameters = options.parameters;
        let declared = Template::parameters(&options.template)?;
        for (extension, listener) in &extensions {
            let address = listener.as_ref().and_then(|listener| listener.local_addr().ok());
            let values = extension.parameters(address).into_iter().filter(|(name, _)| declared.contains(name));
            for (name, value) in values {
                settings.parameters.entry(name).or_insert(value);
            }
        }
        let mut secrets = kept.secrets()?;
        let template = Template::read(&options.template, &settings, &mut secrets)?;
        for warning in &template.warnings {
            tracing::warn!("{warning}");
        }
        for route in template.http_api.iter().flat_map(|api| &api.routes).filter(|route| route.payload_v1) {
            tracing::warn!("{} {} asks for payload format 1.0 and is sent 2.0", route.method, route.path);
        }

        let ledger = Ledger::new();
        let faults = Faults::new(options.faults);
        let functions = Functions::new(
            template.functions.values().cloned(),
            FunctionsOptions {
                process_limit: options.process_limit,
                faults: faults.clone(),
                ..FunctionsOptions::new(options.source, &settings.region, &aws_url)
            },
            ledger.clone(),
        );
        let http = template.http_api.clone();
        let http = http.map(|api| HttpApi::new(api, functions.clone(), ledger.clone(), options.http_limits));
        let sockets = template.websocket_api.clone();
        let sockets = sockets
            .map(|api| SocketApi::new(api, functions.clone(), ledger.clone(), options.socket_limits, faults.clone()));
        let dynamodb = DynamoDb::open(&template.tables, kept.path("dynamodb.sqlite").as_deref()).await?;
        let sqs = Sqs::open(&template.queues, kept.path("sqs.journal").as_deref(), ledger.clone(), faults.clone());
        let sqs = sqs.map_err(|source| kept.error(source))?;
        let outbox = Outbox::open(kept.path("outbox.journal").as_deref()).map_err(|source| kept.error(source))?;
        let secrets = SecretsManager::open(kept.path("secretsmanager.json").as_deref());
        let secrets = secrets.map_err(|source| kept.error(source))?;
        let mut control = Router::new();
        for (extension, listener) in extensions {
            control = control.merge(extension.start(Parts {
                listener,
                template: &template,
                region: &settings.region,
                aws_url: &aws_url,
                data: &kept,
                dynamodb: &dynamodb,
                outbox: &outbox,
                secrets: &secrets,
                ledger: &ledger,
            })?);
        }

        // The mappings may find messages of an earlier run at once; what their functions ask waits in the listener until
        // the endpoint serves it.
        let invoked = functions.clone();
        let invoke = move |Invocation { function, payload, traces }: Invocation| {
            let functions = invoked.clone();
            async move { functions.invoke(&function, payload, &traces).await }
        };
        let event_sources = EventSources::start(&template, &sqs, &ledger, options.event_sources, &faults, invoke);
        let schedules = template.schedules.clone();
        let schedules = Schedules::start(schedules, &settings.region, &functions, &ledger);
        let services = Services {
            dynamodb,
            sqs,
            outbox,
            secrets,
            ledger,
            event_sources,
            outputs: template.outputs.clone(),
            functions: functions.clone(),
            schedules: schedules.rules().clone(),
            faults,
        };
        let management = sockets.clone().map(management::router).unwrap_or_default();
        let mut endpoint = Servers::default();
        let programs = Guard::new(options.address, Pages::None);
        endpoint.serve(aws, programs.protect(aws::router(services.clone(), management).merge(control.clone())));
        endpoint.tasks.spawn(sweep(services.dynamodb.clone(), endpoint.stop.clone()));
        let mut gateways = Servers::default();
        let api_router = http.as_ref().map(HttpApi::router).unwrap_or_default();
        gateways.serve(socket, sockets.as_ref().map(SocketApi::router).unwrap_or_default());
        let mut twin = Self {
            template,
            api_url,
            socket_url,
            aws_url,
            extensions: options.extensions,
            console_url: None,
            functions,
            sockets,
            schedules,
            services,
            gateways,
            endpoint,
        };
        if let Some((listener, url)) = page {
            let console = Console::new(options.address, &twin.socket_url(), twin.api_stage(), twin.extensions.clone());
            let control = aws::control_router(twin.services.clone()).merge(control);
            twin.gateways.serve(listener, console.router(control, api_router.clone()));
            twin.console_url = Some(url);
        }
        twin.gateways.serve(api, api_router);
        Ok(twin)
    }

    /// Where the HTTP API is served, `http://127.0.0.1:7400`; with the stage, if it has one of its own.
    #[must_use]
    pub fn api_url(&self) -> String {
        self.api_stage().map_or_else(|| self.api_url.clone(), |stage| format!("{}/{stage}", self.api_url))
    }

    /// The stage of the HTTP API, where it stands in its paths.
    fn api_stage(&self) -> Option<&str> {
        self.template.http_api.as_ref().map(|api| api.stage.as_str()).filter(|stage| *stage != "$default")
    }

    /// Where the WebSocket API is served, with its stage: `ws://127.0.0.1:7401/prod`.
    #[must_use]
    pub fn socket_url(&self) -> String {
        let stage = self.template.websocket_api.as_ref().map(|api| api.stage.as_str());
        stage.map_or_else(|| self.socket_url.clone(), |stage| format!("{}/{stage}", self.socket_url))
    }

    /// Where DynamoDB, SQS, SES, SNS, Secrets Manager and `@connections` are served, `http://127.0.0.1:7402`.
    #[must_use]
    pub fn aws_url(&self) -> &str {
        &self.aws_url
    }

    /// Where the console is served, `http://127.0.0.1:7403`, if there is one.
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

    /// The WebSocket API, if the template has one.
    #[must_use]
    pub fn sockets(&self) -> Option<&SocketApi> {
        self.sockets.as_ref()
    }

    /// The schedules, which can be fired before their time.
    #[must_use]
    pub fn schedules(&self) -> &Schedules {
        &self.schedules
    }

    /// What is to go wrong, and what went wrong on demand.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.services.faults
    }

    /// What every trace cost.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.services.ledger
    }

    /// The services behind the AWS endpoint, with the queues, the outbox and the event-source mappings.
    #[must_use]
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// Ends everything in order: what brings work in first, then the sockets with their `$disconnect`, then the functions,
    /// and last the services that those still needed.
    pub async fn shutdown(self) {
        let Self { extensions, functions, sockets, schedules, services, gateways, endpoint, .. } = self;
        drop(schedules);
        // A mapping stops reading its queue at once; the batch that it has in hand needs the functions a little longer.
        let mappings = async {
            if tokio::time::timeout(GRACE, services.event_sources.shutdown()).await.is_err() {
                tracing::warn!("some batches were cut off; their messages stay in their queues");
            }
        };
        let gateways = async {
            gateways.shutdown(GRACE).await;
            tracing::debug!("the gateways take no more requests");
            if let Some(sockets) = sockets {
                sockets.shutdown(GRACE).await;
            }
        };
        tokio::join!(mappings, gateways);
        tracing::debug!("no more work comes in");
        functions.shutdown(GRACE).await;
        tracing::debug!("the functions have ended");
        for extension in extensions.iter().rev() {
            extension.stop().await;
        }
        endpoint.shutdown(GRACE).await;
        tracing::debug!("the AWS endpoint takes no more requests");
        services.dynamodb.shutdown().await;
        if let Err(error) = services.sqs.flush().await {
            tracing::error!(%error, "the queues' journal is incomplete");
        }
    }
}

/// Waits until somebody wants this program to end: Ctrl-C, or SIGTERM.
///
/// # Errors
/// Where the signals cannot be listened to.
pub async fn interrupted() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

async fn listen(
    what: &'static str,
    scheme: &str,
    address: IpAddr,
    port: u16,
) -> Result<(TcpListener, String), StartError> {
    let wanted = SocketAddr::new(address, port);
    let bound = async {
        let listener = TcpListener::bind(wanted).await?;
        let address = listener.local_addr()?;
        Ok((listener, format!("{scheme}://{address}")))
    };
    bound.await.map_err(|source| StartError::Listen { what, address: wanted, source })
}

/// Deletes expired items from time to time, until the endpoint stops.
async fn sweep(dynamodb: DynamoDb, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(SWEEP_EVERY)).await.is_some() {
        match dynamodb.sweep().await {
            Ok(0) => {}
            Ok(items) => tracing::debug!(items, "deleted what had expired"),
            Err(error) => tracing::warn!(%error, "expired items could not be deleted"),
        }
    }
}

/// The listeners' tasks; they end when this is dropped.
#[derive(Debug, Default)]
struct Servers {
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Servers {
    fn serve(&mut self, listener: TcpListener, router: Router) {
        let stop = self.stop.clone();
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        self.tasks.spawn(async move {
            let serving = axum::serve(listener, service).with_graceful_shutdown(stop.cancelled_owned());
            if let Err(error) = serving.await {
                tracing::error!(%error, "a listener ended");
            }
        });
    }

    /// Takes no more requests, and lets those that run be answered.
    async fn shutdown(mut self, grace: Duration) {
        self.stop.cancel();
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, ended).await.is_err() {
            tracing::warn!("some requests were cut off");
        }
    }
}
