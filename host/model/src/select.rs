//! Which model answers: the configured gateway, else a local server, else the demo model.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lanyard_ports::model::Model;
use tokio::sync::{Mutex as AsyncMutex, watch};
use tokio::time::{Instant, timeout};

use crate::demo::DemoModel;
use crate::detect::{self, LocalServer, Probe};
use crate::endpoint::{Endpoint, EndpointError, Token, TokenError};
use crate::offer::{self, NameError, Offer};
use crate::openai::{Gateway, GatewayOptions, Offered, Timings, models};
use crate::pace::{Pace, RealPace};

/// How often local servers are looked for, and a found one is looked after. Whoever starts Ollama sees it used at
/// the next task but one at the latest; nobody pays for a probe at every task.
const PROBE_INTERVAL: Duration = Duration::from_secs(30);

/// How long a list of models is not asked for again, and how long after it was asked for in vain: a page that is opened
/// again and again costs the gateway one request a minute.
const LIST_FOR: Duration = Duration::from_secs(60);
const NO_LIST_FOR: Duration = Duration::from_secs(10);

/// How long a person waits for the list. A gateway that has one has it at once.
const LIST_PATIENCE: Duration = Duration::from_secs(3);

/// How long a task waits for the model's name to be learnt; the call itself asks again with more patience.
const RESOLVE_PATIENCE: Duration = Duration::from_secs(3);

/// The model of this name needs no server, and none is looked for.
const DEMO_NAME: &str = "demo";

/// How the model is found, as configured.
#[derive(Clone, PartialEq, Eq)]
pub struct ModelConfig {
    /// Base address of an OpenAI-compatible gateway; see [`Endpoint::parse`].
    pub endpoint: Option<String>,
    /// Token for it. Never sent anywhere else.
    pub token: Option<String>,
    /// Model asked for. With a gateway and no name, the first one it offers; without a gateway, preferred among
    /// what local servers offer, and `demo` for the demo model.
    pub model: Option<String>,
    /// Whether to look for a local server when no endpoint is set.
    pub detect: bool,
    /// Tokens that fit into a request and its answer, when the owner knows better than the server.
    pub context_window: Option<u32>,
    /// The endpoint came from the environment; shown as `ModelInfo::source`.
    pub from_environment: bool,
    /// Where local servers are looked for.
    pub local_servers: Vec<LocalServer>,
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            endpoint: None,
            token: None,
            model: None,
            detect: true,
            context_window: None,
            from_environment: false,
            local_servers: LocalServer::usual(),
        }
    }
}

impl fmt::Debug for ModelConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelConfig")
            .field("endpoint", &self.endpoint)
            .field("token", &self.token.as_ref().map(|_| "[redacted]"))
            .field("model", &self.model)
            .field("detect", &self.detect)
            .field("context_window", &self.context_window)
            .field("from_environment", &self.from_environment)
            .field("local_servers", &self.local_servers)
            .finish()
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelConfigError {
    /// The address.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A token and nowhere to send it.
    #[error("there is a gateway token but no gateway; set LANYARD_GATEWAY_URL or model.endpoint too")]
    TokenWithoutEndpoint,
    /// An empty model name.
    #[error("the model name is empty; set LANYARD_MODEL or model.name to a model, or leave it out")]
    EmptyModel,
    /// A window nothing fits into.
    #[error(
        "a context window of {0} tokens is too small to work with; at least {MIN_CONTEXT_WINDOW} are needed"
    )]
    ContextWindow(u32),
}

/// The instructions and the tools alone take about half of this.
const MIN_CONTEXT_WINDOW: u32 = 4_096;

/// What is in use.
#[derive(Debug, Clone)]
enum Held {
    /// The configured gateway; never replaced.
    Gateway(Arc<Gateway>),
    /// A server found on this machine.
    Local(LocalServer, Arc<Gateway>),
    /// Nothing else was found, or nothing else is wanted.
    Demo(Arc<DemoModel>),
}

impl Held {
    fn model(&self) -> Arc<dyn Model> {
        match self {
            Self::Gateway(gateway) | Self::Local(_, gateway) => Arc::clone(gateway) as Arc<dyn Model>,
            Self::Demo(demo) => Arc::clone(demo) as Arc<dyn Model>,
        }
    }
}

/// Chooses the model. Making one opens nothing and waits for nothing.
pub struct Selector {
    servers: Vec<LocalServer>,
    preferred: Option<String>,
    context_window: Option<u32>,
    timings: Timings,
    pace: Arc<dyn Pace>,
    held: watch::Sender<Held>,
    /// What the gateway last said it offers.
    listed: Mutex<Option<Arc<Listed>>>,
    /// Held while it is asked, so that one request serves all who wait.
    asking: AsyncMutex<()>,
    /// When servers were last looked for. Held while looking, so that one probe serves all who wait.
    looked: AsyncMutex<Option<Instant>>,
}

/// A list of models, or that there is none.
#[derive(Debug)]
struct Listed {
    at: Instant,
    /// Whose it is.
    endpoint: String,
    models: Option<Vec<Offered>>,
}

