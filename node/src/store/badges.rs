//! What this node gives people, what its people hold, and who was let in for what they showed.

use ruma::{OwnedUserId, UserId};
use wayside_specs::limits;

use super::{Reads, StoreError, Tx, db::Row};

/// Something that this node has given.
#[derive(Clone, Debug)]
pub struct Given {
    /// Its number.
    pub given_no: i64,
    /// To whom.
    pub user_id: OwnedUserId,
    /// By what their DID is compared.
    pub subject: String,
    /// The credential, as JSON.
    pub credential: String,
    /// Who gave it in the node's name.
    pub giver: String,
    /// The status list that tells whether it was taken back.
    pub list_no: i64,
    /// Its place in that.
    pub bit: i64,
    /// When it was given.
    pub given_ms: i64,
    /// When it was taken back.
    pub taken_back_ms: Option<i64>,
}

/// Something that somebody of this node holds.
#[derive(Clone, Debug)]
pub struct Held {
    /// The hash of the credential.
    pub hash: Vec<u8>,
    /// The credential, as JSON.
    pub credential: String,
    /// Whether everybody is shown it.
    pub shown: bool,
    /// Since when they hold it.
    pub held_ms: i64,
}

/// A badge that this node gives: id, name and description.
pub type BadgeRow = (String, String, Option<String>);

/// What was given, as [`read_given`] reads it.
macro_rules! given {
    ($where:literal) => {
        concat!(
            "SELECT given_no, user_id, subject, credential, giver, list_no, bit, given_ms, taken_back_ms FROM given ",
            $where
        )
    };
}

/// What was given behind a number, to one person or to all, in the order of its numbers.
pub async fn given(
    from: &mut impl Reads,
    to: Option<&UserId>,
    behind: i64,
    most: i64,
) -> Result<Vec<Given>, StoreError> {
    let rows = if let Some(user_id) = to {
        let sql = given!("WHERE user_id = $1 AND given_no > $2 ORDER BY given_no LIMIT $3");
        let query = from.conn().0.query(sql).bind(user_id.as_str()).bind(behind);
        query.bind(most).all().await?
    } else {
        let sql = given!("WHERE given_no > $1 ORDER BY given_no LIMIT $2");
        from.conn().0.query(sql).bind(behind).bind(most).all().await?
    };
    rows.iter().map(read_given).collect()
}

/// The bits of a status list that say that something was taken back.
pub async fn taken_back(from: &mut impl Reads, list_no: i64) -> Result<Vec<i64>, StoreError> {
    let sql = "SELECT bit FROM given WHERE list_no = $1 AND taken_back_ms IS NOT NULL";
    let rows = from.conn().0.query(sql).bind(list_no).all().await?;
    rows.iter().map(|row| row.get(0)).collect()
}

/// Whether a bit of a status list says that something was taken back.
pub async fn is_taken_back(
    from: &mut impl Reads,
    list_no: i64,
    bit: i64,
) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM given WHERE list_no = $1 AND bit = $2 AND taken_back_ms IS NOT NULL";
    let query = from.conn().0.query(sql).bind(list_no).bind(bit);
    Ok(query.one().await?.is_some())
}

/// The newest status list.
pub async fn last_list(from: &mut impl Reads) -> Result<i64, StoreError> {
    let sql = "SELECT list_no FROM given ORDER BY list_no DESC LIMIT 1";
    let row = from.conn().0.query(sql).one().await?;
    row.map_or(Ok(1), |row| row.get(0))
}

/// How many places of a status list are taken.
pub async fn places_taken(from: &mut impl Reads, list_no: i64) -> Result<i64, StoreError> {
    let sql = "SELECT count(*) FROM given WHERE list_no = $1";
    let row = from.conn().0.query(sql).bind(list_no).one().await?;
    row.ok_or(StoreError::Damaged("a count gave no row"))?.get(0)
}

/// What was given to somebody, by what their DID is compared by, and was not taken back, the newest first.
pub async fn given_to(
    from: &mut impl Reads,
    subject: &str,
    most: i64,
) -> Result<Vec<Given>, StoreError> {
    let sql =
        given!("WHERE subject = $1 AND taken_back_ms IS NULL ORDER BY given_no DESC LIMIT $2");
    let rows = from.conn().0.query(sql).bind(subject).bind(most).all().await?;
    rows.iter().map(read_given).collect()
}

