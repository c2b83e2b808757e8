//! Which version was seen last of each did:webvh, so that nobody is shown an older one.

use wayside_specs::{Did, limits};

use super::{Reads, StoreError, Tx};

/// A version of a did:webvh that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenDid {
    /// What proves itself, and stays whatever the DID is called.
    pub scid: String,
    /// The number of the version, from 1.
    pub version: i64,
    /// The hash of its entry.
    pub hash: String,
    /// What it calls the DID.
    pub did: Did,
}

/// The newest version that was seen.
pub async fn seen(from: &mut impl Reads, scid: &str) -> Result<Option<SeenDid>, StoreError> {
    let sql = "SELECT scid, version, hash, did FROM dids WHERE scid = $1";
    let row = from.conn().0.query(sql).bind(scid).one().await?;
    let read = |row: &super::db::Row| {
        let (scid, version, hash, did) = (row.get(0)?, row.get(1)?, row.get(2)?, row.parse(3)?);
        Ok(SeenDid { scid, version, hash, did })
    };
    row.as_ref().map(read).transpose()
}

impl Tx {
    /// Keeps that a version was seen, which the caller has found to go on from the one before.
    pub async fn keep_seen_did(&mut self, seen: &SeenDid, now_ms: i64) -> Result<(), StoreError> {
        let sql = "INSERT INTO dids (scid, version, hash, did, seen_ms) \
                   VALUES ($1, $2, $3, $4, $5) ON CONFLICT (scid) DO UPDATE SET \
                   version = excluded.version, hash = excluded.hash, did = excluded.did, \
                   seen_ms = excluded.seen_ms";
        let query = self.query(sql).bind(seen.scid.as_str()).bind(seen.version);
        let query = query.bind(seen.hash.as_str()).bind(seen.did.as_str()).bind(now_ms);
        query.run().await.map(drop)
    }

    /// Forgets of the DIDs that were seen those that nobody asked for the longest, beyond
    /// [`limits::SEEN_DIDS`], but for those of people who live here; how many.
    pub async fn forget_seen_dids(&mut self) -> Result<u64, StoreError> {
        let sql = "DELETE FROM dids WHERE seen_ms < \
                   (SELECT seen_ms FROM dids ORDER BY seen_ms DESC LIMIT 1 OFFSET $1) \
                   AND NOT EXISTS (SELECT 1 FROM persons WHERE persons.scid = dids.scid)";
        self.query(sql).bind(limits::SEEN_DIDS).run().await
    }
}
