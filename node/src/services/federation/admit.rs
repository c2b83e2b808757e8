//! Decisions on events that came in, and what they do to their room: one after the other, in the writer.

use std::time::Duration;

use ruma::{RoomId, ServerName};
use wayside_federation::{
    event::Event,
    policy::{Policy, is_exempt},
    room::{self, Joined, Outcome, Standing},
    state::{EventNo, NodeId},
    version::RoomVersion,
};

use super::{
    super::rooms::{self, Arrival, Decisions},
    Error, Federation, Ground, Rules,
    intake::{Taken, is_own},
    known,
    policy::{Judged, signed},
};
use crate::store::{
    StoreError, Tx,
    rooms::{self as stored, RoomRow, has_server},
};

/// How long events of one room are decided on before others have their turn.
const GO: Duration = Duration::from_millis(100);
/// How often the branches are joined beside the writer that one event joins: the room may have others then.
const TIMES_BESIDE: u32 = 5;
/// How often policy servers are asked about the same events, of which a room may have another by then.
const ASKED: u32 = 3;

/// An event that comes in.
#[derive(Clone)]
pub(super) struct Coming {
    pub(super) event: Event,
    /// The number that it has here, where states name it already that were found before it stands.
    number: Option<EventNo>,
    /// The state before it, where what it names cannot be had.
    given: Option<NodeId>,
    /// Whether the others in the room hear of it from this node.
    is_told: bool,
    /// What is known of its room's policy server and it.
    judged: Option<Judged>,
}

impl Coming {
    /// One of which nothing else is known.
    pub(super) fn of(event: Event, is_told: bool) -> Self {
        Self { event, number: None, given: None, is_told, judged: None }
    }

    /// The same behind a state that somebody has told.
    pub(super) fn behind(self, state: NodeId) -> Self {
        Self { given: Some(state), ..self }
    }
}

/// Events with what their room's policy server has signed of them already, so that the writer need not
/// find that out.
pub(super) async fn looked_over(
    version: RoomVersion,
    policy: Option<Policy>,
    events: Vec<Event>,
) -> Result<Vec<Coming>, Error> {
    let Some(policy) = policy else {
        return Ok(events.into_iter().map(|event| Coming::of(event, false)).collect());
    };
    let asked = events.into_iter().map(|event| (policy.clone(), event)).collect();
    let known = |(event, judged): (Event, Judged)| {
        let judged = Some(judged).filter(|it| it.is_signed);
        Coming { judged, ..Coming::of(event, false) }
    };
    Ok(signed(version, asked).await?.into_iter().map(known).collect())
}

/// Why nothing of what came in is written down yet.
enum Undone {
    /// This node failed, or the room is gone.
    Failed(Error),
    /// Policy servers are to be asked about these first.
    Unjudged(RoomVersion, Vec<(usize, Policy)>),
}

