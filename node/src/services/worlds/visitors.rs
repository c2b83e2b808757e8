//! People who live on other nodes: who of them may come in, by the DID that they show.
//!
//! Whoever comes has no account here and needs none: they show who they are (specs/identity.md, "Showing who
//! one is"), and what they may is the word of this node, of the world, and of those who rule it. A ban is on
//! the person: who is shut out under one account stays so under every other by which they were seen here.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ruma::{OwnedUserId, RoomId, RoomOrAliasId, ServerName, UserId};
use serde_json::Value;
use wayside_identity::{blocks::Blocks, tag};
use wayside_world::realtime::Visitor;

use super::{
    super::{
        Error, Unproven,
        bodies::Brought,
        persons::Shown,
        rooms::{Membership, admits},
    },
    Granted, World, Worlds,
    admission::AtDoor,
    movers::Mover,
    visits::Brings,
};
use crate::{
    config::Visitors,
    instances::{Coming, Meeting},
    store::{rooms, visitors},
};

/// How long a pass is good, in milliseconds: longer than most visits, and whoever stays is let in anew.
const PASS_MS: i64 = 24 * 60 * 60 * 1_000;
/// Tells the seals of passes from all others under the same key.
const PASS: &[u8] = b"visitor's pass";

/// Somebody of elsewhere who may come in.
pub struct Welcomed {
    /// Their ticket.
    pub granted: Granted,
    /// What this node has given them, which they may not know yet.
    pub given: Vec<Value>,
    /// What shows, while they are here, that they are.
    pub pass: String,
}

impl Worlds {
    /// Lets somebody in who lives elsewhere, and shows it by a presentation that answers a challenge of
    /// [`super::super::persons::Persons::challenge`]. They meet nobody whom they block.
    pub async fn grant_visitor(
        &self,
        presentation: &Value,
        challenge: &str,
        blocks: Blocks,
        name: &RoomOrAliasId,
    ) -> Result<Welcomed, Error> {
        let shown = self.persons.answered(presentation, challenge).await?;
        if self.ground.is_local(&shown.account) {
            let why = "you live here: sign in, and come in as whom you are";
            return Err(Error::Forbidden(why.to_owned()));
        }
        self.let_mover_follow(&shown, name).await;
        let world = self.get(name, Some(&shown.account)).await?;
        self.may_visit(&shown, &world).await?;
        self.is_not_full(&world)?;
        let given = self.badges.still_given(&shown.did, &shown.others).await?;
        let Shown { did, account, name, wears, others, .. } = shown;
        let (wearing, own) = self.bodies.of_visitor(&account, wears.as_ref());
        let who = Visitor {
            user_id: account.to_string(),
            name: name.unwrap_or_else(|| account.localpart().to_owned()),
            fallback: wearing.fallback(),
            avatar: wearing.avatar,
            guest: false,
            badges: Vec::new(),
        };
        let names = vec![did.subject().to_owned(), account.to_string()];
        let meeting = Meeting { names, blocks: Arc::new(blocks), keeps_own: true };
        // It comes while their client gets the scene.
        let (badges, whom) = (self.badges.clone(), did.clone());
        let badges = self.ground.tasks.spawn(async move { badges.worn(&others, &whom).await });
        let body = own.map(|body| {
            let (bodies, account) = (self.bodies.clone(), account.clone());
            let bring = async move { bodies.bring(&Brought { account, did, body }).await };
            self.ground.tasks.spawn(bring)
        });
        // They have no device here: none of theirs is signed out.
        let coming = Coming {
            user_id: account,
            device_id: "VISITOR".into(),
            who,
            meeting,
            unfit: None,
            unworn: None,
            at: None,
        };
        let brings = Brings { body, badges: Some(badges) };
        let pass = self.pass(&world.room_id, &coming.user_id);
        let granted = self.hand_out(world, coming, brings).await?;
        Ok(Welcomed { granted, given, pass })
    }

    /// What shows for the time of a visit that somebody who has no account here is in a world: its seal says so.
    fn pass(&self, room_id: &RoomId, account: &UserId) -> String {
        let until_ms = self.ground.clock.now_ms() + PASS_MS;
        let body = format!("{until_ms}.{}", URL_SAFE_NO_PAD.encode(account.as_str()));
        let parts: [&[u8]; 3] = [PASS, room_id.as_bytes(), body.as_bytes()];
        let seal = tag::seal(&self.ground.token_key, &parts);
        format!("{body}.{}", URL_SAFE_NO_PAD.encode(seal))
    }

