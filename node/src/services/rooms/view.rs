//! Who may see which event, and how a page of events is made ready for a client.

use std::collections::{HashMap, HashSet};

use ruma::{
    EventId, OwnedDeviceId, OwnedEventId, OwnedUserId, UserId,
    events::{StateEventType, TimelineEventType},
};
use serde_json::value::RawValue;
use wayside_federation::{
    event::Event,
    state::{EventNo, NodeId, StateKey},
};

use super::{
    super::{Error, Ground},
    append::membership_of,
    format::{self, Bundle, Form, Unsigned},
    membership::text_of,
    related,
};
use crate::store::{
    Reads, accounts, ahead,
    events::{self, StoredEvent, Stretch},
    rooms::{self, MemberRow, Membership, RoomRow},
    state,
};

/// Who asks.
#[derive(Clone, Debug)]
pub struct Asker {
    /// The person.
    pub user_id: OwnedUserId,
    /// Their device, which is told its own transaction ids.
    pub device_id: OwnedDeviceId,
}

/// An event made ready for a client, with its place in the stream.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// The event as JSON.
    pub json: Box<RawValue>,
    /// Its position.
    pub position: i64,
    /// Who sent it.
    pub sender: OwnedUserId,
}

/// How far into a room's time somebody reaches by having been in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// They are in it.
    Now,
    /// They were in it until this position.
    Until(i64),
    /// They never were in it.
    Never,
}