impl From<Error> for Undone {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<StoreError> for Undone {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

/// What came of deciding on an event in the writer.
enum Settled {
    /// This became of it; where its room has a policy server that was not asked, all of it is to be undone.
    Taken(Taken, Option<Policy>),
    /// Nothing yet: it joins branches that are too large to be joined there. It has this number.
    TooLarge(EventNo),
}

/// What was written down in one go.
struct Go {
    taken: Vec<Result<Taken, Error>>,
    /// Where it ended at an event whose branches are to be joined beside it, the number of that.
    large: Option<EventNo>,
}

impl Federation {
    /// Decides on events of a room with what is here, one after the other, and writes them down together;
    /// in several goes where others would have to wait for it.
    ///
    /// Where the room's policy server has not signed some that would be shown, all of a go is undone, and
    /// done anew when it was asked: so it is asked about nothing that the rules refuse, and nobody waits in
    /// the writer for its answer. By then the room may have another policy server, which is asked too; in
    /// the end, what none has signed is not shown.
    pub(super) async fn admit_all(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
        mut coming: Vec<Coming>,
    ) -> Result<Vec<Result<Taken, Error>>, Error> {
        let (mut taken, mut joined) = (Vec::with_capacity(coming.len()), Vec::new());
        let (mut asked, mut times) = (0, 0);
        while taken.len() < coming.len() {
            let rest = &mut coming[taken.len()..];
            let go = self.go(origin, room_id, rest.to_vec(), joined.clone(), asked == ASKED);
            let Go { taken: now, large } = match go.await {
                Ok(go) => go,
                Err(Undone::Failed(error)) => return Err(error),
                Err(Undone::Unjudged(version, unjudged)) => {
                    asked += 1;
                    self.ask_about(version, unjudged, rest).await?;
                    continue;
                }
            };
            if !now.is_empty() {
                (asked, times) = (0, 0);
            }
            let next = rest.get_mut(now.len());
            taken.extend(now);
            let (Some(number), Some(next)) = (large, next) else { continue };
            next.number = Some(number);
            times += 1;
            let found = if times > TIMES_BESIDE {
                Err(Error::BadJson("the branches of the room change too fast".to_owned()))
            } else {
                self.join_beside(room_id, next, number).await
            };
            match found {
                Ok(found) => joined.extend(found),
                Err(error) if is_own(&error) => return Err(error),
                Err(error) => {
                    taken.push(Err(error));
                    (asked, times) = (0, 0);
                }
            }
        }
        Ok(taken)
    }

    /// Asks the policy servers of a room about some of these events, and notes what they say.
    async fn ask_about(
        &self,
        version: RoomVersion,
        unjudged: Vec<(usize, Policy)>,
        coming: &mut [Coming],
    ) -> Result<(), Error> {
        let event = |at: usize| coming[at].event.clone();
        let asked = unjudged.iter().map(|(at, policy)| (policy.clone(), event(*at))).collect();
        let judged = self.judge(version, asked).await?;
        for ((at, _), (event, judged)) in unjudged.into_iter().zip(judged) {
            coming[at] = Coming { event, judged: Some(judged), ..coming[at].clone() };
        }
        Ok(())
    }

    /// Where the branches of a room lead together that an event would join.
    async fn join_beside(
        &self,
        room_id: &RoomId,
        coming: &Coming,
        number: EventNo,
    ) -> Result<Vec<Joined>, Error> {
        // One at a time, so that there is a core for everything else.
        let _turn = self.joining.acquire().await.map_err(Error::internal)?;
        let mut snapshot = self.ground.store.snapshot().await?;
        let Some(room) = stored::room(&mut snapshot, room_id).await? else { return Ok(Vec::new()) };
        drop(snapshot);
        let way = room::Arrival { given: coming.given, ..room::Arrival::default() };
        tracing::debug!(%room_id, event_id = %coming.event.id(), "large branches are joined");
        rooms::join_beside(&self.ground, &room, &coming.event, number, way).await
    }

    /// The first of some events, in one go; `is_last` says that no policy server is asked any more.
    async fn go(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
        coming: Vec<Coming>,
        joined: Vec<Joined>,
        is_last: bool,
    ) -> Result<Go, Undone> {
        let (ground, origin, room_id) =
            (self.ground.clone(), origin.to_owned(), room_id.to_owned());
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let until = ground.clock.instant() + GO;
                    let mut row = known(tx, &room_id).await?;
                    let mut decisions = Decisions::with(&joined);
                    let events: Vec<&Event> = coming.iter().map(|it| &it.event).collect();
                    decisions.plan(tx, &row, &events).await?;
                    let mut go = Go { taken: Vec::with_capacity(coming.len()), large: None };
                    let (mut unjudged, mut doors, before) = (Vec::new(), None, row.clone());
                    for (at, coming) in coming.into_iter().enumerate() {
                        let by = (&mut decisions, &mut doors, is_last);
                        match settle(&ground, tx, &mut row, &origin, coming, by).await {
                            Err(error) if is_own(&error) => return Err(Undone::Failed(error)),
                            Err(error) => go.taken.push(Err(error)),
                            Ok(Settled::Taken(taken, by)) => {
                                go.taken.push(Ok(taken));
                                unjudged.extend(by.map(|policy| (at, policy)));
                            }
                            Ok(Settled::TooLarge(number)) => {
                                go.large = Some(number);
                                break;
                            }
                        }
                        if ground.clock.instant() > until {
                            break;
                        }
                    }
                    if !unjudged.is_empty() {
                        return Err(Undone::Unjudged(row.version, unjudged));
                    }
                    if row != before {
                        rooms::join_heads(&ground, tx, &mut row).await?;
                        tx.move_room(&row).await?;
                    }
                    Ok(go)
                })
            })
            .await
    }
}

