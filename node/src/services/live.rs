//! What is true only now and stored nowhere: who types, who is online, who waits for news.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ruma::{OwnedUserId, UserId};
use tokio::sync::{Notify, futures::Notified, mpsc, watch};

use super::place::Whereabouts;

/// How somebody is present (client-server API, presence).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// There.
    Online,
    /// There, but idle.
    Unavailable,
    /// Away.
    Offline,
}

impl Presence {
    /// The word in events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Unavailable => "unavailable",
            Self::Offline => "offline",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Online, Self::Unavailable, Self::Offline].into_iter().find(|it| it.as_str() == word)
    }
}

/// How somebody elsewhere is present, as their server says.
#[derive(Clone, Debug)]
pub struct FromAfar {
    /// How.
    pub presence: Presence,
    /// Their own words.
    pub status: Option<String>,
    /// When they last did something, in milliseconds since the epoch.
    pub active_ms: i64,
    /// In which world they are.
    pub whereabouts: Option<Arc<Whereabouts>>,
}

/// Somebody's presence with what belongs to it.
#[derive(Clone, Debug)]
pub struct Present {
    /// How.
    pub presence: Presence,
    /// Their own words.
    pub status: Option<String>,
    /// When they last did something, in milliseconds since the epoch.
    pub active_ms: i64,
    /// In which world they are, while they are not away.
    pub whereabouts: Option<Arc<Whereabouts>>,
    /// When they last asked for news, in milliseconds since the epoch.
    pub asked_ms: i64,
    /// How long after that they are away, in milliseconds.
    away_after_ms: i64,
    /// When others were last told of it, in milliseconds since the epoch.
    told_ms: i64,
    /// The count at which this last changed.
    serial: u64,
}

/// Something of the moment that others may have to hear of.
#[derive(Clone, Debug)]
pub enum Moment {
    /// Who types in a room changed.
    Typing(i64),
    /// Somebody's presence changed.
    Presence(OwnedUserId),
}

/// Who types in a room, until when.
#[derive(Debug, Default)]
struct Typists {
    until_ms: BTreeMap<OwnedUserId, i64>,
    /// Until when each typed as it was last told, and the count at which it was.
    told: BTreeMap<OwnedUserId, (i64, u64)>,
    /// The count at which this last changed.
    serial: u64,
    /// When nobody was found to type here any more, in milliseconds since the epoch.
    ended_ms: Option<i64>,
}

#[derive(Debug, Default)]
struct Moments {
    serial: u64,
    typing: HashMap<i64, Typists>,
    /// Rooms in which typing ended at or before this count are not remembered.
    typing_floor: u64,
    present: HashMap<OwnedUserId, Present>,
    /// Whose presence changed at which count, so that asking costs what changed.
    present_by_serial: BTreeMap<u64, OwnedUserId>,
}

impl Moments {
    /// Puts somebody's presence down, as changed now where `changed`.
    fn put_present(&mut self, user_id: &UserId, mut present: Present, changed: bool) {
        let before = self.present.get(user_id).map(|it| it.serial);
        if let Some(serial) = before.filter(|_| !changed) {
            present.serial = serial;
        } else {
            self.serial += 1;
            present.serial = self.serial;
            before.map(|serial| self.present_by_serial.remove(&serial));
            self.present_by_serial.insert(self.serial, user_id.to_owned());
        }
        self.present.insert(user_id.to_owned(), present);
    }

    /// Forgets who has been away for long, and of more people than are remembered those who have
    /// been so longest.
    fn forget_absent(&mut self, now_ms: i64) {
        let away = |it: &&Present| it.presence == Presence::Offline;
        let past = |it: &&Present| now_ms - it.asked_ms > FORGOTTEN_AFTER_MS;
        let mut gone: Vec<u64> =
            self.present.values().filter(away).filter(past).map(|it| it.serial).collect();
        let too_many = self.present.len().saturating_sub(PRESENT);
        if gone.len() < too_many {
            let mut absent: Vec<(i64, u64)> =
                self.present.values().filter(away).map(|it| (it.asked_ms, it.serial)).collect();
            absent.sort_unstable();
            gone = absent.into_iter().take(too_many).map(|(_, serial)| serial).collect();
        }
        for serial in gone {
            if let Some(user_id) = self.present_by_serial.remove(&serial) {
                self.present.remove(&user_id);
            }
        }
    }
}

