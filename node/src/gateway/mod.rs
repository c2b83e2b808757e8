//! The doors of a node: every request from outside is parsed, bounded and authorised here.
//!
//! All routes stand in one table ([`routes`]), from which the router is built and the tests
//! enumerate. A door calls services and never the store.

pub mod assets;
pub mod body;
mod claims;
pub mod crowd;
pub mod fault;
pub mod http;
mod json;
mod limit;
pub mod listen;
pub mod matrix;
mod oauth;
mod passkeys;
mod providers;
mod synapse;
pub mod table;
mod ws;

use std::{net::IpAddr, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use ::http::{HeaderMap, HeaderValue, Method, Request, Uri, Version, header, request::Parts};
use anyhow::anyhow;
use axum::{
    Router,
    body::Body,
    extract::{FromRequestParts, RawPathParams},
    response::IntoResponse,
    routing::{MethodFilter, MethodRouter, on},
};
use bytes::Bytes;
use futures_util::FutureExt;
use http_body::Body as _;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use ruma::{OwnedServerName, UserId};
use serde::Deserialize;
use tokio::time::timeout;
use wayside_federation::request::Request as SignedRequest;

use self::{
    body::Dawdling,
    fault::Fault,
    limit::{Limits, Who},
    table::{Access, Call, Handler, Reply, Route},
};
use crate::{
    ops::{health::Health, metrics::Metrics},
    services::{Error, Services, accounts::Session, app_services::AppService},
};

/// What the doors lead to.
pub struct App {
    /// The verbs.
    pub services: Services,
    /// Counts and times.
    pub metrics: Metrics,
    /// The addresses under which people find this node.
    pub places: Places,
    /// Whether the store answers.
    pub health: Health,
    limits: Limits,
}

/// The addresses of this node as people and clients write them, without a slash at the end.
#[derive(Clone, Debug)]
pub struct Places {
    /// For people and clients.
    pub public: String,
    /// HTTPS on this machine.
    pub https: String,
    /// Host and port for other servers.
    pub federation: String,
}

/// By which kind of listener a request came, and from where.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// The other end of the connection.
    pub peer: IpAddr,
    /// Whether the connection is encrypted.
    pub secure: bool,
}

impl App {
    /// The doors of these services.
    #[must_use]
    pub fn new(services: Services, metrics: Metrics, places: Places) -> Self {
        let ground = &services.ground;
        let limits = Limits::new(ground.config.no_rate_limit, ground.clock);
        let health = Health::new(ground.clock);
        Self { services, metrics, places, health, limits }
    }

    /// Takes an attempt at an account's password from the budget that all addresses share.
    pub fn guessed(&self, user_id: &UserId) -> Result<(), Fault> {
        Ok(self.limits.take(table::Rate::Guessed, &Who::Person(user_id.to_owned()))?)
    }

    /// Takes a call of another server from somebody's budget of those, where what they ask for is there.
    pub fn calls(&self, session: &Session) -> Result<(), Fault> {
        Ok(self.limits.take(table::Rate::Outside, &Who::Person(session.user_id.clone()))?)
    }
}

/// All routes of the client-facing doors.
#[must_use]
pub fn routes() -> Vec<Route> {
    let mut all = matrix::client::routes();
    all.extend(http::routes());
    all.extend(oauth::routes());
    all.extend(passkeys::routes());
    all.extend(providers::routes());
    all.extend(assets::routes());
    all.extend(ws::routes());
    all.extend(synapse::routes());
    all
}

/// The routes of the door that other servers use.
#[must_use]
pub fn federation_routes() -> Vec<Route> {
    let mut all = matrix::federation::routes();
    all.extend(http::federation_routes());
    all
}

/// The router of a table.
pub fn router(app: &Arc<App>, routes: Vec<Route>) -> Router {
    let clock = app.services.ground.clock;
    let mut router = Router::new();
    for route in routes {
        for path in route.paths.clone() {
            router = router.route(&path, method_router(app.clone(), route.clone(), path.clone()));
        }
    }
    router
        .fallback(move || async move { Fault::Unrecognized.into_reply(clock) })
        .method_not_allowed_fallback(move || async move { Fault::WrongMethod.into_reply(clock) })
        .layer(axum::middleware::from_fn(with_cors))
}