    /// Whose pass for a world somebody shows, who may be there still.
    pub async fn passed(
        &self,
        name: &RoomOrAliasId,
        pass: &str,
    ) -> Result<Option<OwnedUserId>, Error> {
        let room_id = match self.rooms.resolve(name).await {
            Ok(room_id) => room_id,
            Err(Error::NotFound(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some(account) = self.read_pass(&room_id, pass) else { return Ok(None) };
        let may = self.may_still_visit(&account, &room_id).await?;
        Ok(may.then_some(account))
    }

    fn read_pass(&self, room_id: &RoomId, pass: &str) -> Option<OwnedUserId> {
        let (body, seal) = pass.rsplit_once('.')?;
        let seal = URL_SAFE_NO_PAD.decode(seal).ok()?;
        let parts: [&[u8]; 3] = [PASS, room_id.as_bytes(), body.as_bytes()];
        if !tag::is_sealed(&self.ground.token_key, &parts, &seal) {
            return None;
        }
        let (until_ms, account) = body.split_once('.')?;
        let until_ms: i64 = until_ms.parse().ok()?;
        let account = String::from_utf8(URL_SAFE_NO_PAD.decode(account).ok()?).ok()?;
        UserId::parse(account).ok().filter(|_| until_ms > self.ground.clock.now_ms())
    }

    /// Gives somebody who comes and has moved what they had here. Where that fails they come as anybody does.
    async fn let_mover_follow(&self, shown: &Shown, name: &RoomOrAliasId) {
        let subject = shown.did.subject();
        let mover = Mover { account: &shown.account, subject, formerly: &shown.formerly };
        let followed = async {
            let room_id = self.rooms.resolve(name).await?;
            // Whom the node does not let in is not invited by what they had elsewhere.
            if !self.welcomes_people_of(shown.account.server_name()) {
                return Ok(());
            }
            self.must_not_be_shut_out(&shown.account, &room_id).await?;
            self.follow_mover(mover, &room_id).await
        };
        if let Err(error) = followed.await {
            tracing::warn!(%error, account = %shown.account, "somebody who has moved has less than before");
        }
    }

    /// Whether somebody of elsewhere may come into a world.
    async fn may_visit(&self, shown: &Shown, world: &World) -> Result<(), Error> {
        let standing = self.rooms.standing(&world.room_id, &shown.account).await?;
        let invited = matches!(standing, Some(Membership::Join | Membership::Invite));
        let (account, did) = (&shown.account, Some(&shown.did));
        if !invited {
            self.welcomes(shown).await?;
            if !world.public && world.asks.is_empty() {
                let why = format!("there is no world {}, or it is not for you", world.room_id);
                return Err(Error::NotFound(why));
            }
        }
        self.must_not_be_shut_out(account, &world.room_id).await?;
        if world.asks.is_empty() {
            return Ok(());
        }
        self.admit(world, AtDoor { account, did, shown: &shown.others }).await
    }

    /// Whether this node lets somebody into the worlds that are for everybody.
    async fn welcomes(&self, shown: &Shown) -> Result<(), Error> {
        let server = shown.account.server_name();
        let welcome = match self.ground.config.visitors {
            Visitors::Invited => false,
            Visitors::Open | Visitors::Nodes => self.welcomes_people_of(server),
            Visitors::Credentials => {
                let asks = self.badges.asked_of_visitors();
                if self.badges.fitting(&asks, &shown.others, &shown.did).await?.is_none() {
                    return Err(Unproven::Lacking.into());
                }
                true
            }
        };
        if welcome { Ok(()) } else { Err(Unproven::Unwelcome(server.to_string()).into()) }
    }

    fn welcomes_people_of(&self, server: &ServerName) -> bool {
        let config = &self.ground.config;
        match config.visitors {
            // Whoever was invited, or showed what they hold, under another account did so.
            Visitors::Open | Visitors::Credentials | Visitors::Invited => true,
            Visitors::Nodes => config.visitor_nodes.iter().any(|known| known == server),
        }
    }

    /// Refuses whoever is shut out of a world, and says by whom.
    pub(super) async fn must_not_be_shut_out(
        &self,
        account: &UserId,
        room_id: &RoomId,
    ) -> Result<(), Error> {
        if let Some(room) = rooms::room(&mut self.ground.store.snapshot().await?, room_id).await?
            && let Some(rule) = self.listed_at_door(room.room_no, account).await?
        {
            return Err(Unproven::Listed(rule.reason).into());
        }
        if self.is_shut_out(account, room_id).await? {
            return Err(Unproven::ShutOut.into());
        }
        Ok(())
    }

    /// Whether somebody is shut out of a world: under the account by which they come, under another that is
    /// theirs as far as is known here, or with all of their server.
    pub(super) async fn is_shut_out(
        &self,
        account: &UserId,
        room_id: &RoomId,
    ) -> Result<bool, Error> {
        let accounts = self.companions(account).await?;
        let mut snapshot = self.ground.store.snapshot().await?;
        let Some(room) = rooms::room(&mut snapshot, room_id).await? else { return Ok(true) };
        for one in accounts.iter().map(|one| &**one).chain([account]) {
            let row = rooms::membership(&mut snapshot, room.room_no, one).await?;
            if row.is_some_and(|row| row.membership == Membership::Ban) {
                return Ok(true);
            }
        }
        if self.listed(room.room_no, account).await?.is_some() {
            return Ok(true);
        }
        let is_local = self.ground.is_local(account);
        Ok(!is_local && !admits(&mut snapshot, &room, account.server_name()).await?)
    }

    /// Whether somebody who was let in still may come in.
    pub(super) async fn may_still_visit(
        &self,
        account: &UserId,
        room_id: &RoomId,
    ) -> Result<bool, Error> {
        match self.get(room_id.into(), Some(account)).await {
            // Of one that is not for everybody they may have been let out again.
            Ok(world) if !world.public && world.standing.is_none() => Ok(false),
            Ok(_) => Ok(!self.is_shut_out(account, room_id).await?),
            Err(Error::NotFound(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The other accounts that are the same person's, as far as is known here.
    pub(super) async fn companions(&self, account: &UserId) -> Result<Vec<OwnedUserId>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let mut found = Vec::new();
        for subject in visitors::subjects_of(&mut snapshot, account).await? {
            found.extend(visitors::accounts_of(&mut snapshot, &subject).await?);
        }
        found.retain(|one| one != account);
        Ok(found)
    }
}