/// The things of the moment. They end with the process; sync tokens carry `boot` to notice that.
pub struct Live {
    boot: u32,
    moments: Mutex<Moments>,
    waiting: Mutex<HashMap<OwnedUserId, Arc<Notify>>>,
    news: mpsc::Sender<Moment>,
    /// Says that something of the moment changed, to whoever looks for itself what it was.
    stirs: watch::Sender<()>,
}

/// Somebody's wait for news. However it ends, also when they hang up, they no longer count as waiting.
pub struct Bell<'l> {
    live: &'l Live,
    user_id: OwnedUserId,
    rings: Arc<Notify>,
}

impl Bell<'_> {
    /// Comes when it rings.
    pub fn rung(&self) -> Notified<'_> {
        self.rings.notified()
    }
}

impl Drop for Bell<'_> {
    fn drop(&mut self) {
        let mut waiting = self.live.waiting();
        // The map's own and this one are the last two.
        if Arc::strong_count(&self.rings) <= 2 {
            waiting.remove(&self.user_id);
        }
    }
}

/// Moments that may wait to be told; when it is full, those who poll find them at their next turn.
const NEWS: usize = 1_024;
/// People shown as typing in one room at once; further ones are not shown.
const TYPISTS: usize = 100;
/// Whoever has not asked for news so long is away, in milliseconds.
const AWAY_AFTER_MS: i64 = 60_000;
/// Whoever is elsewhere and of whom nothing has been heard so long is away, in milliseconds: other servers
/// say it again before.
pub(super) const AWAY_ELSEWHERE_MS: i64 = 30 * 60 * 1_000;
/// How long after it was told somebody's presence is told again, in milliseconds.
const PRESENCE_RETOLD_MS: i64 = 20 * 60 * 1_000;
/// By how much longer somebody types than was told when it is told again, in milliseconds.
const TYPING_RETOLD_MS: i64 = 30_000;
/// Whoever has been away so long is not remembered any more, in milliseconds.
const FORGOTTEN_AFTER_MS: i64 = 24 * 60 * 60 * 1_000;
/// People whose presence is remembered; of those away, the ones gone longest make room.
const PRESENT: usize = 100_000;
/// How long it is remembered that nobody types in a room any more, in milliseconds.
const TYPING_ENDED_MS: i64 = 10 * 60 * 1_000;

impl Live {
    /// An empty moment, and where its news come out.
    #[must_use]
    pub fn new(boot: u32) -> (Self, mpsc::Receiver<Moment>) {
        let (news, heard) = mpsc::channel(NEWS);
        let (moments, waiting) = (Mutex::default(), Mutex::default());
        let live = Self { boot, moments, waiting, news, stirs: watch::Sender::new(()) };
        (live, heard)
    }

    /// Which start of the process this is.
    #[must_use]
    pub fn boot(&self) -> u32 {
        self.boot
    }

    /// The count of all moments so far.
    #[must_use]
    pub fn serial(&self) -> u64 {
        self.moments().serial
    }

    /// Notes that somebody types in a room until then, or no longer.
    pub fn set_typing(&self, room_no: i64, user_id: &UserId, until_ms: Option<i64>) {
        let mut moments = self.moments();
        let serial = moments.serial + 1;
        let changed = if let Some(until_ms) = until_ms {
            let typists = moments.typing.entry(room_no).or_default();
            let known = typists.until_ms.contains_key(user_id);
            if !known && typists.until_ms.len() >= TYPISTS {
                return;
            }
            typists.until_ms.insert(user_id.to_owned(), until_ms);
            // Other servers believe for a while only that somebody types.
            let told = typists.told.get(user_id).filter(|_| known);
            let again = told.is_none_or(|(told_ms, _)| until_ms - told_ms >= TYPING_RETOLD_MS);
            if again {
                typists.told.insert(user_id.to_owned(), (until_ms, serial));
            }
            again.then_some(typists)
        } else {
            let typists = moments.typing.get_mut(&room_no);
            typists.and_then(|it| {
                it.told.remove(user_id);
                it.until_ms.remove(user_id).is_some().then_some(it)
            })
        };
        if let Some(typists) = changed {
            typists.serial = serial;
            moments.serial = serial;
            drop(moments);
            self.tell(Moment::Typing(room_no));
        }
    }

    /// The count up to which nothing is remembered of rooms in which nobody types any more.
    #[must_use]
    pub fn typing_floor(&self) -> u64 {
        self.moments().typing_floor
    }

    /// Who types in a room, if that changed after a count.
    #[must_use]
    pub fn typing_since(&self, room_no: i64, serial: u64) -> Option<Vec<OwnedUserId>> {
        let moments = self.moments();
        let typists = moments.typing.get(&room_no).filter(|it| it.serial > serial)?;
        Some(typists.until_ms.keys().cloned().collect())
    }

