//! What stands between the loop and the model: the choice of the model, policy, redaction.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use lanyard_agent::{InForce, ModelLimits, PolicyGate, PolicyStop, Redactor as Redacts};
use lanyard_dispatch::{PolicyLapse, SessionPolicy};
use lanyard_model::Selector;
use lanyard_policy::decide::permit_model;
use lanyard_policy::filter::ReadFilter;
use lanyard_policy::layer::Layers;
use lanyard_policy::path::HostPath;
use lanyard_policy::redact::Redactor;
use lanyard_ports::model::{Model, ModelAnswer, ModelError, ModelProgress, ModelRequest, Picture, Pictures};
use lanyard_ports::source::Clock;
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::session::ModelInfo;
use lanyard_tools::Workspace;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// The model of the moment: a local server started later is used from the next task on.
pub(crate) struct SelectedModel(pub(crate) Arc<Selector>);

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
            Err(PolicyLapse::Expired { at, reason }) => {
                tracing::warn!(%reason, "a policy bundle could not be renewed");
                return Err(PolicyStop::Expired { expired_at: at });
            }
        };
        permit_model(&layers, &model.name, self.clock.now())
            .map_err(|denial| PolicyStop::Denied(denial.to_wire()))?;
        limits(&layers).ok_or_else(|| {
            PolicyStop::Denied(WireError::new(ErrorCode::PolicyBundleInvalid, "no policy bundle is in force"))
        })
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
