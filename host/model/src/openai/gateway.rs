//! A model behind an OpenAI-compatible API: one call, its attempts, its answer.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lanyard_ports::model::{Model, ModelAnswer, ModelError, ModelProgress, ModelRequest, NAMED_BY_TASK};
use lanyard_protocol::error::WireError;
use lanyard_protocol::session::ModelInfo;
use reqwest::Response;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use tokio::sync::{OnceCell, mpsc};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::body::{self, LimitName, Sight};
use super::complaint::Complaint;
use super::decode::Decoder;
use super::http::{self, Timings};
use super::link::Link;
use super::models::{self, Offered};
use super::renewal::Renewal;
use crate::endpoint::{Endpoint, Token};
use crate::owner::{self, Judge};
use crate::pace::{Pace, RealPace};
use crate::retry::{Fault, MAX_ATTEMPTS, Site, Verdict, decide};

/// Tokens taken to fit when nobody says: what current hosted models have at least.
const HOSTED_CONTEXT_WINDOW: u32 = 128_000;

/// Bytes of a list of models; hubs with thousands of models stay below.
const MAX_LIST_BYTES: usize = 8 << 20;

/// Tells a LiteLLM gateway which calls belong together; others ignore it.
const SESSION_HEADER: &str = "x-litellm-session-id";

/// Stands for the model's name until the gateway was asked.
const UNNAMED: &str = "(first model offered)";

/// What a gateway needs to know.
#[derive(Debug, Clone)]
pub struct GatewayOptions {
    /// Where it is.
    pub endpoint: Endpoint,
    /// What only it is sent.
    pub token: Option<Token>,
    /// The model to ask for; without one the gateway is asked and the first it offers is taken.
    pub model: Option<String>,
    /// Tokens that fit, when the owner says so.
    pub context_window: Option<u32>,
    /// `ModelInfo::source`: how it was chosen.
    pub source: String,
    /// Found on this machine rather than configured; then nothing is sent to another user's server.
    pub found: bool,
}

/// A model behind an OpenAI-compatible API. Nothing is opened before the first call.
pub struct Gateway {
    link: Arc<Link>,
    /// The model in use, once known.
    chosen: OnceCell<Offered>,
    /// Names to choose from in this order, where none was configured; empty: whatever is offered.
    allowed: Vec<String>,
    /// Where a fresh token comes from, where tokens are given out for one session.
    renewal: Option<Renewal>,
    /// What the owner says fits.
    context_window: Option<u32>,
    source: String,
    found: bool,
    /// The gateway wants the limit of the answer named the new way.
    new_limit_name: AtomicBool,
    /// The gateway, or the model behind it, refused pictures.
    refuses_pictures: AtomicBool,
    timings: Timings,
    pace: Arc<dyn Pace>,
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway")
            .field("link", &self.link)
            .field("chosen", &self.chosen)
            .finish_non_exhaustive()
    }
}

impl Gateway {
    /// A gateway with the usual timings and the machine's clock.
    pub fn new(options: GatewayOptions) -> Self {
        Self::with_pace(options, Timings::default(), Arc::new(RealPace))
    }

    /// A gateway with timings and clock handed in.
    pub fn with_pace(options: GatewayOptions, timings: Timings, pace: Arc<dyn Pace>) -> Self {
        let judge = if options.found { owner::found } else { owner::named_by_owner };
        Self::judged(options, timings, pace, judge)
    }

    fn judged(options: GatewayOptions, timings: Timings, pace: Arc<dyn Pace>, judge: Judge) -> Self {
        let GatewayOptions { endpoint, token, model, context_window, source, found } = options;
        let chosen = model.map(|name| OnceCell::new_with(Some(Offered { name, context_window })));
        Self {
            link: Arc::new(Link::new(endpoint, token, judge, timings.connect)),
            chosen: chosen.unwrap_or_default(),
            allowed: Vec::new(),
            renewal: None,
            context_window,
            source,
            found,
            new_limit_name: AtomicBool::new(false),
            refuses_pictures: AtomicBool::new(false),
            timings,
            pace,
        }
    }

