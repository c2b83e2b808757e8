//! What is decided about an account while it changes.

use std::net::IpAddr;

use ruma::UserId;

use super::*;
use crate::{
    app,
    config::Config,
    services::{
        Services,
        rooms::{Membership, NewRoom, Preset, Step},
    },
    store::{Purpose, passkeys::PasskeyRow},
};

const OLD: &str = "correct horse battery staple";
const NEW: &str = "another long password";

/// A node without doors on a folder of its own, which goes with it.
async fn node() -> (Services, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_owned();
    let config = Config { data, registration: Registration::Open, ..Config::default() };
    (app::open(config, Purpose::Serving).await.unwrap().services, folder)
}

async fn comes(accounts: &Accounts, name: &str, password: Option<&str>) -> Session {
    let wish = Registering {
        name: Some(name.to_owned()),
        password: password.map(str::to_owned),
        invitation: None,
        guest: password.is_none(),
        device: DeviceWish::default(),
    };
    let (_, tokens) = accounts.register(wish).await.unwrap().device.unwrap();
    accounts.session(&tokens.access, IpAddr::from([127, 0, 0, 1])).await.unwrap()
}

async fn confirmed(accounts: &Accounts, user_id: &UserId, password: &str) -> Confirmed {
    accounts.confirm(user_id, password.to_owned()).await.unwrap().expect("the password is right")
}

async fn role(accounts: &Accounts, user_id: &UserId) -> Role {
    accounts.account(user_id).await.unwrap().unwrap().role
}

#[tokio::test]
async fn a_new_password_leaves_the_role_that_was_given_meanwhile() {
    let (services, _folder) = node().await;
    let accounts = &services.accounts;
    let ann = comes(accounts, "ann", Some(OLD)).await;
    let shown = confirmed(accounts, &ann.user_id, OLD).await;
    accounts.set_role(&ann.user_id, Role::Moderator).await.unwrap();
    accounts.change_password(&ann, shown, NEW.to_owned(), false).await.unwrap();
    assert_eq!(role(accounts, &ann.user_id).await, Role::Moderator);
    accounts.set_role(&ann.user_id, Role::Member).await.unwrap();
    confirmed(accounts, &ann.user_id, NEW).await;
}

#[tokio::test]
async fn a_password_changed_while_an_older_one_was_checked_lets_the_older_do_nothing() {
    let (services, _folder) = node().await;
    let accounts = &services.accounts;
    let ann = comes(accounts, "ann", Some(OLD)).await;
    let (to_come_in, to_change) = (
        confirmed(accounts, &ann.user_id, OLD).await,
        confirmed(accounts, &ann.user_id, OLD).await,
    );
    let to_end = confirmed(accounts, &ann.user_id, OLD).await;
    accounts.replace_password(&ann.user_id, NEW.to_owned(), true).await.unwrap();
    let came_in = accounts.admit(to_come_in, DeviceWish::default()).await;
    assert!(matches!(came_in, Err(Error::Unproven(_))));
    let ended = accounts.end(&ann.user_id, Some(to_end), Traces::Stay).await;
    assert!(matches!(ended, Err(Error::Unproven(_))), "{ended:?}");
    let changed = accounts.change_password(&ann, to_change, OLD.to_owned(), true).await;
    assert!(matches!(changed, Err(Error::Unproven(_))), "{changed:?}");
    assert!(accounts.devices(&ann.user_id).await.unwrap().is_empty());
    let shown = confirmed(accounts, &ann.user_id, NEW).await;
    accounts.admit(shown, DeviceWish::default()).await.unwrap();
}