/// What rules who may see an event, at one state of the room.
#[derive(Clone, Copy)]
struct Sight {
    visibility: Visibility,
    membership: Option<Membership>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Visibility {
    WorldReadable,
    Shared,
    Invited,
    Joined,
}

impl Sight {
    /// Whether it lets somebody see, who was `within` the room then or later.
    fn lets_see(self, within: bool) -> bool {
        match self.visibility {
            Visibility::WorldReadable => true,
            _ if self.membership == Some(Membership::Join) => within,
            Visibility::Shared => within,
            Visibility::Invited => self.membership == Some(Membership::Invite) && within,
            Visibility::Joined => false,
        }
    }
}

impl Reach {
    /// How far whoever stands so to a room reaches into it.
    #[must_use]
    pub fn of(row: &MemberRow) -> Self {
        match (row.membership, row.left) {
            (Membership::Join, _) => Self::Now,
            (_, Some(left)) => Self::Until(left),
            (_, None) => Self::Never,
        }
    }
}

/// How far somebody reaches into a room.
pub async fn reach(from: &mut impl Reads, room: &RoomRow, asker: &Asker) -> Result<Reach, Error> {
    let row = rooms::membership(from, room.room_no, &asker.user_id).await?;
    Ok(row.map_or(Reach::Never, |row| Reach::of(&row)))
}

/// Keeps the events that the asker may see (client-server API, room history visibility).
pub async fn visible(
    from: &mut impl Reads,
    asker: &Asker,
    reach: Reach,
    page: Vec<StoredEvent>,
) -> Result<Vec<StoredEvent>, Error> {
    let roots: HashSet<NodeId> = page.iter().flat_map(sides).collect();
    let sights = sights(from, asker, &roots).await?;
    let own_member = |stored: &StoredEvent| {
        *stored.event.kind() == TimelineEventType::RoomMember
            && stored.event.state_key() == Some(asker.user_id.as_str())
    };
    let sees = |stored: &StoredEvent| {
        // What was never in the timeline, or was let go of long after, is for nobody to see.
        if stored.position.is_none() {
            return false;
        }
        let within = match (reach, stored.position) {
            (Reach::Now, _) => true,
            (Reach::Until(end), Some(position)) => position <= end,
            _ => false,
        };
        // What happens to themselves is told to everybody anyway, in `/sync`.
        if own_member(stored) && reach != Reach::Never {
            return true;
        }
        // The more generous of before and after counts: who joins sees their own joining, and a
        // change of the rule is seen by those whom either side of it lets see.
        sides(stored).any(|root| sights.get(&root).is_some_and(|sight| sight.lets_see(within)))
    };
    let seen = page.into_iter().filter(sees).collect();
    without_erased(from, &sights, seen).await
}

/// Empties what somebody said who wished it kept from those who come later (client-server API,
/// deactivating an account), but for those who were in the room when it was said.
async fn without_erased(
    from: &mut impl Reads,
    sights: &HashMap<NodeId, Sight>,
    mut seen: Vec<StoredEvent>,
) -> Result<Vec<StoredEvent>, Error> {
    let was_in = |root: NodeId| {
        sights.get(&root).is_some_and(|sight| sight.membership == Some(Membership::Join))
    };
    let came_later =
        |stored: &StoredEvent| stored.event.state_key().is_none() && !sides(stored).any(was_in);
    let senders: HashSet<&UserId> =
        seen.iter().filter(|it| came_later(it)).map(|it| it.event.sender()).collect();
    if senders.is_empty() {
        return Ok(seen);
    }
    let senders: Vec<&UserId> = senders.into_iter().collect();
    let erased = accounts::erased(from, &senders).await?;
    for stored in &mut seen {
        if !erased.contains(stored.event.sender()) || !came_later(stored) {
            continue;
        }
        if let Some(room) = rooms::by_numbers(from, &[stored.room_no]).await?.pop() {
            stored.event = stored.event.redact(room.version)?;
        }
    }
    Ok(seen)
}

/// The states on both sides of an event; none for an outlier, which so is for nobody to see.
fn sides(stored: &StoredEvent) -> impl Iterator<Item = NodeId> + use<> {
    stored.roots.into_iter().flat_map(|roots| [roots.state_before, roots.state_after])
}

/// The state of a room when the stream had come to a position; empty before its first event.
pub async fn root_at(
    from: &mut impl Reads,
    room: &RoomRow,
    position: i64,
) -> Result<NodeId, Error> {
    if position >= room.last_position {
        return Ok(room.state_root);
    }
    let stretch = Stretch::Back { upto: position, after: i64::MIN };
    let last = events::timeline(from, room.room_no, stretch, 1).await?;
    Ok(last.first().and_then(|it| it.roots).map_or(NodeId::EMPTY, |roots| roots.room_after))
}

/// Whether somebody may see how the room stood at a position, where its state was `root`.
pub async fn may_see_state(
    from: &mut impl Reads,
    asker: &Asker,
    reach: Reach,
    position: i64,
    root: NodeId,
) -> Result<bool, Error> {
    let within = match reach {
        Reach::Now => true,
        Reach::Until(left) => position <= left,
        Reach::Never => false,
    };
    let sights = sights(from, asker, &HashSet::from([root])).await?;
    Ok(sights.values().any(|sight| sight.lets_see(within)))
}

/// Whether anybody may read the room as it is now.
pub async fn is_world_readable(
    from: &mut impl Reads,
    room: &RoomRow,
    asker: &Asker,
) -> Result<bool, Error> {
    let roots = HashSet::from([room.state_root]);
    let sights = sights(from, asker, &roots).await?;
    Ok(sights.values().any(|sight| sight.visibility == Visibility::WorldReadable))
}

async fn sights(
    from: &mut impl Reads,
    asker: &Asker,
    roots: &HashSet<NodeId>,
) -> Result<HashMap<NodeId, Sight>, Error> {
    let keys = [
        StateKey::new(StateEventType::RoomHistoryVisibility, ""),
        StateKey::new(StateEventType::RoomMember, asker.user_id.as_str()),
    ];
    let mut found = Vec::with_capacity(roots.len());
    for root in roots {
        let numbers = state::lookup(from, *root, &keys).await?;
        found.push((*root, numbers));
    }
    let numbers: HashSet<EventNo> =
        found.iter().flat_map(|(_, it)| it.iter().copied().flatten()).collect();
    let numbers: Vec<EventNo> = numbers.into_iter().collect();
    let holders = events::by_numbers(from, &numbers).await?;
    let holder = |number: Option<EventNo>| number.and_then(|number| holders.get(&number));
    Ok(found
        .into_iter()
        .map(|(root, numbers)| {
            let rule =
                holder(numbers[0]).and_then(|it| text_of(it.event.content(), "history_visibility"));
            let visibility = match rule.as_deref() {
                Some("world_readable") => Visibility::WorldReadable,
                Some("invited") => Visibility::Invited,
                Some("joined") => Visibility::Joined,
                _ => Visibility::Shared,
            };
            let membership = holder(numbers[1]).and_then(|it| membership_of(&it.event));
            (root, Sight { visibility, membership })
        })
        .collect())
}

/// Whether a member event says that somebody is in the room.
#[must_use]
pub fn is_joined(event: &Event) -> bool {
    membership_of(event) == Some(Membership::Join)
}

/// A text in the content of an event, if it is there and a text.
#[must_use]
pub fn text_in(event: &Event, name: &str) -> Option<String> {
    text_of(event.content(), name)
}

/// Whether the content of an event has a field of that name.
#[must_use]
pub fn has_field(event: &Event, name: &str) -> bool {
    let content: Result<serde_json::Map<String, serde_json::Value>, _> =
        serde_json::from_str(event.content().get());
    content.is_ok_and(|content| content.contains_key(name))
}

/// What is known of events beforehand, where those of many rooms were looked up together.
#[derive(Debug, Default)]
pub struct Known {
    /// Those that were looked up.
    looked: HashSet<OwnedEventId>,
    /// Those of them to which something relates.
    related: HashSet<OwnedEventId>,
    /// The names that the asker's device gave to those that it sent.
    sent_as: HashMap<OwnedEventId, String>,
}

impl Known {
    /// Looks these events up for somebody.
    pub async fn of(
        from: &mut impl Reads,
        asker: &Asker,
        events: impl Iterator<Item = &StoredEvent> + Send,
    ) -> Result<Self, Error> {
        let (mut ids, mut own) = (Vec::new(), Vec::new());
        for stored in events {
            let id = stored.event.id().to_owned();
            if stored.event.sender() == asker.user_id {
                own.push(id.clone());
            }
            ids.push(id);
        }
        let related = ahead::related(from, &ids).await?;
        let sent_as = events::txn_ids(from, &asker.user_id, &asker.device_id, &own).await?;
        Ok(Self { looked: ids.into_iter().collect(), related, sent_as })
    }

