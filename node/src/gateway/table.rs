//! The one table of routes: who may call each, how large and how often, and what answers.

use std::{
    future::{Future, ready},
    net::IpAddr,
    pin::Pin,
    sync::Arc,
};

use axum::body::Body;
use bytes::Bytes;
use http::{Method, Request, Response};
use ruma::{
    OwnedServerName, ServerName,
    api::{IncomingRequest, IncomingRequestExt, Metadata, path_builder::PathBuilder},
};
use serde_json::{Map, Value};
use wayside_specs::{Role, limits};

use super::{
    App,
    fault::Fault,
    http::spoken_in,
    json::{Kind, check, object},
};
use crate::services::{
    Error, Language,
    accounts::{Held, Session},
    app_services::AppService,
};

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody.
    Public,
    /// Anybody; whoever shows a token is known by it.
    Perhaps,
    /// Anybody; an application service that shows its token is known by it.
    Service,
    /// Another server, which signs what it asks (server-server API, request authentication).
    Server,
    /// Whoever is signed in, guests too.
    Account,
    /// Whoever is signed in with a role of at least this.
    AtLeast(Role),
}

/// Whom of those who are held back by those who run the node a route admits all the same (client-server
/// API, account locking and account suspension).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Admits {
    /// Nobody: it changes something.
    Unheld,
    /// The suspended: it reads, or changes what they may change.
    Suspended,
    /// The locked too: it signs out.
    Locked,
}

impl Admits {
    /// Refuses those whom the route does not admit.
    pub fn check(self, held: Held) -> Result<(), Error> {
        if held.locked && self < Self::Locked {
            return Err(Error::Locked);
        }
        if held.suspended && self < Self::Suspended {
            return Err(Error::Suspended);
        }
        Ok(())
    }

    /// Whoever may only read may call what only reads.
    fn by(method: &Method) -> Self {
        if *method == Method::GET { Self::Suspended } else { Self::Unheld }
    }
}

/// How often a route may be called: its share of one budget for each person or address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rate {
    /// Without limit: cheap, and needed by monitors.
    Free,
    /// Guessing a password or a link.
    Guess,
    /// Being guessed: attempts at one account, from wherever they come. No route has it for its own.
    Guessed,
    /// Showing a token, whose owner is looked up: by address, before it is known to be a token at
    /// all. No route has it for its own.
    Shown,
    /// Reading.
    Read,
    /// Changing something.
    Write,
    /// Sending and making files.
    Media,
    /// Having the node call somebody elsewhere.
    Outside,
    /// What another server asks.
    Federation,
}

/// A reply with its whole body at hand, or one that streams.
pub type Reply = Response<Body>;

type Answer = Pin<Box<dyn Future<Output = Result<Reply, Fault>> + Send>>;

/// What answers a route.
#[derive(Clone)]
pub enum Handler {
    /// Wants the whole body first.
    Whole(Arc<dyn Fn(Call<Bytes>) -> Answer + Send + Sync>),
    /// Takes the body in while it comes.
    Stream(Arc<dyn Fn(Call<Body>) -> Answer + Send + Sync>),
}

/// A request that has passed the door.
pub struct Call<B> {
    /// The node.
    pub app: Arc<App>,
    /// Who asks, where the route wants to know.
    pub session: Option<Session>,
    /// The server that asks, where the route is for servers.
    pub origin: Option<OwnedServerName>,
    /// From where.
    pub address: IpAddr,
    /// The variable parts of the path, decoded, in their order.
    pub path: Vec<String>,
    /// The request.
    pub request: Request<B>,
}

impl<B> Call<B> {
    /// The server that asks.
    pub fn origin(&self) -> Result<&ServerName, Fault> {
        let unsigned = || Error::Unsigned("a signed request of a server is needed".to_owned());
        Ok(self.origin.as_deref().ok_or_else(unsigned)?)
    }
}

/// A request of the Matrix API, parsed.
pub struct Asked<T> {
    /// The node.
    pub app: Arc<App>,
    /// Who asks; there for every route that is not public.
    session: Option<Session>,
    /// From where.
    pub address: IpAddr,
    /// In which language to speak to whoever asks.
    pub language: Language,
    /// What is asked.
    pub body: T,
    /// The body as it came, for parts that are kept as they are.
    pub json: Value,
    /// The query as it came, for parts that the request's type leaves out. It is a text of its own: a
    /// part of the request's head would hold all of it for as long as somebody waits for the answer.
    pub query: String,
}