/// The badges that this node gives, in the order of their names.
pub async fn badges(from: &mut impl Reads) -> Result<Vec<BadgeRow>, StoreError> {
    let sql = "SELECT badge, name, description FROM badges ORDER BY name, badge";
    let rows = from.conn().0.query(sql).all().await?;
    rows.iter().map(|row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).collect()
}

/// What somebody holds, the newest first.
pub async fn held(from: &mut impl Reads, user_id: &UserId) -> Result<Vec<Held>, StoreError> {
    let sql = "SELECT hash, credential, shown, held_ms FROM held WHERE user_id = $1 \
               ORDER BY held_ms DESC, hash LIMIT $2";
    let query = from.conn().0.query(sql).bind(user_id.as_str()).bind(limits::HELD);
    let read = |row: &Row| {
        let shown = row.get::<i64>(2)? != 0;
        Ok(Held { hash: row.get(0)?, credential: row.get(1)?, shown, held_ms: row.get(3)? })
    };
    query.all().await?.iter().map(read).collect()
}

/// Somebody who was let into a room for what they showed.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// The room.
    pub room_no: i64,
    /// Who.
    pub user_id: OwnedUserId,
    /// What they showed, as JSON.
    pub credential: String,
    /// Until when that is good.
    pub until_ms: Option<i64>,
}

/// For what somebody was let into a room, if they were so.
pub async fn admitted(
    from: &mut impl Reads,
    room_no: i64,
    user_id: &UserId,
) -> Result<Option<Admitted>, StoreError> {
    let sql = "SELECT room_no, user_id, credential, until_ms FROM admitted \
               WHERE room_no = $1 AND user_id = $2";
    let row = from.conn().0.query(sql).bind(room_no).bind(user_id.as_str()).one().await?;
    row.as_ref().map(read_admitted).transpose()
}

/// Those who were let in for what they showed, behind one of them.
pub async fn all_admitted(
    from: &mut impl Reads,
    (room_no, user_id): (i64, &str),
    most: i64,
) -> Result<Vec<Admitted>, StoreError> {
    let sql = "SELECT room_no, user_id, credential, until_ms FROM admitted \
               WHERE room_no > $1 OR (room_no = $1 AND user_id > $2) \
               ORDER BY room_no, user_id LIMIT $3";
    let query = from.conn().0.query(sql).bind(room_no).bind(user_id).bind(most);
    query.all().await?.iter().map(read_admitted).collect()
}

fn read_admitted(row: &Row) -> Result<Admitted, StoreError> {
    Ok(Admitted {
        room_no: row.get(0)?,
        user_id: row.parse(1)?,
        credential: row.get(2)?,
        until_ms: row.get(3)?,
    })
}

fn read_given(row: &Row) -> Result<Given, StoreError> {
    Ok(Given {
        given_no: row.get(0)?,
        user_id: row.parse(1)?,
        subject: row.get(2)?,
        credential: row.get(3)?,
        giver: row.get(4)?,
        list_no: row.get(5)?,
        bit: row.get(6)?,
        given_ms: row.get(7)?,
        taken_back_ms: row.get(8)?,
    })
}

impl Tx {
    /// Keeps what was given, under a number of its own, which it returns; none where its bit is taken.
    pub async fn give(&mut self, given: &Given) -> Result<Option<i64>, StoreError> {
        let number = self.next_number();
        let sql = "INSERT INTO given (given_no, user_id, subject, credential, giver, list_no, bit, given_ms) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (list_no, bit) DO NOTHING";
        let query = self.query(sql).bind(number).bind(given.user_id.as_str());
        let query = query.bind(given.subject.as_str());
        let query = query.bind(given.credential.as_str()).bind(given.giver.as_str());
        let query = query.bind(given.list_no).bind(given.bit).bind(given.given_ms);
        Ok((query.run().await? > 0).then_some(number))
    }