    /// Whether nothing relates to an event, as far as that is known.
    pub(super) fn is_alone(&self, id: &EventId) -> bool {
        self.looked.contains(id) && !self.related.contains(id)
    }
}

/// Makes a page of events of one room ready for a client, with what belongs beside each of them and
/// what relates to it.
pub async fn render(
    ground: &Ground,
    from: &mut impl Reads,
    asker: &Asker,
    page: &[StoredEvent],
    form: Form<'_>,
) -> Result<Vec<Rendered>, Error> {
    render_known(ground, from, asker, page, form, (&Known::default(), None)).await
}

/// The same where something is known beforehand, perhaps also how the asker stands to the room.
pub async fn render_known(
    ground: &Ground,
    from: &mut impl Reads,
    asker: &Asker,
    page: &[StoredEvent],
    form: Form<'_>,
    (known, member): (&Known, Option<&MemberRow>),
) -> Result<Vec<Rendered>, Error> {
    let unsure: Vec<&EventId> =
        page.iter().map(|it| it.event.id()).filter(|id| !known.is_alone(id)).collect();
    let bundles = if unsure.is_empty() {
        HashMap::new()
    } else {
        related::bundles(ground, from, asker, page, form).await?
    };
    dress(ground, from, asker, page, form, (bundles, known, member)).await
}

/// The same where it is known what is told of what relates to them.
pub(super) async fn dress(
    ground: &Ground,
    from: &mut impl Reads,
    asker: &Asker,
    page: &[StoredEvent],
    form: Form<'_>,
    (bundles, known, member): (HashMap<OwnedEventId, Bundle>, &Known, Option<&MemberRow>),
) -> Result<Vec<Rendered>, Error> {
    let own: Vec<OwnedEventId> = page
        .iter()
        .filter(|it| it.event.sender() == asker.user_id && !known.looked.contains(it.event.id()))
        .map(|it| it.event.id().to_owned())
        .collect();
    let sent_as = events::txn_ids(from, &asker.user_id, &asker.device_id, &own).await?;
    let before = previous(from, page).await?;
    let because = redactions(from, page).await?;
    let standings = standings(from, asker, page, member).await?;
    let txn_id = |id: &EventId| sent_as.get(id).or_else(|| known.sent_as.get(id));
    let now_ms = ground.clock.now_ms();
    Ok(page
        .iter()
        .map(|stored| {
            let unsigned = Unsigned {
                replaces_state: before.get(&stored.event_no).map(|it| it.event.id()),
                transaction_id: txn_id(stored.event.id()).map(String::as_str),
                age_ms: Some(now_ms - stored.sent_ms()),
                membership: standings.get(&stored.event_no).map(|it| it.as_str()),
                prev_content: before.get(&stored.event_no).map(|it| it.event.content()),
                redacted_because: because.get(stored.event.id()).map(AsRef::as_ref),
                related: bundles.get(stored.event.id()),
            };
            Rendered {
                json: format::client_event(stored, form, unsigned),
                position: stored.position.unwrap_or_default(),
                sender: stored.event.sender().to_owned(),
            }
        })
        .collect())
}

/// How the asker stood to the room just after each event of a page (client-server API,
/// `unsigned.membership`). Since their last step that is how they stand now.
async fn standings(
    from: &mut impl Reads,
    asker: &Asker,
    page: &[StoredEvent],
    member: Option<&MemberRow>,
) -> Result<HashMap<EventNo, Membership>, Error> {
    let Some(first) = page.first() else { return Ok(HashMap::new()) };
    let now = match member {
        Some(member) => Some(member.clone()),
        None => rooms::membership(from, first.room_no, &asker.user_id).await?,
    };
    let Some(now) = now else {
        return Ok(page.iter().map(|it| (it.event_no, Membership::Leave)).collect());
    };
    let since = |it: &StoredEvent| it.position.is_some_and(|position| position >= now.position);
    let (recent, older): (Vec<_>, Vec<_>) = page.iter().partition(|it| since(it));
    let after = |it: &StoredEvent| it.roots.map(|roots| roots.state_after);
    let roots: HashSet<NodeId> = older.iter().copied().filter_map(after).collect();
    let sights =
        if roots.is_empty() { HashMap::new() } else { sights(from, asker, &roots).await? };
    let then = |it: &StoredEvent| {
        let sight = after(it).and_then(|root| sights.get(&root));
        sight.and_then(|sight| sight.membership).unwrap_or(Membership::Leave)
    };
    let recent = recent.iter().map(|it| (it.event_no, now.membership));
    Ok(recent.chain(older.iter().map(|it| (it.event_no, then(it)))).collect())
}

/// Events without what belongs to one asker alone, such as those of a state.
pub async fn plain(
    from: &mut impl Reads,
    found: &[StoredEvent],
    form: Form<'_>,
) -> Result<Vec<Box<RawValue>>, Error> {
    let because = redactions(from, found).await?;
    Ok(found
        .iter()
        .map(|stored| {
            let because = because.get(stored.event.id()).map(AsRef::as_ref);
            let unsigned = Unsigned { redacted_because: because, ..Unsigned::default() };
            format::client_event(stored, form, unsigned)
        })
        .collect())
}

/// What each state event of a page replaced.
async fn previous(
    from: &mut impl Reads,
    page: &[StoredEvent],
) -> Result<HashMap<EventNo, StoredEvent>, Error> {
    let mut replaced = Vec::new();
    for stored in page {
        let (Some(key), Some(roots)) = (stored.event.state_key(), stored.roots) else { continue };
        let key = StateKey::new(stored.event.kind().to_string().into(), key);
        if let Some(number) = state::lookup(from, roots.state_before, &[key]).await?[0] {
            replaced.push((stored.event_no, number));
        }
    }
    let numbers: Vec<EventNo> = replaced.iter().map(|(_, number)| *number).collect();
    let events = events::by_numbers(from, &numbers).await?;
    Ok(replaced
        .into_iter()
        .filter_map(|(by, number)| Some((by, events.get(&number)?.clone())))
        .collect())
}

/// The redactions that emptied events of a page, as clients see them.
async fn redactions(
    from: &mut impl Reads,
    page: &[StoredEvent],
) -> Result<HashMap<OwnedEventId, Box<RawValue>>, Error> {
    let mut found = HashMap::new();
    for stored in page {
        let Some(by) = &stored.redacted_by else { continue };
        if let Some(redaction) = events::by_id(from, by).await? {
            let json = format::client_event(&redaction, Form::default(), Unsigned::default());
            found.insert(stored.event.id().to_owned(), json);
        }
    }
    Ok(found)
}