impl fmt::Debug for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Selector")
            .field("servers", &self.servers)
            .field("held", &self.held)
            .finish_non_exhaustive()
    }
}

impl Selector {
    /// Checks the configuration.
    pub fn new(config: ModelConfig) -> Result<Self, ModelConfigError> {
        Self::with_pace(config, Timings::default(), Arc::new(RealPace))
    }

    /// [`Selector::new`] with the timings and the clock of its gateways handed in.
    pub fn with_pace(
        config: ModelConfig,
        timings: Timings,
        pace: Arc<dyn Pace>,
    ) -> Result<Self, ModelConfigError> {
        let preferred = config.model.map(|name| name.trim().to_owned());
        if preferred.as_deref() == Some("") {
            return Err(ModelConfigError::EmptyModel);
        }
        if let Some(window) = config.context_window.filter(|window| *window < MIN_CONTEXT_WINDOW) {
            return Err(ModelConfigError::ContextWindow(window));
        }
        let token = config.token.as_deref().map(Token::new).transpose()?;
        let held = match config.endpoint {
            None if token.is_some() => return Err(ModelConfigError::TokenWithoutEndpoint),
            None => Held::Demo(Arc::new(DemoModel)),
            Some(endpoint) => {
                let options = GatewayOptions {
                    endpoint: Endpoint::parse(&endpoint)?,
                    token,
                    model: preferred.clone(),
                    context_window: config.context_window,
                    source: if config.from_environment { "environment" } else { "config" }.to_owned(),
                    found: false,
                };
                Held::Gateway(Arc::new(Gateway::with_pace(options, timings, Arc::clone(&pace))))
            }
        };
        let looks = config.detect && preferred.as_deref() != Some(DEMO_NAME);
        Ok(Self {
            servers: if looks { config.local_servers } else { Vec::new() },
            preferred,
            context_window: config.context_window,
            timings,
            pace,
            held: watch::Sender::new(held),
            listed: Mutex::new(None),
            asking: AsyncMutex::new(()),
            looked: AsyncMutex::new(None),
        })
    }

    /// The model in use as far as known, without looking for another. Never waits; for health and lists.
    pub fn known(&self) -> Arc<dyn Model> {
        self.held.borrow().model()
    }

    /// The model to use for the next task. Looks for local servers at most once in [`PROBE_INTERVAL`], which takes
    /// a second at worst and no time where nothing listens. Cancel-safe.
    pub async fn current(&self) -> Arc<dyn Model> {
        let mut looked = self.looked.lock().await;
        if looked.is_none_or(|at| at.elapsed() >= PROBE_INTERVAL) {
            self.look().await;
            *looked = Some(Instant::now());
        }
        self.known()
    }

    /// What a task may choose from. Asks the gateway at most once in [`LIST_FOR`], for [`LIST_PATIENCE`] at most.
    /// Cancel-safe.
    pub async fn offer(&self) -> Offer {
        let current = self.current().await.info();
        let held = self.held.borrow().clone();
        let names = match held {
            Held::Demo(_) => vec![current.name.clone()],
            Held::Gateway(gateway) | Held::Local(_, gateway) => {
                let listed = self.listed(&gateway).await;
                listed.models.as_deref().map(offer::names).unwrap_or_default()
            }
        };
        Offer { current, names }
    }

    /// Whether a task may name this model.
    ///
    /// # Errors
    /// [`NameError`] says what may be named instead.
    pub async fn check(&self, name: &str) -> Result<(), NameError> {
        let Offer { current, names } = self.offer().await;
        offer::check(name, current.demo.then_some(current.name.as_str()), &names)
    }

    /// The model of that name at the place in use; `None` when the demo model is, and has another.
    pub fn named(&self, name: &str) -> Option<Arc<dyn Model>> {
        let held = self.held.borrow().clone();
        match held {
            Held::Demo(demo) => (demo.info().name == name).then_some(demo as Arc<dyn Model>),
            Held::Gateway(gateway) | Held::Local(_, gateway) => {
                let known = self.last_listed(&gateway).and_then(|listed| {
                    let models = listed.models.as_ref()?;
                    models.iter().find(|model| models::same(&model.name, name)).cloned()
                });
                let context_window = known.and_then(|model| model.context_window);
                Some(Arc::new(gateway.other(Offered { name: name.to_owned(), context_window })))
            }
        }
    }