    /// The gateway of one session: its token is renewed when it is refused, and without a configured name the first of
    /// `allowed` that is offered is asked for.
    pub(crate) fn for_session(
        options: GatewayOptions,
        timings: Timings,
        pace: Arc<dyn Pace>,
        allowed: Vec<String>,
        renewal: Renewal,
    ) -> Self {
        let gateway = Self::with_pace(options, timings, pace);
        Self { allowed, renewal: Some(renewal), ..gateway }
    }

    /// Another model of the same gateway, over the same connections. `offered` is it as far as it is known; what the
    /// owner said of the window was said of the owner's choice and counts where nothing else is known.
    pub(crate) fn other(&self, offered: Offered) -> Self {
        let own = self.chosen.get().is_some_and(|chosen| chosen.name == offered.name);
        let said = if own { self.context_window } else { offered.context_window.or(self.context_window) };
        Self {
            link: Arc::clone(&self.link),
            context_window: said,
            chosen: OnceCell::new_with(Some(offered)),
            allowed: Vec::new(),
            renewal: self.renewal.clone(),
            source: NAMED_BY_TASK.to_owned(),
            found: self.found,
            new_limit_name: AtomicBool::new(self.new_limit_name.load(Ordering::Relaxed)),
            refuses_pictures: AtomicBool::new(false),
            timings: self.timings,
            pace: Arc::clone(&self.pace),
        }
    }

    /// Asks what the gateway offers, once, within [`Timings::list`]. For `doctor`, and to learn that it is there.
    pub async fn offered(&self) -> Result<Vec<Offered>, ModelError> {
        self.list().await.map_err(|fault| match decide(&fault, 1, 0, self.pace.now(), &self.site()) {
            Verdict::Fail(error) | Verdict::Again { because: error, .. } => error,
        })
    }

    /// Learns the model's name if none was configured. A failure is not reported here; the next call meets it again
    /// and says so.
    pub(crate) async fn resolve(&self) {
        if let Err(fault) = self.chosen().await {
            tracing::debug!(?fault, endpoint = %self.link.endpoint, "the list of models is not available");
        }
    }

    async fn chosen(&self) -> Result<&Offered, Fault> {
        let ask = || async {
            let offered = match self.list().await {
                Ok(offered) => offered,
                Err(fault) => match models::first_named(&self.allowed) {
                    // A gateway need not list its models; policy has named one.
                    Some(name) if is_unlisted(&fault) => {
                        return Ok(Offered { name: name.to_owned(), context_window: None });
                    }
                    _ => return Err(self.unlisted(fault)),
                },
            };
            if !self.allowed.is_empty() {
                return models::choose_allowed(&offered, &self.allowed).cloned().ok_or_else(|| {
                    let (endpoint, allowed) = (&self.link.endpoint, self.allowed.join(", "));
                    Fault::Setup(format!(
                        "the gateway {endpoint} offers none of the models policy allows: {allowed}"
                    ))
                });
            }
            models::choose(&offered, None).cloned().ok_or_else(|| {
                Fault::Setup(format!("the gateway {} offers no model; set LANYARD_MODEL", self.link.endpoint))
            })
        };
        self.chosen.get_or_try_init(ask).await
    }

    /// A gateway need not list its models; then the name has to be configured.
    fn unlisted(&self, fault: Fault) -> Fault {
        let Fault::Complaint { complaint: Complaint { status, .. }, .. } = &fault else { return fault };
        if !is_unlisted(&fault) {
            return fault;
        }
        let endpoint = &self.link.endpoint;
        Fault::Setup(format!(
            "the gateway {endpoint} does not list its models ({status}); set LANYARD_MODEL (or model.name), and check \
             LANYARD_GATEWAY_URL (or model.endpoint)"
        ))
    }

    pub(crate) async fn list(&self) -> Result<Vec<Offered>, Fault> {
        let request = self.link.get_models()?;
        let list = async {
            let response = self.link.accepted(request).await?;
            let body = http::beginning_of(response, MAX_LIST_BYTES, self.timings.list).await;
            models::offered(&body).ok_or_else(|| Fault::Setup(format!(
                "what answers at {} is no OpenAI-compatible API; check LANYARD_GATEWAY_URL (or model.endpoint)",
                self.link.endpoint
            )))
        };
        timeout(self.timings.list, list).await.unwrap_or(Err(Fault::Silent(self.timings.list)))
    }

