//! Coming in and going: registration, login, logout, devices, password.

use http::StatusCode;
use ruma::{
    OwnedDeviceId,
    api::client::{
        account::{
            change_password, check_registration_token_validity, deactivate,
            get_username_availability, register, whoami,
        },
        device::{delete_device, delete_devices, get_device, get_devices, update_device},
        session::{get_login_token, get_login_types, login, logout, logout_all, refresh_token},
        uiaa::{AuthData, FallbackAcknowledgement, UserIdentifier},
    },
};
use serde_json::{Map, Value, json};
use wayside_specs::Role;

use super::{
    emails,
    fallback::{self, BY_MAIL},
    proof::{confirm, confirm_removal, interactive_by, older},
};
use crate::{
    config::Registration,
    gateway::{
        fault::Fault,
        providers,
        table::{Access, Asked, Rate, Reply, Route, done, json as reply},
    },
    services::{
        Error,
        accounts::{
            Device, DeviceWish, Invited, LOGIN_TOKEN_MS, Operation, Registering, ShownByNewcomer,
            SignedIn, Tokens, Traces,
        },
        emails::{Purpose, Shown},
    },
};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::matrix(Access::Service, Rate::Guess, register),
        Route::matrix(Access::Public, Rate::Read, name_available),
        Route::matrix(Access::Public, Rate::Guess, invitation_valid),
        Route::matrix(Access::Public, Rate::Read, login_types),
        Route::matrix(Access::Service, Rate::Guess, login).needing("type"),
        Route::matrix(Access::Public, Rate::Read, refresh),
        Route::matrix(Access::AtLeast(Role::Member), Rate::Guess, login_token).reading(older),
        Route::matrix(Access::Account, Rate::Write, logout).for_locked(),
        Route::matrix(Access::Account, Rate::Write, logout_all).for_locked(),
        Route::matrix(Access::Account, Rate::Read, whoami),
        Route::matrix(Access::Perhaps, Rate::Guess, change_password).reading(older),
        Route::matrix(Access::AtLeast(Role::Member), Rate::Guess, deactivate)
            .reading(older)
            .for_suspended(),
        Route::matrix(Access::Account, Rate::Read, devices),
        Route::matrix(Access::Account, Rate::Read, device),
        Route::matrix(Access::Account, Rate::Write, rename_device).for_suspended(),
        Route::matrix(Access::AtLeast(Role::Member), Rate::Guess, remove_device)
            .reading(older)
            .for_suspended(),
        Route::matrix(Access::AtLeast(Role::Member), Rate::Guess, remove_devices)
            .reading(older)
            .for_suspended(),
    ]
}

async fn register(asked: Asked<register::v3::Request>) -> Result<Reply, Fault> {
    if asked.body.login_type == Some(register::LoginType::ApplicationService) {
        return register_for_service(asked).await;
    }
    let (accounts, emails) = (&asked.app.services.accounts, &asked.app.services.emails);
    let guest = match asked.body.kind {
        register::RegistrationKind::Guest => true,
        register::RegistrationKind::User => false,
        _ => return Err(Fault::BadParameter("kind is guest or user".to_owned())),
    };
    let Admission { invitation, proof } = admitted(&asked, guest).await?;
    let body = asked.body;
    let session = match &body.auth {
        Some(AuthData::FallbackAcknowledgement(shown)) => Some(shown.session.clone()),
        _ => None,
    };
    let name = body.initial_device_display_name;
    let wish = if guest {
        // Of a guest nothing else counts (client-server API, `POST /register`), and a password is
        // what makes a guest a member here.
        let device = DeviceWish { name, renewable: body.refresh_token, ..DeviceWish::default() };
        Registering { name: None, password: None, invitation, guest, device }
    } else {
        let (device_id, no_device) = (body.device_id, body.inhibit_login);
        let renewable = body.refresh_token;
        let device = DeviceWish { device_id, name, no_device, renewable, client_id: None };
        Registering { name: body.username, password: body.password, invitation, guest, device }
    };
    let signed_in = accounts.register(wish).await?;
    if let Some(proof) = proof {
        // The account is made: somebody else who took the address meanwhile does not undo that.
        let added = emails.add(&signed_in.user_id, Purpose::Register, proof).await;
        if let Err(error) = added {
            tracing::warn!(%error, "a new account did not get the address that was proven for it");
        }
    }
    if let Some(session) = session
        && let Err(error) = accounts.forget_shown(&session).await
    {
        tracing::warn!(%error, "a session that has served is forgotten later");
    }
    Ok(reply(&signed_in_json(signed_in, &asked.app.places.public)))
}