/// Who may take part in a room while it stands so, and who looks over it.
struct Doors {
    root: NodeId,
    is_open: bool,
    rules: Rules,
}

/// Decides on an event of another server and writes it down, but for the row of its room. Where the room's
/// policy server is to be asked about it first, that comes with it, and all of it is to be undone; where
/// `is_last` nobody is asked any more, and the event is not shown.
async fn settle(
    ground: &Ground,
    tx: &mut Tx,
    row: &mut RoomRow,
    origin: &ServerName,
    Coming { event, number, given, is_told, judged }: Coming,
    (decisions, doors, is_last): (&mut Decisions, &mut Option<Doors>, bool),
) -> Result<Settled, Error> {
    // Looked at where it is written: whoever was last here may just have left.
    let doors = match doors {
        Some(doors) if doors.root == row.state_root => doors,
        doors => {
            let is_open = has_server(tx, row.room_no, &ground.server_name).await?;
            let rules = Rules::of(tx, ground, row).await?;
            doors.insert(Doors { root: row.state_root, is_open, rules })
        }
    };
    let Doors { is_open, rules, .. } = doors;
    if !*is_open || !rules.admit(origin) {
        let why = format!("the room {} is not shared with {origin}", row.room_id);
        return Err(Error::Forbidden(why));
    }
    if !rules.admit(event.sender().server_name()) {
        return Err(Error::Forbidden("the room does not let its server take part".to_owned()));
    }
    let known = decisions.known(event.id());
    let (number, is_outlier) = match known {
        Some(known) if known.after.is_some() => {
            return Ok(Settled::Taken(Taken::Stands(known.standing), None));
        }
        // States hold it already, by its number.
        Some(known) => (known.number, true),
        None => (number.unwrap_or_else(|| EventNo(tx.next_number())), false),
    };
    let policy = rules.policy.as_ref().filter(|_| !is_exempt(event.kind(), event.state_key()));
    let is_signed = policy.and_then(|policy| {
        let judged = judged.filter(|judged| judged.policy == *policy);
        judged.map_or_else(|| is_last.then_some(false), |judged| Some(judged.is_signed))
    });
    let way = room::Arrival {
        given,
        is_discouraged: is_signed == Some(false),
        ..room::Arrival::default()
    };
    let (taken, unjudged) = match decisions.decide(tx, row, &event, number, way).await? {
        None => return Ok(Settled::TooLarge(number)),
        Some(Outcome::Known) => (Taken::Stands(Standing::Accepted), None),
        Some(Outcome::Missing(missing)) => (Taken::Misses(missing), None),
        Some(Outcome::Placed(placed)) => {
            let standing = placed.standing;
            if let Some(why) = &placed.refusal {
                tracing::debug!(%why, event_id = %event.id(), "an event is not shown");
            }
            let is_asked = is_signed.is_none() && standing == Standing::Accepted;
            let asked = policy.filter(|_| is_asked).cloned();
            let arrival = Arrival { event, number, is_outlier };
            decisions.settle(ground, tx, row, arrival, *placed, is_told).await?;
            (Taken::Stands(standing), asked)
        }
    };
    Ok(Settled::Taken(taken, unjudged))
}