    /// Those of whom it was told after a count that they type in a room, perhaps not for the first time.
    #[must_use]
    pub fn types_on_since(&self, room_no: i64, serial: u64) -> BTreeSet<OwnedUserId> {
        let moments = self.moments();
        let told = moments.typing.get(&room_no).into_iter().flat_map(|it| &it.told);
        told.filter(|(_, (_, at))| *at > serial).map(|(user_id, _)| user_id.clone()).collect()
    }

    /// Whether anybody types anywhere.
    #[must_use]
    pub fn anybody_types(&self) -> bool {
        self.moments().typing.values().any(|it| !it.until_ms.is_empty())
    }

    /// The rooms in which typing changed after a count.
    #[must_use]
    pub fn rooms_typing_since(&self, serial: u64) -> Vec<i64> {
        let moments = self.moments();
        moments.typing.iter().filter(|(_, it)| it.serial > serial).map(|(room, _)| *room).collect()
    }

    /// Notes how somebody is present. Asking for news again changes nothing that others must hear.
    pub fn set_presence(
        &self,
        user_id: &UserId,
        presence: Presence,
        status: Option<Option<String>>,
        now_ms: i64,
    ) {
        let moments = self.moments();
        let before = moments.present.get(user_id);
        let status = status.unwrap_or_else(|| before.and_then(|it| it.status.clone()));
        let active_ms = match before {
            Some(before) if presence != Presence::Online => before.active_ms,
            _ => now_ms,
        };
        let whereabouts = before.and_then(|it| it.whereabouts.clone());
        let told = FromAfar { presence, status, active_ms, whereabouts };
        self.note_presence(moments, user_id, told, AWAY_AFTER_MS, now_ms);
    }

    /// Notes in which world somebody of this node is, or that they are in none any more: whoever is in a
    /// world is there.
    pub fn set_whereabouts(&self, user_id: &UserId, now: Option<Whereabouts>, now_ms: i64) {
        let moments = self.moments();
        let before = moments.present.get(user_id);
        if now.is_none() && before.is_none_or(|it| it.whereabouts.is_none()) {
            return;
        }
        let status = before.and_then(|it| it.status.clone());
        let presence = match (before, &now) {
            (_, Some(_)) => Presence::Online,
            (before, None) => before.map_or(Presence::Offline, |it| it.presence),
        };
        let active_ms = before.filter(|_| now.is_none()).map_or(now_ms, |it| it.active_ms);
        // Whoever is in a world may have no program that asks for news.
        let lasts_ms = now.as_ref().map_or(0, |it| it.until_ms - now_ms);
        let told = FromAfar { presence, status, active_ms, whereabouts: now.map(Arc::new) };
        self.note_presence(moments, user_id, told, AWAY_AFTER_MS.max(lasts_ms), now_ms);
    }

    /// Notes how somebody elsewhere is present.
    pub fn hear_presence(&self, user_id: &UserId, told: FromAfar, now_ms: i64) {
        self.note_presence(self.moments(), user_id, told, AWAY_ELSEWHERE_MS, now_ms);
    }

    fn note_presence(
        &self,
        mut moments: MutexGuard<'_, Moments>,
        user_id: &UserId,
        FromAfar { presence, status, active_ms, whereabouts }: FromAfar,
        away_after_ms: i64,
        now_ms: i64,
    ) {
        // Who is there is told again now and then, since other servers believe it for a while only.
        let retold = |it: &&Present| {
            presence == Presence::Offline || now_ms - it.told_ms < PRESENCE_RETOLD_MS
        };
        let before = moments.present.get(user_id);
        let whereabouts = whereabouts.filter(|it| it.until_ms > now_ms);
        let whereabouts = whereabouts.filter(|_| presence != Presence::Offline);
        let as_told = |before: &Option<Arc<Whereabouts>>| match (before, &whereabouts) {
            (Some(before), Some(now)) => before.is_told_as(now),
            (before, now) => before.is_none() && now.is_none(),
        };
        let same = before.filter(|it| it.presence == presence && it.status == status);
        let same = same.filter(|it| as_told(&it.whereabouts));
        let same = same.filter(retold).map(|it| it.told_ms);
        let told_ms = same.unwrap_or(now_ms);
        let asked_ms = now_ms;
        let present = Present {
            presence,
            status,
            active_ms,
            whereabouts,
            asked_ms,
            away_after_ms,
            told_ms,
            serial: 0,
        };
        moments.put_present(user_id, present, same.is_none());
        drop(moments);
        if same.is_none() {
            self.tell(Moment::Presence(user_id.to_owned()));
        }
    }