/// By what a newcomer may have an account.
#[derive(Default)]
struct Admission {
    /// An invitation, where they showed one.
    invitation: Option<Invited>,
    /// That they read what is sent to an address.
    proof: Option<Shown>,
}

/// Looks at what a newcomer shows, in the request or on a page of the node's before.
async fn admitted(asked: &Asked<register::v3::Request>, guest: bool) -> Result<Admission, Fault> {
    let (accounts, emails) = (&asked.app.services.accounts, &asked.app.services.emails);
    let (body, open) = (&asked.body, asked.app.services.ground.config.registration);
    let ask = |error: Option<&str>| {
        let session = accounts.registration_session(body.auth.as_ref().and_then(AuthData::session));
        interactive_by(&session, &fallback::of_registration(&asked.app, guest), error)
    };
    let by_mail = !guest && open == Registration::Open;
    let mail = async |proof: Shown| match emails.check(Purpose::Register, &proof).await {
        Ok(()) => Ok(Admission { proof: Some(proof), ..Admission::default() }),
        Err(error) => Err(ask(Some(&error.to_string()))),
    };
    match &body.auth {
        Some(AuthData::EmailIdentity(shown)) if by_mail => {
            mail(emails::shown(&shown.thirdparty_id_creds)).await
        }
        Some(AuthData::RegistrationToken(shown)) => {
            if !accounts.invitation_is_good(&shown.token).await? {
                return Err(ask(Some("the invitation is unknown, used up or over")));
            }
            let invitation = Some(Invited::by(&shown.token)?);
            Ok(Admission { invitation, ..Admission::default() })
        }
        Some(AuthData::FallbackAcknowledgement(FallbackAcknowledgement { session, .. })) => {
            match accounts.shown_for(session).await? {
                Some(ShownByNewcomer::Nothing) if open == Registration::Open => {
                    Ok(Admission::default())
                }
                Some(ShownByNewcomer::Invitation(hash)) => {
                    let invitation = Some(Invited::shown(hash));
                    Ok(Admission { invitation, ..Admission::default() })
                }
                Some(ShownByNewcomer::Email(sid)) if by_mail => {
                    let client_secret = accounts.registration_secret(session);
                    mail(Shown { sid, client_secret }).await
                }
                _ => Err(ask(Some("nothing was shown on the page of this session yet"))),
            }
        }
        // A guest of an open node shows nothing (client-server API, guest access).
        Some(AuthData::Dummy(_)) | None if guest => Ok(Admission::default()),
        Some(AuthData::Dummy(_)) if open == Registration::Open => Ok(Admission::default()),
        _ if open == Registration::Closed => {
            Err(Error::Forbidden("this node takes no new accounts".to_owned()).into())
        }
        _ => {
            if let Some(name) = &body.username {
                accounts.name_is_free(name).await?;
            }
            Err(ask(None))
        }
    }
}

/// Makes one of the users of an application service, who has no password.
async fn register_for_service(asked: Asked<register::v3::Request>) -> Result<Reply, Fault> {
    let service = asked.service().ok_or(Fault::MissingToken)?.clone();
    let body = asked.body;
    let name = body.username.ok_or_else(|| Error::Missing("username says whom".to_owned()))?;
    let device = DeviceWish {
        device_id: body.device_id,
        name: body.initial_device_display_name,
        no_device: body.inhibit_login,
        renewable: body.refresh_token,
        client_id: None,
    };
    let accounts = &asked.app.services.accounts;
    let signed_in = accounts.register_for(&service, &name, device).await?;
    Ok(reply(&signed_in_json(signed_in, &asked.app.places.public)))
}