#[tokio::test]
async fn a_guest_is_kept_once_and_nobody_else_is() {
    let (services, _folder) = node().await;
    let accounts = &services.accounts;
    let guest = comes(accounts, "", None).await;
    accounts.set_role(&guest.user_id, Role::Moderator).await.unwrap();
    // The session is from before: it still says that they are a guest.
    let kept = accounts.keep_guest(&guest, OLD.to_owned(), None).await;
    assert!(matches!(kept, Err(Error::Invalid(_))), "{kept:?}");
    assert_eq!(role(accounts, &guest.user_id).await, Role::Moderator);

    let other = comes(accounts, "", None).await;
    accounts.replace_password(&other.user_id, OLD.to_owned(), true).await.unwrap();
    assert_eq!(role(accounts, &other.user_id).await, Role::Member);
    let kept = accounts.keep_guest(&other, NEW.to_owned(), None).await;
    assert!(matches!(kept, Err(Error::Invalid(_))), "{kept:?}");
    confirmed(accounts, &other.user_id, OLD).await;
}

#[tokio::test]
async fn an_ended_account_stays_as_it_is() {
    let (services, _folder) = node().await;
    let accounts = &services.accounts;
    let ann = comes(accounts, "ann", Some(OLD)).await;
    let guest = comes(accounts, "", None).await;
    let (to_come_in, to_change) = (
        confirmed(accounts, &ann.user_id, OLD).await,
        confirmed(accounts, &ann.user_id, OLD).await,
    );
    for gone in [&ann, &guest] {
        accounts.end(&gone.user_id, None, Traces::Stay).await.unwrap();
    }
    let before = accounts.account(&ann.user_id).await.unwrap().unwrap();
    let came_in = accounts.admit(to_come_in, DeviceWish::default()).await;
    assert!(matches!(came_in, Err(Error::AccountEnded)));
    let changed = accounts.change_password(&ann, to_change, NEW.to_owned(), false).await;
    assert!(matches!(changed, Err(Error::AccountEnded)), "{changed:?}");
    let set = accounts.set_role(&ann.user_id, Role::Operator).await;
    assert!(matches!(set, Err(Error::NotFound(_))), "{set:?}");
    let replaced = accounts.replace_password(&ann.user_id, NEW.to_owned(), true).await;
    assert!(matches!(replaced, Err(Error::NotFound(_))), "{replaced:?}");
    let kept = accounts.keep_guest(&guest, OLD.to_owned(), None).await;
    assert!(matches!(kept, Err(Error::Invalid(_))), "{kept:?}");
    accounts.end(&ann.user_id, None, Traces::Stay).await.unwrap();
    let after = accounts.account(&ann.user_id).await.unwrap().unwrap();
    assert_eq!((after.role, after.ended_ms, after.password), (before.role, before.ended_ms, None));
    let signed_in = accounts.sign_in(&ann.user_id, OLD.to_owned(), DeviceWish::default()).await;
    assert!(matches!(signed_in, Err(Error::AccountEnded)));
}

#[tokio::test]
async fn a_request_under_way_brings_an_ended_account_into_no_room() {
    let (services, _folder) = node().await;
    let (accounts, rooms) = (&services.accounts, &services.rooms);
    let ann = comes(accounts, "ann", Some(OLD)).await;
    let bob = comes(accounts, "bob", Some(OLD)).await;
    let open = NewRoom {
        creator: Some(bob.user_id.clone()),
        preset: Preset::Public,
        ..NewRoom::default()
    };
    let room = rooms.create(open).await.unwrap();
    services.affairs.end_account(&ann.user_id, None, Traces::Stay).await.unwrap();
    let join = rooms.step(&room, &ann.user_id, &ann.user_id, Step::to(Membership::Join)).await;
    assert!(matches!(join, Err(Error::AccountEnded)), "{join:?}");
    let invite = rooms.step(&room, &bob.user_id, &ann.user_id, Step::to(Membership::Invite)).await;
    assert!(matches!(invite, Err(Error::Forbidden(_))), "{invite:?}");
}