    /// How somebody is present, if they were since the start.
    #[must_use]
    pub fn presence(&self, user_id: &UserId) -> Option<Present> {
        self.moments().present.get(user_id).cloned()
    }

    /// Everybody whose presence is known and who is not away.
    #[must_use]
    pub fn present(&self) -> Vec<OwnedUserId> {
        let moments = self.moments();
        let there = moments.present.iter().filter(|(_, it)| it.presence != Presence::Offline);
        there.map(|(user, _)| user.clone()).collect()
    }

    /// Whose presence changed after a count; to those who know nothing yet, who is away says nothing.
    #[must_use]
    pub fn present_since(&self, serial: u64) -> Vec<(OwnedUserId, Present)> {
        let moments = self.moments();
        let changed = moments.present_by_serial.range(serial + 1..).map(|(_, user)| user);
        let known = changed.filter_map(|user| Some((user, moments.present.get(user)?)));
        let news = known.filter(|(_, it)| serial > 0 || it.presence != Presence::Offline);
        news.map(|(user, it)| (user.clone(), it.clone())).collect()
    }

    /// Ends what has lasted too long: typing that was not renewed, people who no longer ask for
    /// news; and forgets what ended long ago. Whether there is more that ends by itself: else nothing
    /// does before something stirs.
    pub fn sweep(&self, now_ms: i64) -> bool {
        let mut told = Vec::new();
        let mut moments = self.moments();
        let (mut serial, mut floor) = (moments.serial, moments.typing_floor);
        moments.typing.retain(|room_no, typists| {
            let before = typists.until_ms.len();
            typists.until_ms.retain(|_, until_ms| *until_ms > now_ms);
            let still = &typists.until_ms;
            typists.told.retain(|user_id, _| still.contains_key(user_id));
            if typists.until_ms.len() < before {
                serial += 1;
                typists.serial = serial;
                told.push(Moment::Typing(*room_no));
            }
            if !typists.until_ms.is_empty() {
                typists.ended_ms = None;
                return true;
            }
            let past = now_ms - *typists.ended_ms.get_or_insert(now_ms) > TYPING_ENDED_MS;
            if past {
                floor = floor.max(typists.serial);
            }
            !past
        });
        (moments.serial, moments.typing_floor) = (serial, floor);
        let waiting = self.waiting();
        let gone: Vec<OwnedUserId> = moments
            .present
            .iter()
            .filter(|(user, it)| {
                it.presence != Presence::Offline
                    && now_ms - it.asked_ms > it.away_after_ms
                    && !waiting.contains_key(*user)
            })
            .map(|(user, _)| user.clone())
            .collect();
        drop(waiting);
        for user in gone {
            if let Some(present) = moments.present.get(&user).cloned() {
                let away = Present { presence: Presence::Offline, whereabouts: None, ..present };
                moments.put_present(&user, away, true);
                told.push(Moment::Presence(user));
            }
        }
        let past = |it: &&Present| it.whereabouts.as_ref().is_some_and(|it| it.until_ms <= now_ms);
        let nowhere: Vec<OwnedUserId> =
            moments.present.iter().filter(|(_, it)| past(it)).map(|it| it.0.clone()).collect();
        for user in nowhere {
            if let Some(present) = moments.present.get(&user).cloned() {
                moments.put_present(&user, Present { whereabouts: None, ..present }, true);
                told.push(Moment::Presence(user));
            }
        }
        moments.forget_absent(now_ms);
        let types = |it: &Typists| !it.until_ms.is_empty();
        let is_there = |it: &Present| it.presence != Presence::Offline;
        let more = moments.typing.values().any(types) || moments.present.values().any(is_there);
        drop(moments);
        for moment in told {
            self.tell(moment);
        }
        more
    }