fn method_router(app: Arc<App>, route: Route, path: String) -> MethodRouter {
    let filter =
        MethodFilter::try_from(route.method.clone()).expect("the table holds common methods");
    let route = Arc::new(route);
    let path: Arc<str> = path.into();
    on(filter, move |request: Request<Body>| {
        let (app, route, path) = (app.clone(), route.clone(), path.clone());
        async move {
            let timer = app.metrics.begin(&route.method, &path);
            let first = request.version() < Version::HTTP_2;
            let has_body = !http_body::Body::is_end_stream(request.body());
            // A panic is a defect of ours, and costs the one request that met it.
            let dawdling = request.extensions().get::<Dawdling>().cloned();
            let passed = AssertUnwindSafe(pass(&app, &route, request)).catch_unwind().await;
            let passed = passed.unwrap_or_else(|_| Err(Error::internal(anyhow!("a panic")).into()));
            // Whoever took the body in knows only that it broke off.
            let missed = dawdling.and_then(|dawdling| dawdling.missed());
            let passed = passed.map_err(|fault| missed.map_or(fault, Fault::TooSlow));
            let mut reply =
                passed.unwrap_or_else(|fault| fault.into_reply(app.services.ground.clock));
            if first && has_body && !reply.status().is_success() {
                // What is refused may not have been read to its end: the connection cannot go on
                // behind it, and a client that is not told would lose its next request.
                let close = HeaderValue::from_static("close");
                reply.headers_mut().insert(header::CONNECTION, close);
            }
            app.metrics.end(timer, reply.status());
            reply
        }
    })
}

/// Who it is, whether they may, whether the body is small enough: then the handler.
async fn pass(app: &Arc<App>, route: &Route, request: Request<Body>) -> Result<Reply, Fault> {
    let (mut parts, body) = request.into_parts();
    let arrival = parts.extensions.get::<Arrival>().copied();
    let peer = arrival.map_or(IpAddr::from([0, 0, 0, 0]), |arrival| arrival.peer);
    let trusted = &app.services.ground.config.trusted_proxies;
    let address = claims::address(trusted, peer, &parts.headers);
    // Boxed, as all that is over soon: many requests wait, and each holds the room of its largest part.
    let session = match route.access {
        Access::Server => {
            app.limits.take(table::Rate::Shown, &Who::address(address))?;
            None
        }
        _ => Box::pin(session(app, route, &parts.headers, &parts.uri, address)).await?,
    };
    let params = RawPathParams::from_request_parts(&mut parts, &()).await;
    let params = params.map_err(|error| Fault::BadParameter(error.body_text()))?;
    let path = params.iter().map(|(_, value)| value.to_owned()).collect();
    match &route.handler {
        Handler::Stream(answer) => {
            let origin = Box::pin(origin(app, route, &parts, b"", address)).await?;
            let request = Request::from_parts(parts, body);
            answer(Call { app: app.clone(), session, origin, address, path, request }).await
        }
        Handler::Whole(answer) => {
            let body = Box::pin(whole(body, route.body_bytes)).await?;
            let origin = Box::pin(origin(app, route, &parts, &body, address)).await?;
            let request = Request::from_parts(parts, body);
            answer(Call { app: app.clone(), session, origin, address, path, request }).await
        }
    }
}

/// The server that asks, where the route is for servers: it signs the request and its body.
async fn origin(
    app: &App,
    route: &Route,
    head: &Parts,
    body: &[u8],
    address: IpAddr,
) -> Result<Option<OwnedServerName>, Fault> {
    if route.access != Access::Server {
        return Ok(None);
    }
    let unsigned = |why: &str| Error::Unsigned(why.to_owned());
    let header = head.headers.get(header::AUTHORIZATION);
    let header =
        header.ok_or_else(|| unsigned("servers sign what they ask: X-Matrix is missing"))?;
    let header = header.to_str().map_err(|_| unsigned("the X-Matrix header is no plain text"))?;
    let content = std::str::from_utf8(body).map_err(|_| Fault::bad_json("the body is no UTF-8"))?;
    let uri = head.uri.path_and_query().map_or("/", |uri| uri.as_str());
    let content = Some(content).filter(|content| !content.is_empty());
    let asked = SignedRequest { method: head.method.as_str(), uri, content };
    // Anybody can name servers that this node would have to call.
    let may_fetch = || app.limits.take(table::Rate::Outside, &Who::address(address));
    let origin = app.services.servers.admit(header, asked, may_fetch).await?;
    app.limits.take(route.rate, &Who::Server(origin.clone()))?;
    Ok(Some(origin))
}

