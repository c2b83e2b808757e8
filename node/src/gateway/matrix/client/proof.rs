//! Asking people again who they are, before what cannot be undone (user-interactive authentication).

use ruma::{
    OwnedDeviceId,
    api::client::uiaa::{AuthData, UserIdentifier},
};
use serde_json::{Map, Value, json};

use crate::{
    gateway::{App, fault::Fault, http::RESET_KEYS, passkeys, table::Asked},
    services::{
        Error,
        accounts::{Confirmed, Operation, Session, Ways},
    },
};

/// The stages by which people show that they are who they say, on the program's own page.
const BY_PASSWORD: &str = "m.login.password";
/// The stage of showing a passkey.
pub(in crate::gateway) const BY_PASSKEY: &str = "org.wayside.passkey";
/// The stage of the node's own page.
const ON_PAGE: &str = "m.login.sso";
/// The same for programs that were let in by the OAuth 2.0 API.
const BY_OAUTH: &str = "m.oauth";

/// A request that wants a proof.
pub(in crate::gateway) struct Wanting<'r> {
    /// The node.
    pub(in crate::gateway) app: &'r App,
    /// Who asks.
    pub(in crate::gateway) session: &'r Session,
    /// What it does.
    pub(in crate::gateway) operation: Operation,
    /// Its body: what is confirmed once is not confirmed for another.
    pub(in crate::gateway) body: &'r Value,
}

/// Takes proofs by password from clients that name the person as clients of before 2018 do: beside the
/// proof's type instead of in an identifier.
pub(in crate::gateway) fn older(body: &mut Value) -> Result<bool, Fault> {
    let Some(Value::Object(auth)) = body.get_mut("auth") else { return Ok(false) };
    let by_password = auth.get("type").is_some_and(|stage| stage == BY_PASSWORD);
    if !by_password || auth.contains_key("identifier") {
        return Ok(false);
    }
    match auth.get("user") {
        None => Ok(false),
        Some(Value::String(user)) => {
            let identifier = json!({ "type": "m.id.user", "user": user });
            auth.insert("identifier".to_owned(), identifier);
            Ok(true)
        }
        Some(_) => Err(Fault::bad_json("user is the name of whoever proves who they are")),
    }
}

/// Whether a stage is shown on the page on which people confirm what a program asks for.
pub(super) fn is_confirmed(stage: &str) -> bool {
    [BY_PASSWORD, BY_PASSKEY, ON_PAGE, BY_OAUTH].contains(&stage)
}

/// Where people confirm what waits in this session.
pub(super) fn page(app: &App, session: &str) -> String {
    let page = format!("{}/sign-in?", app.places.public);
    url::form_urlencoded::Serializer::new(page).append_pair("confirm", session).finish()
}

/// Lets only those on who show their password again, or a passkey, or confirm it on the node's page.
pub(super) async fn confirm<T>(
    asked: &Asked<T>,
    operation: Operation,
    shown: Option<&AuthData>,
) -> Result<Confirmed, Fault> {
    let (app, session, body) = (&*asked.app, asked.session()?, &asked.json);
    prove(Wanting { app, session, operation, body }, shown).await
}

/// The same for the removal of devices, which an application service does for its users without a proof.
pub(super) async fn confirm_removal<T>(
    asked: &Asked<T>,
    devices: &[OwnedDeviceId],
    shown: Option<&AuthData>,
) -> Result<(), Fault> {
    if asked.session()?.service.is_some() {
        return Ok(());
    }
    let confirmed = confirm(asked, Operation::removal(devices), shown).await?;
    Ok(asked.app.services.accounts.spend(confirmed).await?)
}