    /// Takes back what was given; whether there was such a thing, and whose it was.
    pub async fn take_back(
        &mut self,
        given_no: i64,
        now_ms: i64,
    ) -> Result<Option<Given>, StoreError> {
        let sql =
            "UPDATE given SET taken_back_ms = $2 WHERE given_no = $1 AND taken_back_ms IS NULL";
        self.query(sql).bind(given_no).bind(now_ms).run().await?;
        let sql = given!("WHERE given_no = $1");
        let row = self.query(sql).bind(given_no).one().await?;
        row.as_ref().map(read_given).transpose()
    }

    /// Gives a badge its name.
    pub async fn name_badge(
        &mut self,
        badge: &str,
        name: &str,
        description: Option<&str>,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO badges (badge, name, description) VALUES ($1, $2, $3) \
                   ON CONFLICT (badge) DO NOTHING";
        self.query(sql).bind(badge).bind(name).bind(description).run().await.map(drop)
    }

    /// Gives a badge no more; whether there was one. What was given stays what it is.
    pub async fn forget_badge(&mut self, badge: &str) -> Result<bool, StoreError> {
        Ok(self.query("DELETE FROM badges WHERE badge = $1").bind(badge).run().await? > 0)
    }

    /// Keeps something that somebody was given; false where they hold as much as one may.
    pub async fn keep_held(&mut self, user_id: &UserId, held: &Held) -> Result<bool, StoreError> {
        let sql = "INSERT INTO held (user_id, hash, credential, shown, held_ms) \
                   SELECT $1, $2, $3, $4, $5 WHERE \
                   (SELECT count(*) FROM held WHERE user_id = $1 AND hash <> $2) < $6 \
                   ON CONFLICT (user_id, hash) DO UPDATE SET credential = excluded.credential";
        let query = self.query(sql).bind(user_id.as_str()).bind(&*held.hash);
        let query = query.bind(held.credential.as_str()).bind(i64::from(held.shown));
        Ok(query.bind(held.held_ms).bind(limits::HELD).run().await? > 0)
    }

    /// Shows everybody something that somebody holds, or no more; false where they do not hold it, or show as
    /// much as one may.
    pub async fn show_held(
        &mut self,
        user_id: &UserId,
        hash: &[u8],
        shown: bool,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE held SET shown = $3 WHERE user_id = $1 AND hash = $2 AND ($3 = 0 OR \
                   (SELECT count(*) FROM held WHERE user_id = $1 AND hash <> $2 AND shown = 1) < $4)";
        let most = i64::try_from(limits::SHOWN_BADGES).unwrap_or(0);
        let query = self.query(sql).bind(user_id.as_str()).bind(hash).bind(i64::from(shown));
        Ok(query.bind(most).run().await? > 0)
    }

    /// Lets somebody hold something no more; whether they did.
    pub async fn drop_held(&mut self, user_id: &UserId, hash: &[u8]) -> Result<bool, StoreError> {
        let sql = "DELETE FROM held WHERE user_id = $1 AND hash = $2";
        Ok(self.query(sql).bind(user_id.as_str()).bind(hash).run().await? > 0)
    }

    /// Forgets all that somebody holds.
    pub async fn forget_held(&mut self, user_id: &UserId) -> Result<(), StoreError> {
        let sql = "DELETE FROM held WHERE user_id = $1";
        self.query(sql).bind(user_id.as_str()).run().await.map(drop)
    }

    /// Notes for what somebody is in a room, and until when that is good.
    pub async fn note_admitted(
        &mut self,
        room_no: i64,
        user_id: &UserId,
        (credential, until_ms): (&str, Option<i64>),
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO admitted (room_no, user_id, credential, until_ms) \
                   VALUES ($1, $2, $3, $4) ON CONFLICT (room_no, user_id) DO UPDATE \
                   SET credential = excluded.credential, until_ms = excluded.until_ms";
        let query = self.query(sql).bind(room_no).bind(user_id.as_str());
        query.bind(credential).bind(until_ms).run().await.map(drop)
    }

    /// Forgets that somebody was.
    pub async fn forget_admitted(
        &mut self,
        room_no: i64,
        user_id: &UserId,
    ) -> Result<(), StoreError> {
        let sql = "DELETE FROM admitted WHERE room_no = $1 AND user_id = $2";
        self.query(sql).bind(room_no).bind(user_id.as_str()).run().await.map(drop)
    }
}
