//! What people of this node were given, and what of it they show.

use ruma::UserId;
use serde_json::Value;
use sha2::{Digest, Sha256};
use wayside_identity::{
    badge::{Ask, Asks, Wanted},
    credential::Credential,
    json,
    luggage::Given,
};
use wayside_specs::{Did, limits};

use super::{Badges, Error, FITTING, Unbelieved, What, name_of};
use crate::store::badges as kept;

/// Something that somebody of this node holds.
#[derive(Clone, Debug)]
pub struct Holding {
    /// By what it is told from others.
    pub id: String,
    /// What it says.
    pub what: What,
    /// Whose word it is.
    pub issuer: String,
    /// What people call them.
    pub issuer_name: String,
    /// Until when it is good.
    pub until_ms: Option<i64>,
    /// Whether everybody is shown it.
    pub shown: bool,
    /// Since when they hold it.
    pub held_ms: i64,
    /// The credential.
    pub credential: Credential,
}

/// What somebody can show at a door.
#[derive(Clone, Debug)]
pub struct ToShow {
    /// The badges that everybody is shown.
    pub others: Vec<Value>,
    /// Where none of them is asked for there: what is, and what nobody is shown unless its holder wants that now.
    pub asked: Vec<Value>,
}

impl Badges {
    /// What somebody holds, the newest first.
    pub async fn held(&self, user_id: &UserId) -> Result<Vec<Holding>, Error> {
        let rows = kept::held(&mut self.ground.store.snapshot().await?, user_id).await?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let did = self.persons.did_of(user_id).await?;
        Ok(rows.iter().filter_map(|row| holding(row, &did)).collect())
    }