async fn name_available(
    asked: Asked<get_username_availability::v3::Request>,
) -> Result<Reply, Fault> {
    asked.app.services.accounts.name_is_free(&asked.body.username).await?;
    Ok(reply(&json!({ "available": true })))
}

async fn invitation_valid(
    asked: Asked<check_registration_token_validity::v1::Request>,
) -> Result<Reply, Fault> {
    let valid = asked.app.services.accounts.invitation_is_good(&asked.body.token).await?;
    Ok(reply(&json!({ "valid": valid })))
}

async fn login_types(asked: Asked<get_login_types::v3::Request>) -> Result<Reply, Fault> {
    let mut flows = vec![
        json!({ "type": "m.login.password" }),
        json!({ "type": "m.login.sso", "identity_providers": providers::offered(&asked.app) }),
        json!({ "type": "m.login.token", "get_login_token": true }),
    ];
    if !asked.app.services.ground.app_services.all().is_empty() {
        flows.push(json!({ "type": "m.login.application_service" }));
    }
    Ok(reply(&json!({ "flows": flows })))
}

async fn login(asked: Asked<login::v3::Request>) -> Result<Reply, Fault> {
    let body = &asked.body;
    let shown = match &body.login_info {
        login::v3::LoginInfo::ApplicationService(shown) => {
            let named = named(&asked, shown.identifier.as_ref()).await?;
            return login_for_service(asked, &named).await;
        }
        login::v3::LoginInfo::Token(shown) => {
            let accounts = &asked.app.services.accounts;
            let signed_in = accounts.sign_in_by_token(&shown.token, device_wish(body)).await?;
            return Ok(reply(&signed_in_json(signed_in, &asked.app.places.public)));
        }
        login::v3::LoginInfo::Password(shown) => shown,
        _ => {
            let why = "only m.login.password and m.login.token are taken here";
            return Err(Fault::Unknown(why.to_owned()));
        }
    };
    let name = named(&asked, shown.identifier.as_ref()).await?;
    let accounts = &asked.app.services.accounts;
    let user_id = accounts.named(&name)?;
    asked.app.guessed(&user_id)?;
    let device = device_wish(body);
    let signed_in = accounts.sign_in(&user_id, shown.password.clone(), device).await?;
    Ok(reply(&signed_in_json(signed_in, &asked.app.places.public)))
}

/// Signs in one of the users of an application service, who has no password.
async fn login_for_service(asked: Asked<login::v3::Request>, name: &str) -> Result<Reply, Fault> {
    let service = asked.service().ok_or(Fault::MissingToken)?;
    let accounts = &asked.app.services.accounts;
    let user_id = accounts.named(name)?;
    let signed_in = accounts.sign_in_for(service, &user_id, device_wish(&asked.body)).await?;
    Ok(reply(&signed_in_json(signed_in, &asked.app.places.public)))
}

fn device_wish(body: &login::v3::Request) -> DeviceWish {
    DeviceWish {
        device_id: body.device_id.clone(),
        name: body.initial_device_display_name.clone(),
        renewable: body.refresh_token,
        ..DeviceWish::default()
    }
}

/// Whom somebody names who signs in. Clients of before 2018 name the person beside the proof instead
/// of inside it.
async fn named(
    asked: &Asked<login::v3::Request>,
    identifier: Option<&UserIdentifier>,
) -> Result<String, Fault> {
    let older = || asked.json.get("user").and_then(Value::as_str).map(str::to_owned);
    let name = match identifier {
        Some(UserIdentifier::Matrix(named)) => Some(named.user.clone()),
        Some(UserIdentifier::Email(named)) => {
            let owner = asked.app.services.emails.owner(&named.address).await?;
            // Whose it is not costs as long, and is told alike.
            Some(owner.map_or_else(|| NOBODY.to_owned(), |owner| owner.to_string()))
        }
        Some(_) => {
            let why = "people are known by their names and addresses of e-mail here";
            return Err(Fault::Unknown(why.to_owned()));
        }
        None => older(),
    };
    Ok(name.ok_or_else(|| Error::Missing("identifier says who signs in".to_owned()))?)
}

