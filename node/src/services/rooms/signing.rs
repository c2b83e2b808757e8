//! What is said in a room with a policy server: made, signed there outside of the store's writer, then written down.

use std::{collections::VecDeque, sync::Arc};

use futures_util::{StreamExt as _, future::BoxFuture, stream};
use ruma::UserId;
use wayside_federation::{event::Event, policy::Policy, version::RoomVersion};

use super::{
    super::{
        Error, Ground,
        servers::{Unsigned, Urgency},
    },
    Rooms,
    append::{Saying, membership_of, needed},
};
use crate::store::{
    Reads, StoreError, Tx,
    events::StoredEvent,
    rooms::{self, Membership, RoomRow},
};

/// How often something is made anew because what it was signed for has changed meanwhile.
const ROUNDS: usize = 4;
/// Questions of one use case that are asked at the same time.
const AT_ONCE: usize = 8;

/// What a use case says in rooms that have a policy server.
///
/// A use case is done once without their signatures, and undone again; when its events are signed it is
/// done anew, and places these where it made them the first time. So nobody waits in the writer for
/// another server, and rooms without a policy server are written once, as ever.
///
/// Each may name the one before it, so they are placed in the order in which they were made, or made anew
/// from the first on that is another by now.
#[derive(Default)]
pub(super) struct Signings {
    answered: VecDeque<Answered>,
    taken: Vec<Answered>,
    open: Vec<Made>,
}

/// An event that was made, and of what.
#[derive(Clone)]
struct Made {
    policy: Policy,
    version: RoomVersion,
    said: Saying,
    event: Event,
}

impl Made {
    /// Whether somebody goes by it: nobody is held in a room by its policy server, whatever others make of
    /// their leaving without its signature.
    fn leaves(&self) -> bool {
        self.event.state_key() == Some(self.event.sender().as_str())
            && membership_of(&self.event) == Some(Membership::Leave)
    }
}

/// The same with what the policy server has said to it.
#[derive(Clone)]
struct Answered {
    made: Made,
    answer: Result<Event, Unsigned>,
}

impl Signings {
    /// What a policy server has said to the event that was made of this before.
    pub(super) fn take(
        &mut self,
        policy: &Policy,
        room: &RoomRow,
        sender: &UserId,
        saying: &Saying,
    ) -> Option<Result<Event, Unsigned>> {
        let fits = |Answered { made, .. }: &Answered| {
            made.policy == *policy
                && made.event.room_id() == room.room_id
                && made.event.sender() == sender
                && made.said.is_same(saying)
        };
        let Some(next) = self.answered.pop_front().filter(fits) else {
            self.answered.clear();
            return None;
        };
        let answer = match &next.answer {
            Err(_) if next.made.leaves() => Ok(next.made.event.clone()),
            answer => answer.clone(),
        };
        self.taken.push(next);
        Some(answer)
    }

    /// Notes an event that is to be signed.
    pub(super) fn ask(&mut self, policy: Policy, version: RoomVersion, said: Saying, event: Event) {
        self.open.push(Made { policy, version, said, event });
    }
}

/// Why a use case is undone.
enum Undone {
    /// It failed.
    Failed(Error),
    /// Some were signed, and these are to be signed first.
    Unsigned(Vec<Answered>, Vec<Made>),
}

impl From<StoreError> for Undone {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

impl Rooms {
    /// Does a use case in which people of this node say something. It may be done more than once, and only
    /// the last time counts.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        urgency: Urgency,
        case: impl for<'t> Fn(&'t mut Tx, &'t mut Signings) -> BoxFuture<'t, Result<T, Error>>
        + Send
        + Sync
        + 'static,
    ) -> Result<T, Error> {
        let case = Arc::new(case);
        let mut answered: VecDeque<Answered> = VecDeque::new();
        for _ in 0..ROUNDS {
            let (case, answers) = (case.clone(), std::mem::take(&mut answered));
            let write = self.ground.store.write(move |tx| {
                Box::pin(async move {
                    let mut signings = Signings { answered: answers, ..Signings::default() };
                    let done = case(tx, &mut signings).await.map_err(Undone::Failed)?;
                    if signings.open.is_empty() {
                        Ok(done)
                    } else {
                        Err(Undone::Unsigned(signings.taken, signings.open))
                    }
                })
            });
            match write.await {
                Ok(done) => return Ok(done),
                Err(Undone::Failed(error)) => return Err(error),
                Err(Undone::Unsigned(taken, open)) => {
                    answered.extend(taken);
                    answered.extend(self.signed(open, urgency).await?);
                }
            }
        }
        let why = "the room changes faster than its policy server signs: try again";
        Err(Error::NoAnswer(why.to_owned()))
    }

    /// What policy servers say to events, in their order. Where one is silent nothing comes of any of them,
    /// and it is asked no more.
    async fn signed(&self, open: Vec<Made>, urgency: Urgency) -> Result<Vec<Answered>, Error> {
        let ask = async |made: Made| {
            let Made { policy, version, event, .. } = &made;
            let answer = self.servers.have_signed(policy, *version, event, urgency).await?;
            if let Err(why) = &answer {
                tracing::debug!(?why, server = %policy.server(), "an own event is not signed");
            }
            match answer {
                Err(silent @ Unsigned::Silent(_)) if !made.leaves() => Err(Error::from(silent)),
                answer => Ok(Answered { made, answer }),
            }
        };
        let mut answers = stream::iter(open).map(ask).buffered(AT_ONCE);
        let mut told = Vec::new();
        while let Some(answer) = answers.next().await {
            told.push(answer?);
        }
        Ok(told)
    }
}