    /// Takes in what somebody was given, if it is about them and its issuer stands by it.
    pub async fn hold(&self, user_id: &UserId, credential: &Value) -> Result<Holding, Error> {
        let did = self.persons.did_of(user_id).await?;
        let text = json::canonical(credential);
        if text.len() > limits::HELD_BYTES {
            let why = format!("a credential that is held has at most {} bytes", limits::HELD_BYTES);
            return Err(Error::TooLarge(why));
        }
        let row = row(&text, self.ground.clock.now_ms());
        let read = Credential::read(credential);
        let read = read.map_err(|why| Error::Invalid(format!("this is no credential: {why}")))?;
        let unknown = || {
            let why = "this is no badge, age group or role of yours: nothing else is held";
            Error::Invalid(why.to_owned())
        };
        let holding = holding(&row, &did).ok_or_else(unknown)?;
        let all = self.held(user_id).await?;
        if let Some(known) = all.iter().find(|it| it.id == holding.id) {
            return Ok(known.clone());
        }
        // No issuer takes the room that is for all.
        let of_issuer = all.iter().filter(|it| it.issuer == holding.issuer).count();
        if of_issuer >= limits::HELD_OF_ISSUER {
            let most = limits::HELD_OF_ISSUER;
            let why = format!("at most {most} credentials by one issuer are held: remove some");
            return Err(Error::Forbidden(why));
        }
        self.stands(&read).await.map_err(|why| match why {
            Unbelieved::Node(error) => error,
            Unbelieved::Silent(why) => Error::NoAnswer(why),
            why => Error::Forbidden(format!("this is not taken in: {why}")),
        })?;
        let owner = user_id.to_owned();
        let write = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move { Ok(tx.keep_held(&owner, &row).await?) })
        });
        if write.await? { Ok(holding) } else { Err(full()) }
    }

    /// Unpacks what somebody was given elsewhere, as they bring it; how much of it is about them, and is held now. Whether
    /// its issuers stand by it is asked by whoever is shown it, as of all that is held.
    pub async fn unpack(&self, user_id: &UserId, brought: &[Given]) -> Result<usize, Error> {
        if brought.is_empty() {
            return Ok(0);
        }
        let did = self.persons.did_of(user_id).await?;
        let now_ms = self.ground.clock.now_ms();
        let mut shown = 0;
        // The newest comes first, and shall again.
        let rows = brought.iter().zip(0_i64..).filter_map(|(one, at)| {
            let held = row(&json::canonical(&one.credential), now_ms - at);
            let what = holding(&held, &did)?.what;
            let is_shown =
                one.shown && matches!(what, What::Badge(_)) && shown < limits::SHOWN_BADGES;
            shown += usize::from(is_shown);
            Some(kept::Held { shown: is_shown, ..held })
        });
        let (rows, owner) = (rows.collect::<Vec<_>>(), user_id.to_owned());
        let write = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move {
                let mut held = 0;
                for row in &rows {
                    held += usize::from(tx.keep_held(&owner, row).await?);
                }
                Ok(held)
            })
        });
        write.await
    }

    /// Shows everybody a badge that somebody holds, or no more.
    pub async fn show(&self, user_id: &UserId, id: &str, shown: bool) -> Result<(), Error> {
        let all = self.held(user_id).await?;
        let holding = all.iter().find(|it| it.id == id).ok_or_else(not_held)?;
        if shown && !matches!(holding.what, What::Badge(_)) {
            let why = "badges are shown to everybody; this is shown where it is asked for";
            return Err(Error::Forbidden(why.to_owned()));
        }
        let (owner, hash) = (user_id.to_owned(), hashed(id)?);
        let write = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move { Ok(tx.show_held(&owner, &hash, shown).await?) })
        });
        let why = || format!("at most {} badges are shown at once", limits::SHOWN_BADGES);
        if write.await? { Ok(()) } else { Err(Error::Forbidden(why())) }
    }

    /// Lets somebody hold something no more.
    pub async fn drop_held(&self, user_id: &UserId, id: &str) -> Result<(), Error> {
        let (owner, hash) = (user_id.to_owned(), hashed(id)?);
        let write = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move { Ok(tx.drop_held(&owner, &hash).await?) })
        });
        if write.await? { Ok(()) } else { Err(not_held()) }
    }

    /// What somebody of this node can show at a door beside that they live here.
    pub async fn to_show(&self, user_id: &UserId, asks: &Asks) -> Result<ToShow, Error> {
        let all = self.held(user_id).await?;
        // What is over opens nothing any more.
        let now_ms = self.ground.clock.now_ms();
        let is_good = |it: &&Holding| it.until_ms.is_none_or(|until_ms| until_ms > now_ms);
        let (shown, kept): (Vec<&Holding>, Vec<&Holding>) = all
            .iter()
            .filter(is_good)
            .partition(|it| it.shown && matches!(it.what, What::Badge(_)));
        let told = |it: &Holding| it.credential.value().clone();
        let others = shown.iter().take(limits::SHOWN_BADGES).map(|it| told(it)).collect();
        if asks.is_empty() {
            return Ok(ToShow { others, asked: Vec::new() });
        }
        let did = self.persons.did_of(user_id).await?;
        let node = self.persons.node_did().ok_or_else(not_held)?;
        let fit = |it: &Holding| asks.fit(&it.credential, &did, &node);
        if shown.iter().any(|it| fit(it)) {
            return Ok(ToShow { others, asked: Vec::new() });
        }
        let fitting = kept.iter().filter(|it| fit(it)).take(FITTING);
        let mut asked: Vec<Value> = fitting.map(|it| told(it)).collect();
        let is_role_here = |ask: &Ask| {
            matches!(ask.wanted, Wanted::Role(_))
                && ask.issuer.as_ref().is_none_or(|it| *it == node)
        };
        if asked.is_empty() && asks.all().iter().any(is_role_here) {
            let role = self.persons.role(user_id).await?;
            let fits = Credential::read(&role).is_ok_and(|it| asks.fit(&it, &did, &node));
            asked.extend(fits.then_some(role));
        }
        Ok(ToShow { others, asked })
    }

    /// The badges that somebody of this node shows to everybody, by whom they were given and what they are called.
    pub async fn worn_by(&self, user_id: &UserId) -> Result<Vec<(String, String)>, Error> {
        let mut shown = self.held(user_id).await?;
        shown.retain(|it| it.shown);
        if shown.is_empty() {
            return Ok(Vec::new());
        }
        let did = self.persons.did_of(user_id).await?;
        let shown: Vec<Credential> = shown.into_iter().map(|it| it.credential).collect();
        Ok(self.worn(&shown, &did).await)
    }
}

/// What is held when it is given.
pub(super) fn row(credential: &str, now_ms: i64) -> kept::Held {
    let (hash, credential) = (hash(credential).to_vec(), credential.to_owned());
    kept::Held { hash, credential, shown: false, held_ms: now_ms }
}

/// By what a credential that is held is told from others.
pub(super) fn hash(credential: &str) -> [u8; 32] {
    Sha256::digest(credential).into()
}

pub(super) fn full() -> Error {
    Error::Forbidden(format!("one person holds at most {} credentials: remove some", limits::HELD))
}

fn not_held() -> Error {
    Error::NotFound("you hold no such thing".to_owned())
}

fn hashed(id: &str) -> Result<[u8; 32], Error> {
    let mut hash = [0; 32];
    hex::decode_to_slice(id, &mut hash).map_err(|_| not_held())?;
    Ok(hash)
}

/// What a row says of whom; nothing where that is nothing that is known here, as of a later release.
fn holding(row: &kept::Held, whom: &Did) -> Option<Holding> {
    let value: Value = serde_json::from_str(&row.credential).ok()?;
    let credential = Credential::read(&value).ok()?;
    let what = What::of(&credential, whom)?;
    let issuer: Did = credential.issuer().parse().ok()?;
    Some(Holding {
        id: hex::encode(&row.hash),
        what,
        issuer_name: name_of(&issuer),
        issuer: issuer.to_string(),
        until_ms: credential.valid_until().map(|until| until.0),
        shown: row.shown,
        held_ms: row.held_ms,
        credential,
    })
}