    async fn listed(&self, gateway: &Gateway) -> Arc<Listed> {
        let _asking = self.asking.lock().await;
        let fresh = |listed: &Arc<Listed>| {
            listed.at.elapsed() < if listed.models.is_some() { LIST_FOR } else { NO_LIST_FOR }
        };
        if let Some(listed) = self.last_listed(gateway).filter(fresh) {
            return listed;
        }
        let models = match timeout(LIST_PATIENCE, gateway.list()).await {
            Ok(Ok(models)) => Some(models),
            Ok(Err(fault)) => {
                tracing::debug!(?fault, "the gateway does not list its models");
                None
            }
            Err(_) => None,
        };
        let endpoint = gateway.info().endpoint;
        let listed = Arc::new(Listed { at: Instant::now(), endpoint, models });
        *self.listed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&listed));
        listed
    }

    /// What that gateway last said, if it was the one asked.
    fn last_listed(&self, gateway: &Gateway) -> Option<Arc<Listed>> {
        let listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        listed.filter(|listed| listed.endpoint == gateway.info().endpoint)
    }

    async fn look(&self) {
        let held = self.held.borrow().clone();
        match held {
            Held::Gateway(gateway) => {
                if timeout(RESOLVE_PATIENCE, gateway.resolve()).await.is_err() {
                    tracing::debug!("the gateway takes its time to list its models");
                }
            }
            Held::Local(server, _) => {
                // A busy server is the one that answers right now; only a vanished one is replaced.
                if server.probe(self.timings).await == Probe::Absent {
                    tracing::info!(source = server.source, "the local model server is gone");
                    self.search().await;
                }
            }
            Held::Demo(_) => self.search().await,
        }
    }

    async fn search(&self) {
        let next = match detect::find(&self.servers, self.preferred.as_deref(), self.timings).await {
            None => Held::Demo(Arc::new(DemoModel)),
            Some((server, model)) => {
                tracing::info!(source = server.source, model = model.name, "using a local model server");
                let window = self.context_window.or(model.context_window);
                let options = server.options(Some(model.name), window);
                let gateway = Gateway::with_pace(options, self.timings, Arc::clone(&self.pace));
                Held::Local(server, Arc::new(gateway))
            }
        };
        self.held.send_replace(next);
    }
}

#[cfg(test)]
mod tests {
    use super::{ModelConfig, ModelConfigError, Selector};

    fn quiet() -> ModelConfig {
        ModelConfig { local_servers: vec![], ..ModelConfig::default() }
    }

    #[tokio::test]
    async fn nothing_configured_and_nothing_found_is_the_demo_model() {
        let info = Selector::new(quiet()).unwrap().current().await.info();
        assert!(info.demo);
        assert_eq!((info.source.as_str(), info.endpoint.as_str()), ("demo", ""));
    }

    #[test]
    fn a_gateway_is_known_at_once() {
        let config = ModelConfig {
            endpoint: Some("http://gw:4000".into()),
            token: Some("sk-1".into()),
            model: Some("m1".into()),
            context_window: Some(50_000),
            from_environment: true,
            ..quiet()
        };
        let model = Selector::new(config).unwrap().known();
        let info = model.info();
        assert_eq!(info.name, "m1");
        assert_eq!(info.endpoint, "http://gw:4000/v1");
        assert_eq!(info.source, "environment");
        assert_eq!(model.context_window(), 50_000);
    }

    #[tokio::test]
    async fn the_demo_model_offers_itself() {
        let selector = Selector::new(quiet()).unwrap();
        assert_eq!(selector.offer().await.names, ["demo"]);
        assert_eq!(selector.check("demo").await, Ok(()));
        assert!(selector.named("demo").unwrap().info().demo);
        assert!(selector.named("gpt").is_none());
        selector.check("gpt").await.unwrap_err();
    }

    #[test]
    fn a_model_that_a_task_names_is_asked_for_at_the_same_place() {
        let config = ModelConfig {
            endpoint: Some("http://gw:4000".into()),
            model: Some("m1".into()),
            context_window: Some(50_000),
            ..quiet()
        };
        let selector = Selector::new(config).unwrap();
        let named = selector.named("m2").unwrap();
        let info = named.info();
        assert_eq!((info.name.as_str(), info.source.as_str()), ("m2", "task"));
        assert_eq!(info.endpoint, selector.known().info().endpoint);
        assert_eq!(named.context_window(), 50_000, "nothing better is known of it");
    }

    #[test]
    fn what_cannot_work_is_refused() {
        let error = |config: ModelConfig| Selector::new(config).err().unwrap();
        let token = Some("sk-1".to_owned());
        assert_eq!(error(ModelConfig { token, ..quiet() }), ModelConfigError::TokenWithoutEndpoint);
        assert_eq!(error(ModelConfig { model: Some(" ".into()), ..quiet() }), ModelConfigError::EmptyModel);
        let small = ModelConfig { context_window: Some(100), ..quiet() };
        assert_eq!(error(small), ModelConfigError::ContextWindow(100));
        let endpoint = Some("gateway".to_owned());
        assert!(matches!(error(ModelConfig { endpoint, ..quiet() }), ModelConfigError::Endpoint(_)));
    }

    #[test]
    fn debug_shows_no_token() {
        let config =
            ModelConfig { endpoint: Some("http://gw".into()), token: Some("sk-secret".into()), ..quiet() };
        assert!(!format!("{config:?}").contains("secret"));
        assert!(!format!("{:?}", Selector::new(config).unwrap()).contains("secret"));
    }
}