    /// Attempts until one succeeds or `retry` says to give up.
    async fn attempts(
        &self,
        request: &ModelRequest,
        progress: &mpsc::Sender<ModelProgress>,
    ) -> Result<ModelAnswer, ModelError> {
        let mut attempt = 1;
        let mut renewed = false;
        loop {
            let sight = self.sight();
            if let Some(renewal) = &self.renewal {
                renewal.catch_up(&self.link)?;
            }
            let fault = match self.attempt(request, sight, progress).await {
                Ok(answer) => return Ok(answer),
                Err(fault) => fault,
            };
            let shown = sight == Sight::Shown && !request.pictures.is_empty();
            if self.learns_from(&fault) || (shown && self.learns_of_pictures(&fault)) {
                continue;
            }
            // Once: a gateway that refuses a fresh token as well means something else.
            if let Some(renewal) = self.renewal.as_ref().filter(|_| !renewed && is_unauthorised(&fault)) {
                renewal.renew(&self.link).await?;
                renewed = true;
                continue;
            }
            match decide(&fault, attempt, self.pace.random(), self.pace.now(), &self.site()) {
                Verdict::Fail(error) => return Err(error),
                Verdict::Again { delay, because } => {
                    let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
                    tracing::info!(attempt, delay_ms, error = %because, "model call failed, trying again");
                    let error = WireError::from(&because);
                    tell(
                        progress,
                        ModelProgress::Retry { attempt, max_attempts: MAX_ATTEMPTS, delay_ms, error },
                    )
                    .await;
                    self.pace.wait(delay).await;
                    attempt += 1;
                }
            }
        }
    }

    /// One request and its answer.
    async fn attempt(
        &self,
        request: &ModelRequest,
        sight: Sight,
        progress: &mpsc::Sender<ModelProgress>,
    ) -> Result<ModelAnswer, Fault> {
        let chosen = self.chosen().await?;
        let limit = match self.new_limit_name.load(Ordering::Relaxed) {
            true => LimitName::MaxCompletionTokens,
            false => LimitName::MaxTokens,
        };
        let body = body::chat_completion(request, &chosen.name, limit, sight).to_string();
        let post = self
            .link
            .post_chat()?
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "text/event-stream")
            .header(SESSION_HEADER, request.session_id.as_str())
            .body(body);
        let answer = async {
            let first_byte = self.timings.first_byte;
            let accepted = timeout(first_byte, self.link.accepted(post)).await;
            let response = accepted.unwrap_or(Err(Fault::Silent(first_byte)))?;
            let mut answer = self.read(response, progress).await?;
            if answer.model.is_empty() {
                answer.model.clone_from(&chosen.name);
            }
            Ok(answer)
        };
        let total = self.timings.total;
        let late = || Fault::TooLarge(format!("it did not end within {} seconds", total.as_secs_f32()));
        timeout(total, answer).await.unwrap_or_else(|_| Err(late()))
    }

    /// Reads the answer, telling text as it comes.
    async fn read(
        &self,
        mut response: Response,
        progress: &mpsc::Sender<ModelProgress>,
    ) -> Result<ModelAnswer, Fault> {
        let mut decoder = Decoder::default();
        let mut told = Vec::new();
        let mut patience = self.timings.first_byte;
        let cut = loop {
            let chunk = timeout(patience, response.chunk()).await.map_err(|_| Fault::Silent(patience))?;
            patience = self.timings.idle;
            let pushed = match &chunk {
                Ok(Some(bytes)) => decoder.push(bytes, &mut told),
                Ok(None) => break None,
                Err(e) => break Some(http::in_words(e)),
            };
            tell_all(progress, &mut told).await;
            pushed.map_err(|fault| self.link.without_token(fault))?;
            if decoder.is_done() {
                http::finish(response).await;
                break None;
            }
        };
        let answer = decoder.end(cut.as_deref(), &mut told);
        tell_all(progress, &mut told).await;
        answer.map_err(|fault| self.link.without_token(fault))
    }

    /// Whether the fault is the gateway's wish for another parameter name, which is then used; at most once.
    fn learns_from(&self, fault: &Fault) -> bool {
        let Fault::Complaint { complaint, .. } = fault else { return false };
        complaint.status == 400
            && complaint.message.contains("max_completion_tokens")
            && !self.new_limit_name.swap(true, Ordering::Relaxed)
    }

    fn sight(&self) -> Sight {
        if self.refuses_pictures.load(Ordering::Relaxed) { Sight::LeftOut } else { Sight::Shown }
    }

    /// Whether the fault of a request with pictures is about them. They are then left out, of this request and of those
    /// after it: better an answer without them than none.
    fn learns_of_pictures(&self, fault: &Fault) -> bool {
        let Fault::Complaint { complaint, .. } = fault else { return false };
        let refused = complaint.is_about_pictures();
        if refused {
            tracing::info!(said = complaint.message, "the gateway takes no pictures; they are left out");
            self.refuses_pictures.store(true, Ordering::Relaxed);
        }
        refused
    }

    fn name(&self) -> &str {
        self.chosen.get().map_or(UNNAMED, |chosen| &chosen.name)
    }

    fn site(&self) -> Site {
        Site {
            endpoint: self.link.endpoint.to_string(),
            model: self.name().to_owned(),
            token_sent: self.link.has_token(),
            found: self.found,
        }
    }
}

