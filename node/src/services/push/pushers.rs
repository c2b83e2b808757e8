//! Where people want to be told: setting pushers, listing them, taking them away.

use ruma::UserId;
use serde_json::{Map, Value};
use wayside_specs::limits;

use super::{Error, Push};
pub use crate::store::pushers::{Pusher, PusherKey};
use crate::{
    outbound::Url,
    services::accounts::Session,
    store::{accounts, pushers},
};

/// The path of every gateway (push gateway API).
const GATEWAY_PATH: &str = "/_matrix/push/v1/notify";
/// The one form of notifications beside the whole one (push gateway API).
pub(super) const EVENT_ID_ONLY: &str = "event_id_only";

/// What somebody says of a pusher that they set.
#[derive(Debug)]
pub struct PusherWish {
    /// The application.
    pub app_id: String,
    /// Where the application is, as its gateway knows it.
    pub pushkey: String,
    /// What the application is called.
    pub app_name: String,
    /// What its device is called.
    pub device_name: String,
    /// Which rules of the device it is for.
    pub profile_tag: Option<String>,
    /// The language to tell in.
    pub lang: String,
    /// What the application keeps with it, the address of its gateway included.
    pub data: Map<String, Value>,
    /// Whether pushers of others that lead to the same place stay.
    pub append: bool,
}

impl Push {
    /// The pushers of a person, the oldest first.
    pub async fn pushers(&self, user_id: &UserId) -> Result<Vec<Pusher>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        Ok(pushers::of_person(&mut snapshot, user_id, limits::PUSHERS_PER_USER).await?)
    }

    /// Sets a pusher, or changes one (client-server API, `POST /pushers/set`). It goes with the device
    /// that sets it.
    pub async fn set_pusher(&self, session: &Session, wish: PusherWish) -> Result<(), Error> {
        check(&wish)?;
        self.gateway(&wish.data)?;
        let data = Value::Object(wish.data).to_string();
        if data.len() > limits::PUSHER_DATA_BYTES {
            let most = limits::PUSHER_DATA_BYTES;
            return Err(Error::TooLarge(format!("the data of a pusher have at most {most} bytes")));
        }
        let key = PusherKey {
            user_id: session.user_id.clone(),
            app_id: wish.app_id,
            pushkey: wish.pushkey,
        };
        let pusher = Pusher {
            key,
            device_id: session.device_id.clone(),
            app_name: wish.app_name,
            device_name: wish.device_name,
            profile_tag: wish.profile_tag,
            lang: wish.lang,
            data,
            set_ms: self.ground.clock.now_ms(),
            reached: 0,
            badge: 0,
            failing_ms: None,
        };
        let append = wish.append;
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let (user_id, device_id) = (&pusher.key.user_id, pusher.device_id.as_str());
                    if !accounts::is_signed_in(tx, user_id, device_id).await? {
                        return Err(Error::UnknownToken);
                    }
                    let most = limits::PUSHERS_PER_USER;
                    let known = pushers::of_person(tx, user_id, most).await?;
                    let is_new = known.iter().all(|it| it.key != pusher.key);
                    if is_new && i64::try_from(known.len()).is_ok_and(|count| count >= most) {
                        return Err(Error::TooLarge(format!("at most {most} pushers are kept")));
                    }
                    if !append {
                        tx.remove_pushers_of_others(&pusher.key).await?;
                    }
                    Ok(tx.set_pusher(&pusher).await?)
                })
            })
            .await?;
        self.wakes.add(&session.user_id);
        Ok(())
    }

    /// Takes a pusher away; one that is not there is gone already.
    pub async fn remove_pusher(
        &self,
        user_id: &UserId,
        app_id: String,
        pushkey: String,
    ) -> Result<(), Error> {
        let key = PusherKey { user_id: user_id.to_owned(), app_id, pushkey };
        self.ground
            .store
            .write(move |tx| Box::pin(async move { Ok(tx.remove_pusher(&key, None).await?) }))
            .await
    }

    /// The gateway that the data of a pusher name.
    pub(super) fn gateway(&self, data: &Map<String, Value>) -> Result<Url, Error> {
        let wrong = |why: &str| Error::Invalid(format!("data.url: {why}"));
        let text = data.get("url").and_then(Value::as_str);
        let text = text.ok_or_else(|| Error::Missing("data.url names the gateway".to_owned()))?;
        let plain = self.ground.config.allow_private_addresses;
        let url = self.ground.outbound.address(text, plain).map_err(|it| wrong(&it.to_string()))?;
        if url.path() != GATEWAY_PATH {
            return Err(wrong(&format!("its path must be {GATEWAY_PATH}")));
        }
        Ok(url)
    }
}

fn check(wish: &PusherWish) -> Result<(), Error> {
    let lengths = [
        ("app_id", wish.app_id.chars().count(), limits::APP_ID_CHARS),
        ("pushkey", wish.pushkey.len(), limits::PUSHKEY_BYTES),
        ("app_display_name", wish.app_name.len(), limits::NAME_BYTES),
        ("device_display_name", wish.device_name.len(), limits::NAME_BYTES),
        ("lang", wish.lang.len(), limits::TOKEN_BYTES),
        ("profile_tag", wish.profile_tag.as_ref().map_or(0, String::len), limits::TOKEN_BYTES),
    ];
    if let Some((name, _, most)) = lengths.into_iter().find(|(_, length, most)| length > most) {
        return Err(Error::Invalid(format!("{name} is longer than {most}")));
    }
    if wish.app_id.is_empty() || wish.pushkey.is_empty() {
        return Err(Error::Invalid("app_id and pushkey must not be empty".to_owned()));
    }
    match wish.data.get("format") {
        None => Ok(()),
        Some(format) if format == EVENT_ID_ONLY => Ok(()),
        Some(_) => Err(Error::Invalid(format!("data.format is {EVENT_ID_ONLY} or left out"))),
    }
}