async fn session(
    app: &App,
    route: &Route,
    headers: &HeaderMap,
    uri: &Uri,
    address: IpAddr,
) -> Result<Option<Session>, Fault> {
    let token = claims::token(headers, uri.query());
    if route.access == Access::Public {
        app.limits.take(route.rate, &Who::address(address))?;
        return Ok(None);
    }
    let Some(token) = token else {
        app.limits.take(route.rate, &Who::address(address))?;
        if matches!(route.access, Access::Perhaps | Access::Service) {
            return Ok(None);
        }
        return Err(Fault::MissingToken);
    };
    if let Some(service) = app.services.ground.app_services.by_token(&token) {
        return speaking(app, route, service, uri).await.map(Some);
    }
    if route.access == Access::Service {
        app.limits.take(route.rate, &Who::address(address))?;
        return Ok(None);
    }
    // Anybody can make up tokens, and each that is looked up costs the store a read.
    app.limits.take(table::Rate::Shown, &Who::address(address))?;
    let session = match app.services.accounts.session(&token, address).await {
        Ok(session) => session,
        // One whose time is over is no guess.
        Err(error @ Error::SoftLogout) => return Err(error.into()),
        Err(error) => {
            // Tokens that are guessed use up the budget of guesses.
            app.limits.take(table::Rate::Guess, &Who::address(address))?;
            return Err(error.into());
        }
    };
    app.limits.take(route.rate, &Who::Person(session.user_id.clone()))?;
    admit(route, &session)?;
    Ok(Some(session))
}

/// Whether somebody may call a route.
fn admit(route: &Route, session: &Session) -> Result<(), Fault> {
    route.admits.check(session.held)?;
    if let Access::AtLeast(role) = route.access
        && session.role < role
    {
        if session.role == wayside_specs::Role::Guest {
            return Err(Error::Guest.into());
        }
        return Err(Fault::RoleTooLow(role.as_str()));
    }
    Ok(())
}

/// The session of an application service, which says in its query for whom it speaks, and on which of
/// their devices (application service API, identity assertion).
async fn speaking(
    app: &App,
    route: &Route,
    service: &AppService,
    uri: &Uri,
) -> Result<Session, Fault> {
    #[derive(Default, Deserialize)]
    struct Speaking {
        #[serde(rename = "user_id")]
        whom: Option<String>,
        #[serde(rename = "device_id")]
        device: Option<String>,
        /// Its name of before version 1.17.
        #[serde(rename = "org.matrix.msc3202.device_id")]
        older_device: Option<String>,
    }
    let services = &app.services.app_services;
    if route.access == Access::Service {
        return Ok(services.session(service, None, None).await?);
    }
    let said = axum::extract::Query::<Speaking>::try_from_uri(uri);
    let said = said.map_err(|error| Fault::BadParameter(error.body_text()))?.0;
    let device = said.device.or(said.older_device);
    let session = services.session(service, said.whom.as_deref(), device.as_deref()).await?;
    if service.rate_limited && session.user_id != service.sender {
        app.limits.take(route.rate, &Who::Person(session.user_id.clone()))?;
    }
    admit(route, &session)?;
    Ok(session)
}

/// How long a body that is wanted whole may take.
const WHOLE: Duration = Duration::from_mins(1);

async fn whole(body: Body, most: usize) -> Result<Bytes, Fault> {
    // One that says itself that it is too much is not waited for.
    if body.size_hint().lower() > most as u64 {
        return Err(Fault::BodyTooLarge(most));
    }
    match timeout(WHOLE, Limited::new(body, most).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Fault::BodyTooLarge(most)),
        _ => Err(Fault::BadParameter("the body did not arrive whole".to_owned())),
    }
}

/// Lets pages of other origins ask (client-server API, web browser clients).
async fn with_cors(request: Request<Body>, next: axum::middleware::Next) -> Reply {
    let preflight = request.method() == Method::OPTIONS;
    let mut reply = if preflight { Body::empty().into_response() } else { next.run(request).await };
    let headers = reply.headers_mut();
    let any = HeaderValue::from_static("*");
    let methods = HeaderValue::from_static("GET, POST, PUT, DELETE, OPTIONS");
    let allowed = HeaderValue::from_static("X-Requested-With, Content-Type, Authorization");
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, any);
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed);
    if preflight {
        // What they may ask changes with a release at most: nobody asks for that before every request.
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("7200"));
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    reply
}

#[cfg(test)]
mod tests;