/// Renews an access token. Those of OAuth clients are renewed where they were given.
async fn refresh(asked: Asked<refresh_token::v3::Request>) -> Result<Reply, Fault> {
    let tokens = asked.app.services.accounts.renew(&asked.body.refresh_token, None).await?;
    let mut body = Map::new();
    tokens_into(&mut body, tokens);
    Ok(reply(&Value::Object(body)))
}

/// A token by which another device of the same person signs in.
async fn login_token(asked: Asked<get_login_token::v1::Request>) -> Result<Reply, Fault> {
    let auth = asked.body.auth.as_ref();
    let confirmed = confirm(&asked, Operation::SignIn, auth).await?;
    let token = asked.app.services.accounts.login_token(confirmed).await?;
    Ok(reply(&json!({ "login_token": token, "expires_in_ms": LOGIN_TOKEN_MS })))
}

async fn logout(asked: Asked<logout::v3::Request>) -> Result<Reply, Fault> {
    let session = asked.session()?;
    let device = session.device_id.as_str();
    asked.app.services.accounts.sign_out(&session.user_id, Some(device)).await?;
    Ok(done())
}

async fn logout_all(asked: Asked<logout_all::v3::Request>) -> Result<Reply, Fault> {
    asked.app.services.accounts.sign_out(&asked.session()?.user_id, None).await?;
    Ok(done())
}

async fn whoami(asked: Asked<whoami::v3::Request>) -> Result<Reply, Fault> {
    let session = asked.session()?;
    let mut body = json!({ "user_id": session.user_id, "is_guest": session.role == Role::Guest });
    // An application service need not speak on a device.
    if !session.device_id.as_str().is_empty() {
        body["device_id"] = session.device_id.as_str().into();
    }
    Ok(reply(&body))
}

async fn change_password(asked: Asked<change_password::v3::Request>) -> Result<Reply, Fault> {
    let Ok(session) = asked.session() else { return reset_password(&asked).await };
    if session.role < Role::Member {
        return Err(Error::Guest.into());
    }
    let auth = asked.body.auth.as_ref();
    let confirmed = confirm(&asked, Operation::NewPassword, auth).await?;
    let session = asked.session()?;
    let (password, others) = (asked.body.new_password.clone(), asked.body.logout_devices);
    let accounts = &asked.app.services.accounts;
    accounts.change_password(session, confirmed, password, others).await?;
    Ok(done())
}

/// Sets a new password for whoever reads what is sent to the account's address.
async fn reset_password(asked: &Asked<change_password::v3::Request>) -> Result<Reply, Fault> {
    let emails = &asked.app.services.emails;
    if !emails.are_sent() {
        return Err(Fault::MissingToken);
    }
    let ask = |error| {
        let session = asked.app.services.ground.clock.random_name(16);
        interactive_by(&session, &[BY_MAIL], error)
    };
    let Some(AuthData::EmailIdentity(shown)) = &asked.body.auth else { return Err(ask(None)) };
    let shown = emails::shown(&shown.thirdparty_id_creds);
    let (password, sign_out) = (asked.body.new_password.clone(), asked.body.logout_devices);
    match emails.reset_password(shown, password, sign_out).await {
        Err(error @ Error::EmailUnproven) => Err(ask(Some(&error.to_string()))),
        other => other.map(|()| done()).map_err(Fault::from),
    }
}

