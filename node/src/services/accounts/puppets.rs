//! The users of application services: they have no password, and come in by the word of their service.

use ruma::UserId;
use wayside_specs::Role;

use super::{Accounts, DeviceWish, SignedIn};
use crate::{
    services::{Error, app_services::AppService},
    store::{StoreError, accounts},
};

impl Accounts {
    /// Makes one of a service's users, and signs a device in where one is wished.
    pub async fn register_for(
        &self,
        service: &AppService,
        name: &str,
        device: DeviceWish,
    ) -> Result<SignedIn, Error> {
        let wrong = || Error::NameInvalid(format!("the name {name:?} cannot be used"));
        let user_id = if name.starts_with('@') {
            UserId::parse(name).map_err(|_| wrong())?
        } else {
            self.ground.user_id(name).map_err(|_| wrong())?
        };
        if user_id.validate_strict().is_err() || user_id.localpart().is_empty() {
            return Err(wrong());
        }
        if !service.owns(&user_id) {
            return Err(foreign(&user_id));
        }
        let (device, signed_in) = self.new_device(&user_id, device)?;
        let now_ms = self.ground.clock.now_ms();
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let name = user_id.localpart().to_owned();
                    let made = tx.add_account(&user_id, None, Role::Member, now_ms).await;
                    made.map_err(|error| match error {
                        StoreError::Taken => Error::NameTaken(name),
                        other => other.into(),
                    })?;
                    if let Some(device) = &device {
                        tx.sign_in(&user_id, device, now_ms).await?;
                    }
                    Ok::<_, Error>(())
                })
            })
            .await?;
        Ok(signed_in)
    }

    /// Signs in a device of one of a service's users.
    pub async fn sign_in_for(
        &self,
        service: &AppService,
        user_id: &UserId,
        device: DeviceWish,
    ) -> Result<SignedIn, Error> {
        if !service.owns(user_id) {
            return Err(foreign(user_id));
        }
        let (device, signed_in) = self.new_device(user_id, device)?;
        let (user_id, now_ms) = (user_id.to_owned(), self.ground.clock.now_ms());
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let account = accounts::account(tx, &user_id).await?.ok_or_else(|| {
                        Error::Forbidden(format!("this service has not registered {user_id}"))
                    })?;
                    if account.ended_ms.is_some() {
                        return Err(Error::AccountEnded);
                    }
                    if account.held.locked {
                        return Err(Error::Locked);
                    }
                    if let Some(device) = &device {
                        tx.sign_in(&user_id, device, now_ms).await?;
                    }
                    Ok(())
                })
            })
            .await?;
        Ok(signed_in)
    }
}

fn foreign(user_id: &UserId) -> Error {
    Error::Exclusive(format!("{user_id} is none of this service's users"))
}
