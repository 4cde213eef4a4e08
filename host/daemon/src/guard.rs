//! What stands between the loop and the model: the choice of the model, policy, redaction.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use lanyard_agent::{InForce, ModelLimits, PolicyGate, PolicyStop, Redactor as Redacts};
use lanyard_dispatch::{PolicyLapse, SessionPolicy};
use lanyard_model::{Selector, SessionModel};
use lanyard_policy::decide::permit_model;
use lanyard_policy::filter::ReadFilter;
use lanyard_policy::layer::Layers;
use lanyard_policy::path::HostPath;
use lanyard_policy::redact::Redactor;
use lanyard_ports::authority::{CENTRAL_LAYER, TokenSource};
use lanyard_ports::model::{Model, ModelAnswer, ModelError, ModelProgress, ModelRequest, Picture, Pictures};
use lanyard_ports::source::Clock;
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::session::ModelInfo;
use lanyard_tools::Workspace;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Stands for every model in a bundle; no model is called that.
const ANY_MODEL: &str = "*";

/// The model of the moment: a local server started later is used from the next task on.
struct SelectedModel(Arc<Selector>);

#[async_trait::async_trait]
impl Model for SelectedModel {
    fn info(&self) -> ModelInfo {
        self.0.known().info()
    }

    fn context_window(&self) -> u32 {
        self.0.known().context_window()
    }

    fn held(&self) -> Option<Arc<dyn Model>> {
        Some(self.0.known())
    }

    fn named(&self, name: &str) -> Option<Arc<dyn Model>> {
        self.0.named(name)
    }

    async fn answer(
        &self,
        request: &ModelRequest,
        progress: &mpsc::Sender<ModelProgress>,
        cancel: &CancellationToken,
    ) -> Result<ModelAnswer, ModelError> {
        self.0.known().answer(request, progress, cancel).await
    }
}

/// The model of one session: behind the gateway that the centre granted it, else the host's own.
#[derive(Clone)]
pub(crate) enum SessionsModel {
    /// The host's.
    Own(Arc<Selector>),
    /// The centre's.
    Granted(Arc<SessionModel>),
}

impl SessionsModel {
    /// By what the session's policy was granted.
    ///
    /// # Errors
    /// The centre granted a gateway that cannot be used; the host's own is no substitute for it.
    pub(crate) fn of(policy: &Arc<SessionPolicy>, own: &Arc<Selector>) -> Result<Self, WireError> {
        if policy.gateway().is_none() {
            return Ok(Self::Own(own.clone()));
        }
        let layers = policy.held();
        let central = layers.iter().filter(|layer| layer.name() == CENTRAL_LAYER);
        let allowed = central.flat_map(|layer| &layer.bundle().llm_policy.allowed_models);
        let allowed = allowed.filter(|name| *name != ANY_MODEL).cloned().collect();
        let granted = SessionModel::new(policy.clone(), allowed)
            .map_err(|e| WireError::new(ErrorCode::LlmUnavailable, e.to_string()))?;
        Ok(Self::Granted(Arc::new(granted)))
    }

    /// As the loop takes it.
    pub(crate) fn port(&self) -> Arc<dyn Model> {
        match self {
            Self::Own(own) => Arc::new(SelectedModel(own.clone())),
            Self::Granted(granted) => granted.clone(),
        }
    }

    /// Learns the model's name.
    pub(crate) async fn learn(&self) {
        match self {
            Self::Own(own) => drop(own.current().await),
            Self::Granted(granted) => granted.resolve().await,
        }
    }
}

/// Pictures attached to a session's prompts, as far as policy lets them be read without asking.
pub(crate) struct SessionPictures {
    pub(crate) workspace: Arc<Workspace>,
    pub(crate) policy: Arc<SessionPolicy>,
}

#[async_trait::async_trait]
impl Pictures for SessionPictures {
    async fn picture(&self, path: &str) -> Option<Picture> {
        let (workspace, layers, path) = (self.workspace.clone(), self.policy.held(), path.to_owned());
        let read = move || {
            let real = lanyard_tools::attachment_path(&workspace, &path)?;
            let real = HostPath::parse(real.to_str()?).ok()?;
            if !ReadFilter::new(&layers, workspace.places()).admits(&real) {
                return None;
            }
            match lanyard_tools::picture(&workspace, &path) {
                Ok(found) => found.map(|(media_type, bytes)| Picture { media_type, bytes: bytes.into() }),
                Err(error) => {
                    tracing::info!(%error, "an attachment is not shown to the model");
                    None
                }
            }
        };
        tokio::task::spawn_blocking(read).await.ok().flatten()
    }
}

