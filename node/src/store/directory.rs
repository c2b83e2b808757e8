//! Under which names rooms are found, and which directories list them.

use ruma::{OwnedRoomAliasId, OwnedUserId, RoomAliasId, UserId};

use super::{
    Reads, StoreError, Tx,
    db::Query,
    rooms::{RoomRow, read_room},
};

/// The room that an alias names, and who gave it.
pub async fn alias(
    from: &mut impl Reads,
    alias: &RoomAliasId,
) -> Result<Option<(i64, OwnedUserId)>, StoreError> {
    let sql = "SELECT room_no, created_by FROM aliases WHERE alias = $1";
    let row = from.conn().0.query(sql).bind(alias.as_str()).one().await?;
    row.map(|row| Ok((row.get(0)?, row.parse(1)?))).transpose()
}

/// The aliases of a room.
pub async fn aliases_of(
    from: &mut impl Reads,
    room_no: i64,
) -> Result<Vec<OwnedRoomAliasId>, StoreError> {
    let sql = "SELECT alias FROM aliases WHERE room_no = $1 ORDER BY alias LIMIT 100";
    let rows = from.conn().0.query(sql).bind(room_no).all().await?;
    rows.iter().map(|row| row.parse(0)).collect()
}

/// Whose directory of rooms is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// This node's own.
    #[default]
    Own,
    /// All together.
    All,
    /// That of a network to which an application service leads.
    One {
        /// The service.
        service: String,
        /// What it calls the network.
        network: String,
    },
}

/// A question for rooms of a directory: what of them, and what must stand behind the condition. The
/// name of a network is bound last.
macro_rules! listed {
    ($what:literal, $network:expr, $rest:literal, $at:literal, $next:literal) => {
        match $network {
            Network::Own => concat!("SELECT ", $what, " FROM rooms WHERE published = 1", $rest),
            Network::All => concat!(
                "SELECT ",
                $what,
                " FROM rooms WHERE (published = 1 OR EXISTS (SELECT 1 FROM network_rooms n \
                 WHERE n.room_no = rooms.room_no))",
                $rest
            ),
            Network::One { .. } => concat!(
                "SELECT ",
                $what,
                " FROM rooms WHERE EXISTS (SELECT 1 FROM network_rooms n \
                 WHERE n.room_no = rooms.room_no AND n.service = ",
                $at,
                " AND n.network = ",
                $next,
                ")",
                $rest
            ),
        }
    };
}

fn of_network<'q>(query: Query<'q>, network: &Network) -> Query<'q> {
    match network {
        Network::Own | Network::All => query,
        Network::One { service, network } => query.bind(service.as_str()).bind(network.as_str()),
    }
}

/// A directory from the fullest room downwards, starting behind `(joined, room_no)`.
pub async fn public(
    from: &mut impl Reads,
    network: &Network,
    behind: Option<(i64, i64)>,
    limit: i64,
) -> Result<Vec<RoomRow>, StoreError> {
    let (joined, room_no) = behind.unwrap_or((i64::MAX, i64::MAX));
    let sql = listed!(
        "room_no, room_id, version, kind, heads, state_root, last_position, joined, invited, published, others, \
         since_depth",
        network,
        " AND (joined < $1 OR (joined = $1 AND room_no < $2)) ORDER BY joined DESC, room_no DESC LIMIT $3",
        "$4",
        "$5"
    );
    let query = from.conn().0.query(sql).bind(joined).bind(room_no).bind(limit);
    of_network(query, network).all().await?.iter().map(read_room).collect()
}

/// The part of a directory before `(joined, room_no)`, the nearest room first.
pub async fn public_before(
    from: &mut impl Reads,
    network: &Network,
    before: (i64, i64),
    limit: i64,
) -> Result<Vec<RoomRow>, StoreError> {
    let sql = listed!(
        "room_no, room_id, version, kind, heads, state_root, last_position, joined, invited, published, others, \
         since_depth",
        network,
        " AND (joined > $1 OR (joined = $1 AND room_no > $2)) ORDER BY joined ASC, room_no ASC LIMIT $3",
        "$4",
        "$5"
    );
    let query = from.conn().0.query(sql).bind(before.0).bind(before.1).bind(limit);
    of_network(query, network).all().await?.iter().map(read_room).collect()
}

/// How many rooms a directory holds.
pub async fn public_count(from: &mut impl Reads, network: &Network) -> Result<i64, StoreError> {
    let sql = listed!("count(*)", network, "", "$1", "$2");
    let row = of_network(from.conn().0.query(sql), network).one().await?;
    row.ok_or(StoreError::Damaged("a count gave no row"))?.get(0)
}

/// How many places a service has taken in the directories of its networks.
pub async fn networked(from: &mut impl Reads, service: &str) -> Result<i64, StoreError> {
    let sql = "SELECT count(*) FROM network_rooms WHERE service = $1";
    let row = from.conn().0.query(sql).bind(service).one().await?;
    row.ok_or(StoreError::Damaged("a count gave no row"))?.get(0)
}

impl Tx {
    /// Lists a room in the public directory, or takes it off.
    pub async fn publish_room(&mut self, room_no: i64, published: bool) -> Result<(), StoreError> {
        self.query("UPDATE rooms SET published = $2 WHERE room_no = $1")
            .bind(room_no)
            .bind(published)
            .run()
            .await
            .map(drop)
    }

    /// Lists a room in the directory of a network, or takes it off.
    pub async fn list_on_network(
        &mut self,
        service: &str,
        network: &str,
        room_no: i64,
        listed: bool,
    ) -> Result<(), StoreError> {
        let sql = if listed {
            "INSERT INTO network_rooms (service, network, room_no) VALUES ($1, $2, $3) \
             ON CONFLICT (service, network, room_no) DO NOTHING"
        } else {
            "DELETE FROM network_rooms WHERE service = $1 AND network = $2 AND room_no = $3"
        };
        self.query(sql).bind(service).bind(network).bind(room_no).run().await.map(drop)
    }

    /// Names a room; [`StoreError::Taken`] where the alias names one already.
    pub async fn add_alias(
        &mut self,
        alias: &RoomAliasId,
        room_no: i64,
        created_by: &UserId,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO aliases (alias, room_no, created_by) VALUES ($1, $2, $3) \
                   ON CONFLICT (alias) DO NOTHING";
        let added = self
            .query(sql)
            .bind(alias.as_str())
            .bind(room_no)
            .bind(created_by.as_str())
            .run()
            .await?;
        if added == 0 { Err(StoreError::Taken) } else { Ok(()) }
    }

    /// Lets all names of a room name another one.
    pub async fn move_aliases(&mut self, from: i64, to: i64) -> Result<(), StoreError> {
        let sql = "UPDATE aliases SET room_no = $2 WHERE room_no = $1";
        self.query(sql).bind(from).bind(to).run().await.map(drop)
    }

    /// Takes all names of a room away.
    pub async fn remove_aliases(&mut self, room_no: i64) -> Result<(), StoreError> {
        let sql = "DELETE FROM aliases WHERE room_no = $1";
        self.query(sql).bind(room_no).run().await.map(drop)
    }

    /// Takes a name away; false where nothing has it.
    pub async fn remove_alias(&mut self, alias: &RoomAliasId) -> Result<bool, StoreError> {
        let sql = "DELETE FROM aliases WHERE alias = $1";
        Ok(self.query(sql).bind(alias.as_str()).run().await? > 0)
    }
}