    /// What wakes somebody who waits for news.
    #[must_use]
    pub fn bell(&self, user_id: &UserId) -> Bell<'_> {
        let rings = self.waiting().entry(user_id.to_owned()).or_default().clone();
        Bell { live: self, user_id: user_id.to_owned(), rings }
    }

    /// Wakes somebody.
    pub fn ring(&self, user_id: &UserId) {
        if let Some(bell) = self.waiting().get(user_id) {
            bell.notify_waiters();
        }
    }

    /// Wakes everybody who waits and for whom `concerned` holds.
    pub fn ring_all(&self, concerned: impl Fn(&UserId) -> bool) {
        for (user_id, bell) in self.waiting().iter() {
            if concerned(user_id) {
                bell.notify_waiters();
            }
        }
    }

    /// How many people wait for news.
    #[must_use]
    pub fn waiting_count(&self) -> usize {
        self.waiting().len()
    }

    /// Hears whenever something of the moment changed.
    #[must_use]
    pub fn stirs(&self) -> watch::Receiver<()> {
        self.stirs.subscribe()
    }

    fn tell(&self, moment: Moment) {
        self.stirs.send_replace(());
        // When the queue is full the news is not lost: it stands in the map until somebody asks.
        let _full = self.news.try_send(moment);
    }

    fn moments(&self) -> MutexGuard<'_, Moments> {
        self.moments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<OwnedUserId, Arc<Notify>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;

    #[test]
    fn typing_ends_by_itself_and_is_told_once() {
        let (live, mut news) = Live::new(1);
        let ann = user_id!("@ann:a.test");
        live.set_typing(7, ann, None);
        assert_eq!(live.serial(), 0, "whoever did not type ends nothing");
        live.set_typing(7, ann, Some(1_000));
        live.set_typing(7, ann, Some(2_000));
        assert_eq!(live.typing_since(7, 0).unwrap(), [ann.to_owned()]);
        let serial = live.serial();
        assert!(live.sweep(1_500), "typing ends by itself");
        assert!(live.typing_since(7, serial).is_none(), "it was renewed");
        assert!(!live.sweep(2_500), "nothing ends any more");
        assert!(live.typing_since(7, serial).unwrap().is_empty());
        live.sweep(2_500 + TYPING_ENDED_MS);
        assert_eq!((live.typing_floor(), live.rooms_typing_since(0)), (0, vec![7]));
        live.sweep(2_501 + TYPING_ENDED_MS);
        assert_eq!((live.typing_floor(), live.rooms_typing_since(0)), (live.serial(), vec![]));
        assert!(matches!(news.try_recv(), Ok(Moment::Typing(7))));
        assert!(matches!(news.try_recv(), Ok(Moment::Typing(7))));
        assert!(news.try_recv().is_err(), "one for the beginning, one for the end");
    }

    #[test]
    fn whoever_stops_asking_goes_away() {
        let (live, _news) = Live::new(1);
        let ann = user_id!("@ann:a.test");
        live.set_presence(ann, Presence::Online, Some(Some("hi".to_owned())), 0);
        let serial = live.serial();
        live.set_presence(ann, Presence::Online, None, 10_000);
        assert_eq!(live.serial(), serial, "asking again is no news");
        live.sweep(AWAY_AFTER_MS + 10_001);
        let now = live.presence(ann).unwrap();
        assert_eq!((now.presence, now.status.as_deref()), (Presence::Offline, Some("hi")));
    }

    #[test]
    fn only_changes_are_told_and_who_is_long_away_is_forgotten() {
        let (live, _news) = Live::new(1);
        let (ann, bob) = (user_id!("@ann:a.test"), user_id!("@bob:a.test"));
        live.set_presence(ann, Presence::Online, None, 0);
        live.set_presence(bob, Presence::Online, None, 0);
        let serial = live.serial();
        live.set_presence(ann, Presence::Unavailable, None, 1);
        let who = |serial| live.present_since(serial).into_iter().map(|(user, _)| user);
        assert_eq!(who(serial).collect::<Vec<_>>(), [ann]);
        assert_eq!(who(0).collect::<Vec<_>>(), [bob, ann], "in the order of the changes");
        live.sweep(AWAY_AFTER_MS + 2);
        assert_eq!((who(serial).count(), who(0).count()), (2, 0));
        live.sweep(FORGOTTEN_AFTER_MS + 2);
        assert_eq!(who(serial).count(), 0);
        assert!(live.presence(ann).is_none());
    }

    #[test]
    fn whoever_hangs_up_while_waiting_goes_away_too() {
        let (live, _news) = Live::new(1);
        let ann = user_id!("@ann:a.test");
        live.set_presence(ann, Presence::Online, None, 0);
        let (phone, desk) = (live.bell(ann), live.bell(ann));
        drop(phone);
        assert!(live.sweep(AWAY_AFTER_MS + 1), "whoever is there goes away some time");
        assert_eq!(live.presence(ann).unwrap().presence, Presence::Online, "one still waits");
        drop(desk);
        assert_eq!(live.waiting_count(), 0);
        assert!(!live.sweep(AWAY_AFTER_MS + 1), "nobody is there");
        assert_eq!(live.presence(ann).unwrap().presence, Presence::Offline);
    }
}
