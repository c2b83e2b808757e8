//! Application services: bridges and bots that the operator registers, who speak for many users.
//!
//! What concerns a service is decided once, when it is committed, and noted in the store
//! ([`gather`]). One task for each service takes from there, and sends it on in its own time
//! ([`deliver`]): a service that is slow or away disturbs nobody, and what it was once offered under
//! an id stays what it is, over restarts too.

mod ask;
mod deliver;
mod gather;
mod moments;
mod overlap;
mod registration;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use ruma::{DeviceId, UserId};
use tokio::sync::{Notify, Semaphore};
use wayside_identity::token::{Kind, Secret};
use wayside_specs::{Role, limits};

pub use self::{
    ask::Lookup,
    registration::{AppService, Registered, RegistrationError},
};
use self::{ask::Misses, moments::Waiting};
use super::{Error, Ground, live::Live, rooms::Rooms};
use crate::{
    outbound::{Chosen, Method, Proof, Reached, Unreached},
    store::{
        StoreError,
        accounts::{self, NewDevice, NewTokens, Session},
    },
};

/// Questions that are put to application services at the same time; further ones wait.
const QUESTIONS: usize = 16;

/// The service of application services.
pub struct AppServices {
    ground: Arc<Ground>,
    rooms: Arc<Rooms>,
    live: Arc<Live>,
    line: Chosen,
    /// What of the moment waits to be told to each.
    waiting: Mutex<HashMap<Arc<str>, Waiting>>,
    /// Wakes the task that delivers to each.
    bells: HashMap<Arc<str>, Arc<Notify>>,
    /// Says that one which may have been away has answered.
    answers: HashMap<Arc<str>, Arc<Notify>>,
    misses: Mutex<Misses>,
    questions: Semaphore,
}

impl AppServices {
    /// The service on its ground and on those below it.
    pub fn new(ground: Arc<Ground>, rooms: Arc<Rooms>, live: Arc<Live>) -> anyhow::Result<Self> {
        let line = Chosen::new(ground.config.trust_ca.as_deref())?;
        let services = ground.app_services.all().iter();
        let bells: HashMap<Arc<str>, Arc<Notify>> =
            services.map(|service| (service.id.clone(), Arc::default())).collect();
        let answers = bells.keys().map(|id| (id.clone(), Arc::default())).collect();
        Ok(Self {
            ground,
            rooms,
            live,
            line,
            waiting: Mutex::default(),
            bells,
            answers,
            misses: Mutex::default(),
            questions: Semaphore::new(QUESTIONS),
        })
    }

    /// Makes the users in whose names the services speak by default, and remembers since when each
    /// is known; to be called before anybody comes in.
    pub async fn prepare(&self) -> Result<(), Error> {
        let services = self.ground.app_services.all().to_vec();
        let now_ms = self.ground.clock.now_ms();
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let known: Vec<&str> = services.iter().map(|it| &*it.id).collect();
                    tx.keep_app_services(&known).await?;
                    for service in &services {
                        let sender = &service.sender;
                        match tx.add_account(sender, None, Role::Member, now_ms).await {
                            // From an earlier start.
                            Ok(()) | Err(StoreError::Taken) => {}
                            Err(error) => return Err(error.into()),
                        }
                    }
                    Ok(())
                })
            })
            .await
    }

    /// The session of a service that speaks for one of its users, on one of that user's devices
    /// where it names one (application service API, identity assertion).
    pub async fn session(
        &self,
        service: &AppService,
        user_id: Option<&str>,
        device_id: Option<&str>,
    ) -> Result<Session, Error> {
        let user_id = match user_id {
            None => service.sender.clone(),
            Some(text) => UserId::parse(text)
                .map_err(|_| Error::Invalid(format!("user_id: {text:?} is no user")))?,
        };
        if !service.owns(&user_id) {
            return Err(Error::Forbidden(format!("{user_id} is none of this service's users")));
        }
        let mut snapshot = self.ground.store.snapshot().await?;
        let account = accounts::account(&mut snapshot, &user_id).await?;
        let account = account.filter(|account| account.ended_ms.is_none()).ok_or_else(|| {
            Error::Forbidden(format!("this service has not registered {user_id}"))
        })?;
        if let Some(device_id) = device_id
            && !accounts::has_device(&mut snapshot, &user_id, device_id).await?
        {
            return Err(Error::UnknownDevice(device_id.to_owned()));
        }
        Ok(Session {
            device_id: <&DeviceId>::from(device_id.unwrap_or_default()).to_owned(),
            // Speaking for whoever runs the node makes nobody run it.
            role: account.role.min(Role::Member),
            held: account.held,
            seen_ms: self.ground.clock.now_ms(),
            expires_ms: None,
            confirmed: true,
            service: Some(service.id.clone()),
            user_id,
        })
    }

    /// Makes a device of one of a service's users, which no token opens: the service speaks for it.
    /// False where it was there.
    pub async fn add_device(
        &self,
        user_id: &UserId,
        device_id: &DeviceId,
        name: Option<String>,
    ) -> Result<bool, Error> {
        let bytes = device_id.as_str().len();
        if bytes == 0 || bytes > limits::TOKEN_BYTES {
            return Err(Error::Invalid("a device id has 1 to 255 bytes".to_owned()));
        }
        if name.as_ref().is_some_and(|name| name.len() > limits::NAME_BYTES) {
            return Err(Error::TooLarge("the name of a device has at most 512 bytes".to_owned()));
        }
        let nobodys = Secret::mint(Kind::Access, self.ground.clock.random());
        let (user_id, device_id) = (user_id.to_owned(), device_id.to_owned());
        let now_ms = self.ground.clock.now_ms();
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    if accounts::has_device(tx, &user_id, device_id.as_str()).await? {
                        return Ok(false);
                    }
                    let tokens = NewTokens { access_hash: nobodys.hash().0, renewal: None };
                    let device = NewDevice { device_id, name, tokens, client_id: None };
                    tx.sign_in(&user_id, &device, now_ms).await?;
                    Ok::<_, Error>(true)
                })
            })
            .await
    }

    /// The service of that id.
    fn get(&self, id: &str) -> Result<&Arc<AppService>, Error> {
        let known = self.ground.app_services.get(id);
        known.ok_or_else(|| Error::NotFound(format!("there is no application service {id:?}")))
    }

    /// Has the task that delivers to a service look at once, whatever it waits for.
    fn ring(&self, service: &str) {
        if let Some(bell) = self.bells.get(service) {
            bell.notify_one();
        }
    }
}
