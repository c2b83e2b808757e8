//! Where people want to be told of what happens, and what their gateways have been told.

use ruma::{DeviceId, OwnedDeviceId, OwnedUserId, UserId};

use super::{Reads, StoreError, Tx, db::Row};

/// What tells a pusher from all others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PusherKey {
    /// Whose it is.
    pub user_id: OwnedUserId,
    /// The application that is told.
    pub app_id: String,
    /// Where the application is, as its gateway knows it.
    pub pushkey: String,
}

/// A pusher.
#[derive(Clone, Debug)]
pub struct Pusher {
    /// What tells it from others.
    pub key: PusherKey,
    /// The device that set it.
    pub device_id: OwnedDeviceId,
    /// What the application is called.
    pub app_name: String,
    /// What its device is called.
    pub device_name: String,
    /// Which rules of the device it is for.
    pub profile_tag: Option<String>,
    /// The language to tell in.
    pub lang: String,
    /// What the application keeps with it: a JSON object.
    pub data: String,
    /// When it was set, in milliseconds since the epoch.
    pub set_ms: i64,
    /// Up to where in the stream its gateway was told of events.
    pub reached: i64,
    /// How many unread events it was told last.
    pub badge: i64,
    /// Since when its gateway has not answered, in milliseconds since the epoch.
    pub failing_ms: Option<i64>,
}

/// Rows of one question; whoever asks for all goes on behind the last.
const PAGE: i64 = 1_000;

/// The pushers of a person, the oldest first; at most `limit`.
pub async fn of_person(
    from: &mut impl Reads,
    user_id: &UserId,
    limit: i64,
) -> Result<Vec<Pusher>, StoreError> {
    let sql = "SELECT user_id, app_id, pushkey, device_id, app_name, device_name, profile_tag, lang, data, \
               set_ms, reached, badge, failing_ms FROM pushers WHERE user_id = $1 \
               ORDER BY set_ms, app_id, pushkey LIMIT $2";
    let rows = from.conn().0.query(sql).bind(user_id.as_str()).bind(limit).all().await?;
    rows.iter().map(read).collect()
}

/// One pusher.
pub async fn pusher(from: &mut impl Reads, key: &PusherKey) -> Result<Option<Pusher>, StoreError> {
    let sql = "SELECT user_id, app_id, pushkey, device_id, app_name, device_name, profile_tag, lang, data, \
               set_ms, reached, badge, failing_ms FROM pushers \
               WHERE user_id = $1 AND app_id = $2 AND pushkey = $3";
    let query = from.conn().0.query(sql).bind(key.user_id.as_str());
    let row = query.bind(key.app_id.as_str()).bind(key.pushkey.as_str()).one().await?;
    row.as_ref().map(read).transpose()
}

/// Everybody who has a pusher.
pub async fn people(from: &mut impl Reads) -> Result<Vec<OwnedUserId>, StoreError> {
    let sql = "SELECT DISTINCT user_id FROM pushers WHERE user_id > $1 ORDER BY user_id LIMIT $2";
    paged(from, sql).await
}

/// Those for whose pushers something may be left to do: who have unread events, whose gateways show
/// some or do not answer, or who were invited since.
pub async fn people_left(from: &mut impl Reads) -> Result<Vec<OwnedUserId>, StoreError> {
    let sql = "SELECT DISTINCT p.user_id FROM pushers p WHERE p.user_id > $1 AND (p.badge <> 0 \
               OR p.failing_ms IS NOT NULL \
               OR EXISTS (SELECT 1 FROM unread u WHERE u.user_id = p.user_id) \
               OR EXISTS (SELECT 1 FROM memberships m WHERE m.user_id = p.user_id \
               AND m.membership = 'invite' AND m.position > p.reached)) \
               ORDER BY p.user_id LIMIT $2";
    paged(from, sql).await
}

async fn paged(from: &mut impl Reads, sql: &'static str) -> Result<Vec<OwnedUserId>, StoreError> {
    let mut found: Vec<OwnedUserId> = Vec::new();
    loop {
        let behind = found.last().map_or("", |user_id| user_id.as_str());
        let rows = from.conn().0.query(sql).bind(behind).bind(PAGE).all().await?;
        for row in &rows {
            found.push(row.parse(0)?);
        }
        if i64::try_from(rows.len()).is_ok_and(|count| count < PAGE) {
            return Ok(found);
        }
    }
}

fn read(row: &Row) -> Result<Pusher, StoreError> {
    let device_id: String = row.get(3)?;
    Ok(Pusher {
        key: PusherKey { user_id: row.parse(0)?, app_id: row.get(1)?, pushkey: row.get(2)? },
        device_id: device_id.into(),
        app_name: row.get(4)?,
        device_name: row.get(5)?,
        profile_tag: row.get(6)?,
        lang: row.get(7)?,
        data: row.get(8)?,
        set_ms: row.get(9)?,
        reached: row.get(10)?,
        badge: row.get(11)?,
        failing_ms: row.get(12)?,
    })
}