impl<T> Asked<T> {
    /// Who asks.
    pub fn session(&self) -> Result<&Session, Fault> {
        self.session.as_ref().ok_or(Fault::MissingToken)
    }

    /// The application service that asks, if one does.
    pub fn service(&self) -> Option<&Arc<AppService>> {
        let id = self.session.as_ref()?.service.as_deref()?;
        self.app.services.ground.app_services.get(id)
    }
}

/// A row of the table.
#[derive(Clone)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The paths, aliases among them, with `{name}` for the variable parts.
    pub paths: Vec<String>,
    /// Who may call.
    pub access: Access,
    /// How often.
    pub rate: Rate,
    /// Whom of those who are held back it admits.
    pub admits: Admits,
    /// The largest body in bytes.
    pub body_bytes: usize,
    /// Whether the body is JSON.
    pub json: bool,
    /// What answers.
    pub handler: Handler,
}

impl Route {
    /// A route of the Matrix client API, whose method and paths are those of its request type.
    pub fn matrix<T, F>(
        access: Access,
        rate: Rate,
        answer: impl Fn(Asked<T>) -> F + Send + Sync + Clone + 'static,
    ) -> Self
    where
        T: IncomingRequest + Send + 'static,
        F: Future<Output = Result<Reply, Fault>> + Send + 'static,
    {
        let handler = move |call: Call<Bytes>| -> Answer {
            // Parsed before: what waits for an answer does not hold the request in two forms.
            match parse::<T>(call) {
                Ok(asked) => Box::pin(answer(asked)),
                Err(fault) => Box::pin(ready(Err(fault))),
            }
        };
        Self {
            method: T::METHOD,
            paths: with_aliases(
                T::PATH_BUILDER.all_paths().filter(|path| !path.contains("/unstable/")),
            ),
            access,
            rate,
            admits: Admits::by(&T::METHOD),
            body_bytes: limits::REQUEST_BYTES,
            json: T::METHOD != Method::GET,
            handler: Handler::Whole(Arc::new(handler)),
        }
    }