async fn deactivate(asked: Asked<deactivate::v3::Request>) -> Result<Reply, Fault> {
    let auth = asked.body.auth.as_ref();
    let confirmed = confirm(&asked, Operation::EndAccount, auth).await?;
    let user_id = &asked.session()?.user_id;
    let traces = Traces::of(asked.body.erase);
    let ended = asked.app.services.affairs.end_account(user_id, Some(confirmed), traces).await?;
    Ok(reply(&emails::unbound(ended.unbound)))
}

async fn devices(asked: Asked<get_devices::v3::Request>) -> Result<Reply, Fault> {
    let devices = asked.app.services.accounts.devices(&asked.session()?.user_id).await?;
    let devices: Vec<Value> = devices.iter().map(device_json).collect();
    Ok(reply(&json!({ "devices": devices })))
}

async fn device(asked: Asked<get_device::v3::Request>) -> Result<Reply, Fault> {
    let devices = asked.app.services.accounts.devices(&asked.session()?.user_id).await?;
    let device = devices.iter().find(|device| device.device_id == asked.body.device_id);
    let device = device.ok_or_else(|| Error::NotFound("there is no such device".to_owned()))?;
    Ok(reply(&device_json(device)))
}

async fn rename_device(asked: Asked<update_device::v3::Request>) -> Result<Reply, Fault> {
    let (session, body) = (asked.session()?, &asked.body);
    let name = body.display_name.clone();
    if session.service.is_some() {
        let services = &asked.app.services.app_services;
        if services.add_device(&session.user_id, &body.device_id, name.clone()).await? {
            let mut created = done();
            *created.status_mut() = StatusCode::CREATED;
            return Ok(created);
        }
    }
    let accounts = &asked.app.services.accounts;
    accounts.rename_device(&session.user_id, body.device_id.as_str(), name).await?;
    Ok(done())
}

async fn remove_device(asked: Asked<delete_device::v3::Request>) -> Result<Reply, Fault> {
    let devices = std::slice::from_ref(&asked.body.device_id);
    confirm_removal(&asked, devices, asked.body.auth.as_ref()).await?;
    remove(&asked, devices).await
}

async fn remove_devices(asked: Asked<delete_devices::v3::Request>) -> Result<Reply, Fault> {
    let devices = &asked.body.devices;
    confirm_removal(&asked, devices, asked.body.auth.as_ref()).await?;
    remove(&asked, devices).await
}

async fn remove<T>(asked: &Asked<T>, devices: &[OwnedDeviceId]) -> Result<Reply, Fault> {
    let user_id = &asked.session()?.user_id;
    asked.app.services.accounts.sign_out_named(user_id, devices).await?;
    Ok(done())
}

/// A name that nobody here has: it is of no server.
pub(in crate::gateway) const NOBODY: &str = "@nobody:nobody.invalid";

fn signed_in_json(signed_in: SignedIn, public: &str) -> Value {
    let mut body = Map::new();
    body.insert("user_id".to_owned(), signed_in.user_id.as_str().into());
    body.insert("home_server".to_owned(), signed_in.user_id.server_name().as_str().into());
    if let Some((device_id, tokens)) = signed_in.device {
        body.insert("device_id".to_owned(), device_id.as_str().into());
        tokens_into(&mut body, tokens);
        body.insert("well_known".to_owned(), json!({ "m.homeserver": { "base_url": public } }));
    }
    Value::Object(body)
}

fn tokens_into(body: &mut Map<String, Value>, tokens: Tokens) {
    body.insert("access_token".to_owned(), tokens.access.into());
    if let Some(refresh) = tokens.refresh {
        body.insert("refresh_token".to_owned(), refresh.into());
    }
    if let Some(lasts_ms) = tokens.lasts_ms {
        body.insert("expires_in_ms".to_owned(), lasts_ms.into());
    }
}

/// What has no value is named all the same: there are clients that take no list for one without it.
fn device_json(device: &Device) -> Value {
    json!({
        "device_id": device.device_id,
        "display_name": device.name,
        "last_seen_ip": device.seen_address,
        "last_seen_ts": device.seen_ms,
    })
}