/// The policy server of a room, by the event that names one: if somebody of it is in the room, so that
/// no server becomes one against its will. This node is none.
pub(in crate::services) async fn in_force(
    from: &mut impl Reads,
    ground: &Ground,
    room: &RoomRow,
    named: Option<&StoredEvent>,
) -> Result<Option<Policy>, Error> {
    let policy = named.and_then(|it| Policy::read(it.event.content()));
    let Some(policy) = policy.filter(|it| *it.server() != ground.server_name) else {
        return Ok(None);
    };
    let is_there = rooms::has_server(from, room.room_no, policy.server()).await?;
    Ok(is_there.then_some(policy))
}

/// Refuses an event without the signature of the policy server that the room has now.
pub(super) async fn check(
    from: &mut impl Reads,
    ground: &Ground,
    room: &RoomRow,
    event: &Event,
) -> Result<(), Error> {
    let key = Policy::state_key();
    let held = needed(from, room, vec![key.clone()]).await?;
    let policy = in_force(from, ground, room, held.get(&key)).await?;
    if policy.is_none_or(|policy| policy.has_signed(room.version, event)) {
        return Ok(());
    }
    let why = "the room has another policy server than the one that was asked: try again";
    Err(Error::NoAnswer(why.to_owned()))
}

#[cfg(test)]
mod tests {
    use ruma::{MilliSecondsSinceUnixEpoch, OwnedEventId, room_id, uint, user_id};
    use serde_json::{json, value::to_raw_value};
    use wayside_federation::{event::Draft, key::ServerKey, state::NodeId};

    use super::*;

    fn saying(text: &str) -> Saying {
        let content = to_raw_value(&json!({ "body": text })).unwrap();
        let kind = "m.room.message".into();
        Saying { kind, state_key: None, content, redacts: None, sent: None }
    }

    fn made(policy: &Policy, text: &str) -> Made {
        let said = saying(text);
        let draft = Draft {
            kind: said.kind.clone(),
            state_key: None,
            sender: user_id!("@ann:a.test").to_owned(),
            content: said.content.clone(),
            redacts: None,
            origin_server_ts: MilliSecondsSinceUnixEpoch(uint!(1)),
        };
        let before = OwnedEventId::try_from(format!("${}", "p".repeat(43))).unwrap();
        let (version, key) = (RoomVersion::V11, ServerKey::from_seed([1; 32], "a").unwrap());
        let (prev, cited) = ([(before.clone(), 1)], vec![before]);
        let event = draft.seal(version, Some(room_id!("!r:a.test")), &prev, cited, &key).unwrap();
        Made { policy: policy.clone(), version, said, event }
    }

    fn room() -> RoomRow {
        RoomRow {
            room_no: 1,
            room_id: room_id!("!r:a.test").to_owned(),
            version: RoomVersion::V11,
            kind: None,
            heads: Vec::new(),
            state_root: NodeId::EMPTY,
            last_position: 0,
            joined: 1,
            invited: 0,
            published: false,
            others: 1,
            since_depth: 0,
        }
    }

    fn policy(server: &str) -> Policy {
        let content = json!({ "via": server, "public_keys": { "ed25519": "key" } });
        Policy::read(&to_raw_value(&content).unwrap()).unwrap()
    }

    fn answered(policy: &Policy, texts: &[&str]) -> Signings {
        let answer = |text: &&str| {
            let made = made(policy, text);
            Answered { answer: Ok(made.event.clone()), made }
        };
        Signings { answered: texts.iter().map(answer).collect(), ..Signings::default() }
    }

    #[test]
    fn what_was_signed_is_placed_in_its_order_and_no_further_than_it_is_the_same() {
        let (policy, room, ann) = (policy("policy.test"), room(), user_id!("@ann:a.test"));
        let mut signings = answered(&policy, &["one", "two", "three"]);
        for text in ["one", "two", "three"] {
            let found = signings.take(&policy, &room, ann, &saying(text)).unwrap().unwrap();
            assert_eq!(found.id(), made(&policy, text).event.id());
        }
        assert!(signings.taken.len() == 3 && signings.answered.is_empty());
        // What lies behind another one may name one that is nowhere.
        let mut signings = answered(&policy, &["one", "two", "three"]);
        assert!(signings.take(&policy, &room, ann, &saying("one")).is_some());
        assert!(signings.take(&policy, &room, ann, &saying("other")).is_none());
        assert!(signings.take(&policy, &room, ann, &saying("three")).is_none());
        assert_eq!(signings.taken.len(), 1);
        let mut signings = answered(&policy, &["one", "two"]);
        assert!(signings.take(&policy, &room, ann, &saying("two")).is_none());
    }

    #[test]
    fn what_was_signed_for_something_else_does_not_count() {
        let (own, room, ann) = (policy("policy.test"), room(), user_id!("@ann:a.test"));
        let elsewhere = RoomRow { room_id: room_id!("!other:a.test").to_owned(), ..room.clone() };
        let (other, bob) = (policy("other.test"), user_id!("@bob:a.test"));
        let mut later = saying("one");
        later.sent = Some(MilliSecondsSinceUnixEpoch(uint!(7)));
        for (policy, room, who, said) in [
            (&other, &room, ann, saying("one")),
            (&own, &elsewhere, ann, saying("one")),
            (&own, &room, bob, saying("one")),
            (&own, &room, ann, later),
        ] {
            let mut signings = answered(&own, &["one"]);
            assert!(signings.take(policy, room, who, &said).is_none());
        }
    }
}