    /// A route of our own, whose handler reads the request itself.
    pub fn own<F>(
        method: Method,
        path: &str,
        access: Access,
        rate: Rate,
        answer: impl Fn(Call<Bytes>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Reply, Fault>> + Send + 'static,
    {
        let json = method != Method::GET && method != Method::DELETE;
        let handler = Handler::Whole(Arc::new(move |call| -> Answer { Box::pin(answer(call)) }));
        let body_bytes = limits::REQUEST_BYTES;
        let paths = with_aliases([path].into_iter());
        let admits = Admits::by(&method);
        Self { method, paths, access, rate, admits, body_bytes, json, handler }
    }

    /// A route whose body is taken in while it comes.
    pub fn streaming<F>(
        method: Method,
        path: &str,
        access: Access,
        rate: Rate,
        answer: impl Fn(Call<Body>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Reply, Fault>> + Send + 'static,
    {
        let handler = Handler::Stream(Arc::new(move |call| -> Answer { Box::pin(answer(call)) }));
        let paths = with_aliases([path].into_iter());
        let (admits, body_bytes) = (Admits::by(&method), usize::MAX);
        Self { method, paths, access, rate, admits, body_bytes, json: false, handler }
    }

    /// The same with its body gone over before the request's type reads it, for what that type breaks on,
    /// leaves out or takes for something else. What goes over it says whether it changed anything.
    #[must_use]
    pub(super) fn reading(
        mut self,
        edit: impl Fn(&mut Value) -> Result<bool, Fault> + Send + Sync + 'static,
    ) -> Self {
        if let Handler::Whole(answer) = self.handler {
            let read = move |mut call: Call<Bytes>| -> Answer {
                match edited(call.request.body(), &edit) {
                    Ok(None) => answer(call),
                    Ok(Some(body)) => {
                        *call.request.body_mut() = body;
                        answer(call)
                    }
                    Err(fault) => Box::pin(ready(Err(fault))),
                }
            };
            self.handler = Handler::Whole(Arc::new(read));
        }
        self
    }

    /// The same for a request type that takes something else for these fields, or nothing.
    #[must_use]
    pub(super) fn typed(self, fields: &'static [(&'static str, Kind)]) -> Self {
        self.reading(move |body| check(body, fields).map(|()| false))
    }

    /// The same for a request type that breaks where this field is missing, instead of saying so.
    #[must_use]
    pub fn needing(self, field: &'static str) -> Self {
        self.reading(move |body| match body.get(field) {
            Some(_) => Ok(false),
            None => Err(Fault::BadJson(format!("the field {field} is missing"))),
        })
    }

    /// The same at other paths, where clients that are in use look for it.
    #[must_use]
    pub fn at(mut self, paths: &[&str]) -> Self {
        self.paths = with_aliases(paths.iter().copied());
        self
    }

    /// The same for a body that is a form and no JSON.
    #[must_use]
    pub fn form(mut self) -> Self {
        self.json = false;
        self
    }

    /// The same for a body of JSON where the method has none by itself.
    #[must_use]
    pub fn with_body(mut self) -> Self {
        self.json = true;
        self
    }

    /// The same for suspended people too, though it is no reading.
    #[must_use]
    pub fn for_suspended(mut self) -> Self {
        self.admits = Admits::Suspended;
        self
    }

    /// The same for locked people too.
    #[must_use]
    pub fn for_locked(mut self) -> Self {
        self.admits = Admits::Locked;
        self
    }

    /// The same with room for a body of so many bytes.
    #[must_use]
    pub fn within(mut self, body_bytes: usize) -> Self {
        self.body_bytes = body_bytes;
        self
    }

    /// The same with room for a larger body.
    #[must_use]
    pub fn large(mut self) -> Self {
        self.body_bytes = limits::LARGE_REQUEST_BYTES;
        self
    }
}

/// The stable paths, and for each of version 3 its alias of `r0`, which older clients call: whichever
/// way a route comes into the table, it has them.
fn with_aliases<'p>(paths: impl Iterator<Item = &'p str>) -> Vec<String> {
    let mut all: Vec<String> = paths.map(str::to_owned).collect();
    let aliases: Vec<String> = all
        .iter()
        .filter(|path| path.starts_with("/_matrix/") && path.contains("/v3/"))
        .map(|path| path.replacen("/v3/", "/r0/", 1))
        .collect();
    all.extend(aliases);
    // State with an empty key is asked for with and without the slash at its end.
    let state = |path: &String| path.ends_with("/state/{event_type}/{state_key}");
    let short: Vec<String> = all
        .iter()
        .filter(|path| state(path))
        .flat_map(|path| {
            let short = path.trim_end_matches("{state_key}").to_owned();
            [short.trim_end_matches('/').to_owned(), short]
        })
        .collect();
    all.extend(short);
    all.sort();
    all.dedup();
    all
}

/// The body as it became, if it did.
fn edited(
    body: &Bytes,
    edit: impl Fn(&mut Value) -> Result<bool, Fault>,
) -> Result<Option<Bytes>, Fault> {
    // A client that sends no body where all parts of it are optional means an empty one.
    let body: &[u8] = if body.is_empty() { b"{}" } else { body };
    let mut read = object(body)?;
    Ok(edit(&mut read)?.then(|| read.to_string().into()))
}

fn parse<T: IncomingRequest>(call: Call<Bytes>) -> Result<Asked<T>, Fault> {
    let Call { app, session, address, mut path, request, .. } = call;
    let (mut parts, body) = request.into_parts();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let language = spoken_in(&parts.headers);
    let json: Value = if body.is_empty() || T::METHOD == Method::GET {
        Value::Object(Map::new())
    } else {
        object(&body)?
    };
    // A client that sends no body where all parts of it are optional means an empty one.
    let body = if body.is_empty() { Bytes::from_static(b"{}") } else { body };
    let wanted = wanted_arguments::<T>();
    path.resize(wanted.max(path.len()), String::new());
    parts.method = T::METHOD;
    let request = Request::from_parts(parts, body.as_ref());
    let arguments: Vec<&str> = path.iter().map(String::as_str).collect();
    let body =
        T::try_from_http_request(request, &arguments).map_err(|error| Fault::unparsed(&error))?;
    Ok(Asked { app, session, address, language, body, json, query })
}

fn wanted_arguments<T: Metadata>() -> usize {
    T::PATH_BUILDER.all_paths().map(|path| path.matches('{').count()).max().unwrap_or(0)
}

/// A JSON reply.
#[must_use]
pub fn json(value: &Value) -> Reply {
    json_bytes(value.to_string())
}

/// A reply of JSON text.
pub fn json_bytes(text: impl Into<Body>) -> Reply {
    let mut reply = Response::new(text.into());
    let kind = http::HeaderValue::from_static("application/json");
    reply.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    reply
}

/// The empty JSON object, which says that it was done.
#[must_use]
pub fn done() -> Reply {
    json_bytes("{}")
}