/// The same for somebody whose request has a form of our own.
pub(in crate::gateway) async fn prove(
    wanting: Wanting<'_>,
    shown: Option<&AuthData>,
) -> Result<Confirmed, Fault> {
    let Wanting { app, session: asker, operation, body } = &wanting;
    let (accounts, user_id) = (&app.services.accounts, &asker.user_id);
    let session = shown.and_then(AuthData::session);
    if let Some(session) = session
        && shown.is_some_and(is_of_page)
        && let Some(confirmed) = accounts.confirmed_on_page(asker, operation, body, session).await?
    {
        return Ok(confirmed);
    }
    let why = match shown {
        Some(shown) if passkeys::is_shown(shown) => {
            let given = passkeys::shown(shown)?;
            match accounts.confirm_by_passkey(user_id, given).await {
                Ok(confirmed) => return Ok(confirmed),
                Err(error @ (Error::Forbidden(_) | Error::NotFound(_))) => Some(error.to_string()),
                Err(error) => return Err(error.into()),
            }
        }
        Some(AuthData::Password(shown)) => {
            if let UserIdentifier::Matrix(named) = &shown.identifier
                && named.user != user_id.as_str()
                && named.user != user_id.localpart()
            {
                Some("that is somebody else's name".to_owned())
            } else if let Some(confirmed) =
                accounts.confirm(user_id, shown.password.clone()).await?
            {
                return Ok(confirmed);
            } else {
                Some("the password is wrong".to_owned())
            }
        }
        Some(shown) if is_of_page(shown) => {
            Some("its owner has not confirmed this on the page of the node".to_owned())
        }
        _ => None,
    };
    let session = accounts.session_for(asker, operation, body, session).await?;
    let stages = stages(&wanting).await?;
    let mut params = Map::new();
    if stages.contains(&BY_OAUTH) {
        // The specification has the address say for what it is, too.
        let page = format!("{}&action={RESET_KEYS}", page(app, &session));
        params.insert(BY_OAUTH.to_owned(), json!({ "url": page }));
    }
    Err(interactive(&session, &stages, &params, why.as_deref()))
}

/// Whether this says that something was confirmed on the node's page.
fn is_of_page(shown: &AuthData) -> bool {
    let stage = shown.auth_type();
    stage.is_none_or(|stage| stage.as_str() == ON_PAGE || stage.as_str() == BY_OAUTH)
}

/// The stages by which somebody may go on: one of them is enough.
async fn stages(wanting: &Wanting<'_>) -> Result<Vec<&'static str>, Error> {
    let Wanting { app, session, operation, .. } = wanting;
    let accounts = &app.services.accounts;
    let ways = accounts.ways(&session.user_id).await?;
    if accounts.client_of(session).await?.is_some() {
        // Such a program sees no password, and knows this stage where the specification has it
        // (client-server API, `POST /keys/device_signing/upload`).
        let keys = matches!(operation, Operation::ReplaceKeys);
        return Ok(if keys { vec![BY_OAUTH, ON_PAGE] } else { vec![ON_PAGE] });
    }
    let Ways { password, passkey, .. } = ways;
    let offered = [
        // Whoever has no way at all is told so by the one that everybody knows.
        (BY_PASSWORD, password || !ways.any()),
        (BY_PASSKEY, passkey),
        (ON_PAGE, ways.any()),
    ];
    Ok(offered.into_iter().filter(|(_, offered)| *offered).map(|(stage, _)| stage).collect())
}

/// The reply that asks for one of several proofs (client-server API, user-interactive
/// authentication).
pub(super) fn interactive_by(session: &str, stages: &[&str], error: Option<&str>) -> Fault {
    interactive(session, stages, &Map::new(), error)
}

fn interactive(
    session: &str,
    stages: &[&str],
    params: &Map<String, Value>,
    error: Option<&str>,
) -> Fault {
    let flows: Vec<Value> = stages.iter().map(|stage| json!({ "stages": [stage] })).collect();
    let mut body = json!({ "session": session, "flows": flows, "params": params });
    if let Some(error) = error {
        body["errcode"] = "M_FORBIDDEN".into();
        body["error"] = error.into();
    }
    Fault::Interactive(body)
}