#[async_trait::async_trait]
impl Model for Gateway {
    fn info(&self) -> ModelInfo {
        ModelInfo {
            name: self.name().to_owned(),
            endpoint: self.link.endpoint.to_string(),
            demo: false,
            source: self.source.clone(),
        }
    }

    fn context_window(&self) -> u32 {
        let assumed = if self.found { models::LOCAL_CONTEXT_WINDOW } else { HOSTED_CONTEXT_WINDOW };
        let offered = self.chosen.get().and_then(|chosen| chosen.context_window);
        self.context_window.or(offered).unwrap_or(assumed)
    }

    async fn answer(
        &self,
        request: &ModelRequest,
        progress: &mpsc::Sender<ModelProgress>,
        cancel: &CancellationToken,
    ) -> Result<ModelAnswer, ModelError> {
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(ModelError::Cancelled),
            answer = self.attempts(request, progress) => answer,
        }
    }
}

/// Whether a gateway says that it has no list of models.
fn is_unlisted(fault: &Fault) -> bool {
    matches!(fault, Fault::Complaint { complaint, .. } if matches!(complaint.status, 404 | 405 | 501))
}

/// Whether a gateway does not accept the token.
fn is_unauthorised(fault: &Fault) -> bool {
    matches!(fault, Fault::Complaint { complaint, .. } if complaint.status == 401)
}

/// Nobody listening is no reason to stop: the answer is returned whole all the same.
async fn tell(progress: &mpsc::Sender<ModelProgress>, message: ModelProgress) {
    if progress.send(message).await.is_err() {
        tracing::trace!("nobody listens to the progress of the model call");
    }
}

async fn tell_all(progress: &mpsc::Sender<ModelProgress>, told: &mut Vec<String>) {
    for text in told.drain(..) {
        tell(progress, ModelProgress::Text(text)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::TcpListener;

    use super::*;
    use crate::owner::Stranger;

    fn options(listener: &TcpListener, found: bool) -> GatewayOptions {
        let endpoint = Endpoint::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let source = "ollama".to_owned();
        GatewayOptions { endpoint, token: None, model: None, context_window: None, source, found }
    }

    fn listener() -> TcpListener {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        listener
    }

    #[tokio::test]
    async fn nothing_is_sent_to_another_users_server() {
        let listener = listener();
        let judge: Judge = |_| Err(Stranger::Foreign { port: 7, uid: 1_234 });
        let options = options(&listener, true);
        let gateway = Gateway::judged(options, Timings::default(), Arc::new(RealPace), judge);
        let Err(Fault::Setup(text)) = gateway.list().await else { panic!("it was asked") };
        assert!(text.contains("user id 1234") && text.contains("model.endpoint"), "{text}");
        assert!(matches!(gateway.link.post_chat(), Err(Fault::Setup(_))));
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_owner_of_a_found_server_is_looked_at_and_not_that_of_a_named_one() {
        let listener = listener();
        let (found, named) = (options(&listener, true), options(&listener, false));
        drop(listener);
        let Err(Fault::Unreachable(text)) = Gateway::new(found).list().await else { panic!() };
        assert!(text.contains("nobody listens"), "{text}");
        // Whether a client can be made depends on what else this process does; nobody was looked for.
        assert!(!matches!(Gateway::new(named).link.get_models(), Err(Fault::Unreachable(_))));
    }
}