/// Policy's word on model calls.
pub(crate) struct ModelGate {
    policy: Arc<SessionPolicy>,
    clock: Arc<dyn Clock>,
}

impl ModelGate {
    /// A gate over a session's policy.
    pub(crate) fn new(policy: Arc<SessionPolicy>, clock: Arc<dyn Clock>) -> Self {
        Self { policy, clock }
    }
}

#[async_trait::async_trait]
impl PolicyGate for ModelGate {
    async fn model_call(&self, model: &ModelInfo) -> Result<InForce, PolicyStop> {
        let layers = match self.policy.current().await {
            Ok(layers) => layers,
            Err(lapse) => {
                tracing::warn!(%lapse, "no policy is in force for a session");
                return Err(stop(lapse));
            }
        };
        permit_model(&layers, &model.name, self.clock.now())
            .map_err(|denial| PolicyStop::Denied(denial.to_wire()))?;
        limits(&layers).ok_or_else(|| {
            PolicyStop::Denied(WireError::new(ErrorCode::PolicyBundleInvalid, "no policy bundle is in force"))
        })
    }

    async fn revoked(&self) -> PolicyStop {
        stop(self.policy.revoked().await)
    }
}

/// A lapse as the loop is told.
fn stop(lapse: PolicyLapse) -> PolicyStop {
    match lapse {
        PolicyLapse::Expired { at, .. } => PolicyStop::Expired { expired_at: at },
        PolicyLapse::Revoked { reason } => PolicyStop::Revoked { reason },
        lapse @ PolicyLapse::Unconfirmed { .. } => PolicyStop::Unconfirmed { reason: lapse.to_string() },
    }
}

/// The smallest numbers of all layers.
fn limits(layers: &Layers) -> Option<InForce> {
    let smallest = |number: fn(&lanyard_protocol::policy::LlmPolicy) -> u64| {
        layers.iter().map(|layer| number(&layer.bundle().llm_policy)).min()
    };
    let versions: Vec<&str> = layers.iter().map(|l| l.bundle().policy_bundle_version.as_str()).collect();
    Some(InForce {
        bundle_version: versions.join(" + "),
        limits: ModelLimits {
            max_input_tokens: smallest(|p| p.max_input_tokens)?,
            max_output_tokens: smallest(|p| p.max_output_tokens)?,
            max_session_tokens: smallest(|p| p.max_session_tokens)?,
        },
    })
}

/// Redaction by the rules last in force; compiled once a bundle.
pub(crate) struct SessionRedactor {
    policy: Arc<SessionPolicy>,
    compiled: Mutex<Option<Compiled>>,
}

/// The rules of certain layers; `None` when they cannot be applied.
struct Compiled {
    layers: Arc<Layers>,
    redactor: Option<Arc<Redactor>>,
}

impl SessionRedactor {
    /// A redactor over a session's policy.
    pub(crate) fn new(policy: Arc<SessionPolicy>) -> Self {
        Self { policy, compiled: Mutex::new(None) }
    }

    fn compiled(&self) -> Option<Arc<Redactor>> {
        let layers = self.policy.held();
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = compiled.as_ref().filter(|held| Arc::ptr_eq(&held.layers, &layers)) {
            return held.redactor.clone();
        }
        let rules = layers.iter().flat_map(|layer| &layer.bundle().redaction_rules);
        let redactor = Redactor::compile(rules).map(Arc::new);
        if let Err(fault) = &redactor {
            tracing::error!(%fault, "the redaction rules cannot be applied; texts are withheld");
        }
        let redactor = redactor.ok();
        *compiled = Some(Compiled { layers, redactor: redactor.clone() });
        redactor
    }
}

impl Redacts for SessionRedactor {
    fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.compiled() {
            Some(redactor) => redactor.apply(text),
            // Validation compiles the rules, so this is a defect; nothing may leave because of one.
            None => Cow::Borrowed("[withheld: the redaction rules cannot be applied]"),
        }
    }
}