#[tokio::test]
async fn a_token_for_other_services_says_who_somebody_is_and_opens_nothing() {
    let (services, _folder) = node().await;
    let accounts = &services.accounts;
    let ann = comes(accounts, "ann", Some(OLD)).await;
    let secret = accounts.openid_token(&ann.user_id).await.unwrap();
    let person = accounts.openid_person(secret.reveal()).await.unwrap();
    assert_eq!(person.as_ref(), Some(&ann.user_id));
    let address = IpAddr::from([127, 0, 0, 1]);
    assert!(matches!(accounts.session(secret.reveal(), address).await, Err(Error::UnknownToken)));
    for junk in ["", "woid_", "junk", &secret.reveal().replacen("woid_", "wat_", 1)] {
        assert_eq!(accounts.openid_person(junk).await.unwrap(), None, "{junk}");
    }
    // Of too many the oldest give way, and with the account all of them.
    for _ in 0..20 {
        accounts.openid_token(&ann.user_id).await.unwrap();
    }
    let newest = accounts.openid_token(&ann.user_id).await.unwrap();
    assert_eq!(accounts.openid_person(secret.reveal()).await.unwrap(), None);
    assert!(accounts.openid_person(newest.reveal()).await.unwrap().is_some());
    accounts.end(&ann.user_id, None, Traces::Stay).await.unwrap();
    assert_eq!(accounts.openid_person(newest.reveal()).await.unwrap(), None);
}

#[tokio::test]
async fn the_last_passkey_of_an_account_without_a_password_stays() {
    let (services, _folder) = node().await;
    let accounts = &services.accounts;
    accounts.offer_passkeys("https://way.example");
    let ann = comes(accounts, "", None).await;
    accounts.set_role(&ann.user_id, Role::Member).await.unwrap();
    for id in ["one", "two"] {
        let passkey = PasskeyRow {
            passkey_id: id.to_owned(),
            user_id: ann.user_id.clone(),
            name: id.to_owned(),
            credential: "{}".to_owned(),
            created_ms: 1,
            used_ms: None,
        };
        let write = services.ground.store.write::<(), StoreError>(move |tx| {
            Box::pin(async move { tx.add_passkey(passkey.name.as_bytes(), &passkey).await })
        });
        write.await.unwrap();
    }
    let vouched = || {
        let session = Session { service: Some("bridge".into()), ..ann.clone() };
        Confirmed::by_service(&session).unwrap()
    };
    accounts.remove_passkey(&ann.user_id, "one", vouched()).await.unwrap();
    let last = accounts.remove_passkey(&ann.user_id, "two", vouched()).await;
    assert!(matches!(last, Err(Error::Forbidden(_))), "{last:?}");
    assert_eq!(accounts.passkeys(&ann.user_id).await.unwrap().len(), 1);
    accounts.replace_password(&ann.user_id, NEW.to_owned(), false).await.unwrap();
    accounts.remove_passkey(&ann.user_id, "two", vouched()).await.unwrap();
    assert!(accounts.passkeys(&ann.user_id).await.unwrap().is_empty());
}

#[tokio::test]
async fn of_too_many_confirmations_the_oldest_give_way() {
    let (services, _folder) = node().await;
    let accounts = &services.accounts;
    let ann = comes(accounts, "ann", Some(OLD)).await;
    let (operation, body) = (Operation::EndAccount, serde_json::json!({}));
    let mut sessions = Vec::new();
    for _ in 0..22 {
        let session = accounts.session_for(&ann, &operation, &body, None).await.unwrap();
        let by = Confirmed::vouched(ann.user_id.clone());
        accounts.confirm_waiting(&session, by).await.unwrap();
        sessions.push(session);
        // They are told apart by their time.
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    let mut waiting = 0;
    for session in &sessions {
        let found = accounts.confirmed_on_page(&ann, &operation, &body, session).await.unwrap();
        waiting += u32::from(found.is_some());
    }
    assert_eq!(waiting, 20);
    let newest = accounts.confirmed_on_page(&ann, &operation, &body, &sessions[21]).await.unwrap();
    accounts.end(&ann.user_id, newest, Traces::Stay).await.unwrap();
    let after = accounts.confirmed_on_page(&ann, &operation, &body, &sessions[20]).await.unwrap();
    assert!(after.is_none(), "what an account confirmed ends with it");
}