impl Tx {
    /// Sets a pusher. What a new one is told begins now; one that was there goes on where it was.
    pub async fn set_pusher(&mut self, pusher: &Pusher) -> Result<(), StoreError> {
        let now = self.next_number();
        let sql = "INSERT INTO pushers (user_id, app_id, pushkey, device_id, app_name, device_name, \
                   profile_tag, lang, data, set_ms, reached, badge) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0) \
                   ON CONFLICT (user_id, app_id, pushkey) DO UPDATE SET device_id = excluded.device_id, \
                   app_name = excluded.app_name, device_name = excluded.device_name, \
                   profile_tag = excluded.profile_tag, lang = excluded.lang, data = excluded.data, \
                   set_ms = excluded.set_ms, failing_ms = NULL";
        let key = &pusher.key;
        self.query(sql)
            .bind(key.user_id.as_str())
            .bind(key.app_id.as_str())
            .bind(key.pushkey.as_str())
            .bind(pusher.device_id.as_str())
            .bind(pusher.app_name.as_str())
            .bind(pusher.device_name.as_str())
            .bind(pusher.profile_tag.as_deref())
            .bind(pusher.lang.as_str())
            .bind(pusher.data.as_str())
            .bind(pusher.set_ms)
            .bind(now)
            .run()
            .await
            .map(drop)
    }

    /// Removes a pusher; one that was set again at another time than `set_ms` stays, if that is given.
    pub async fn remove_pusher(
        &mut self,
        key: &PusherKey,
        set_ms: Option<i64>,
    ) -> Result<(), StoreError> {
        let sql = "DELETE FROM pushers WHERE user_id = $1 AND app_id = $2 AND pushkey = $3 \
                   AND set_ms = COALESCE($4, set_ms)";
        let query = self.query(sql).bind(key.user_id.as_str()).bind(key.app_id.as_str());
        query.bind(key.pushkey.as_str()).bind(set_ms).run().await.map(drop)
    }

    /// Removes the pushers of others that lead to the same place.
    pub async fn remove_pushers_of_others(&mut self, key: &PusherKey) -> Result<(), StoreError> {
        let sql = "DELETE FROM pushers WHERE app_id = $1 AND pushkey = $2 AND user_id <> $3";
        let query = self.query(sql).bind(key.app_id.as_str()).bind(key.pushkey.as_str());
        query.bind(key.user_id.as_str()).run().await.map(drop)
    }

    /// Removes the pushers that a device set, which has been signed out.
    pub(super) async fn forget_pushers(
        &mut self,
        user_id: &UserId,
        device_id: &DeviceId,
    ) -> Result<(), StoreError> {
        let sql = "DELETE FROM pushers WHERE user_id = $1 AND device_id = $2";
        let query = self.query(sql).bind(user_id.as_str()).bind(device_id.as_str());
        query.run().await.map(drop)
    }

    /// Notes what the gateway of a pusher was told, and that it answers.
    pub async fn note_pushed(
        &mut self,
        key: &PusherKey,
        reached: i64,
        badge: i64,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE pushers SET reached = $4, badge = $5, failing_ms = NULL \
                   WHERE user_id = $1 AND app_id = $2 AND pushkey = $3 AND reached <= $4";
        let query = self.query(sql).bind(key.user_id.as_str()).bind(key.app_id.as_str());
        query.bind(key.pushkey.as_str()).bind(reached).bind(badge).run().await.map(drop)
    }

    /// Notes since when the gateway of a pusher does not answer.
    pub async fn note_push_failing(
        &mut self,
        key: &PusherKey,
        since_ms: i64,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE pushers SET failing_ms = COALESCE(failing_ms, $4) \
                   WHERE user_id = $1 AND app_id = $2 AND pushkey = $3";
        let query = self.query(sql).bind(key.user_id.as_str()).bind(key.app_id.as_str());
        query.bind(key.pushkey.as_str()).bind(since_ms).run().await.map(drop)
    }

    /// Notes that a pusher is told no more of what came before, though its gateway did not answer.
    pub async fn give_pushes_up(
        &mut self,
        key: &PusherKey,
        reached: i64,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE pushers SET reached = $4 \
                   WHERE user_id = $1 AND app_id = $2 AND pushkey = $3 AND reached < $4";
        let query = self.query(sql).bind(key.user_id.as_str()).bind(key.app_id.as_str());
        query.bind(key.pushkey.as_str()).bind(reached).run().await.map(drop)
    }
}
