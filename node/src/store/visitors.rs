//! Which accounts are one person's, as far as this node knows.
//!
//! Those by which people from elsewhere were here, and those that people of this node have with the same DID.

use ruma::{OwnedUserId, UserId};
use wayside_specs::limits;

use super::{Reads, StoreError, Tx, db::LIST_MOST, rooms::Membership};

/// Most accounts of one person that are looked through.
const ACCOUNTS: i64 = 100;
/// How a did:webvh begins that is compared by its SCID.
const WEBVH: &str = "did:webvh:";

/// The accounts of a person, by what their DID is compared by.
pub async fn accounts_of(
    from: &mut impl Reads,
    subject: &str,
) -> Result<Vec<OwnedUserId>, StoreError> {
    let sql = "SELECT user_id FROM visitors WHERE subject = $1 \
               UNION SELECT user_id FROM provider_links WHERE issuer = 'did' AND subject = $1 \
               UNION SELECT user_id FROM persons WHERE scid = $2 LIMIT $3";
    let scid = subject.strip_prefix(WEBVH).unwrap_or_default();
    let query = from.conn().0.query(sql).bind(subject).bind(scid).bind(ACCOUNTS);
    query.all().await?.iter().map(|row| row.parse(0)).collect()
}

/// What the DIDs of somebody are compared by, as far as they are known here.
pub async fn subjects_of(
    from: &mut impl Reads,
    user_id: &UserId,
) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT subject FROM visitors WHERE user_id = $1 \
               UNION SELECT subject FROM provider_links WHERE issuer = 'did' AND user_id = $1 \
               UNION SELECT $2 || scid FROM persons WHERE user_id = $1 LIMIT $3";
    let query = from.conn().0.query(sql).bind(user_id.as_str()).bind(WEBVH).bind(ACCOUNTS);
    query.all().await?.iter().map(|row| row.get(0)).collect()
}

/// The one person whose an account is known here to be, by what their did:webvh is compared by; nobody where it was
/// that of several, since whoever comes to hold the name of its server can make it anybody's.
pub async fn only_person_of(
    from: &mut impl Reads,
    user_id: &UserId,
) -> Result<Option<String>, StoreError> {
    let mut subjects = subjects_of(from, user_id).await?;
    subjects.retain(|subject| subject.starts_with(WEBVH));
    Ok(if subjects.len() == 1 { subjects.pop() } else { None })
}

/// Whether an account is known here as that of another person than this one, by a did:webvh.
pub async fn is_of_another(
    from: &mut impl Reads,
    user_id: &UserId,
    subject: &str,
) -> Result<bool, StoreError> {
    let subjects = subjects_of(from, user_id).await?;
    Ok(subjects.iter().any(|known| known.starts_with(WEBVH) && known != subject))
}

/// By what the DIDs of these people are compared, and their other accounts, as far as both are known here.
pub async fn persons_of(
    from: &mut impl Reads,
    people: &[&UserId],
) -> Result<(Vec<String>, Vec<OwnedUserId>), StoreError> {
    let sql = "SELECT subject FROM visitors WHERE user_id IN (LIST) LIMIT $1";
    let of_here = "SELECT $1 || scid FROM persons WHERE user_id IN (LIST)";
    let linked = "SELECT subject FROM provider_links WHERE issuer = 'did' AND user_id IN (LIST)";
    let mut subjects = Vec::new();
    for chunk in people.chunks(LIST_MOST) {
        let names: Vec<&str> = chunk.iter().map(|one| one.as_str()).collect();
        let queries = [
            from.conn().0.query(sql).bind(limits::VISITORS).list(&names).all().await?,
            from.conn().0.query(of_here).bind(WEBVH).list(&names).all().await?,
            from.conn().0.query(linked).list(&names).all().await?,
        ];
        for row in queries.iter().flatten() {
            subjects.push(row.get(0)?);
        }
    }
    subjects.sort();
    subjects.dedup();
    let mut accounts = Vec::new();
    let sql = "SELECT user_id FROM visitors WHERE subject IN (LIST) LIMIT $1";
    let of_here = "SELECT user_id FROM persons WHERE scid IN (LIST)";
    let linked = "SELECT user_id FROM provider_links WHERE issuer = 'did' AND subject IN (LIST)";
    for chunk in subjects.chunks(LIST_MOST) {
        let names: Vec<&str> = chunk.iter().map(String::as_str).collect();
        let scids: Vec<&str> = names.iter().filter_map(|it| it.strip_prefix(WEBVH)).collect();
        let queries = [
            from.conn().0.query(sql).bind(limits::VISITORS).list(&names).all().await?,
            from.conn().0.query(of_here).list(&scids).all().await?,
            from.conn().0.query(linked).list(&names).all().await?,
        ];
        for row in queries.iter().flatten() {
            accounts.push(row.parse(0)?);
        }
    }
    Ok((subjects, accounts))
}

impl Tx {
    /// Notes that somebody is here by an account.
    pub async fn see_visitor(
        &mut self,
        subject: &str,
        user_id: &UserId,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO visitors (subject, user_id, seen_ms) VALUES ($1, $2, $3) \
                   ON CONFLICT (subject, user_id) DO UPDATE SET seen_ms = excluded.seen_ms";
        let query = self.query(sql).bind(subject).bind(user_id.as_str()).bind(now_ms);
        query.run().await.map(drop)
    }

    /// Forgets of those who were here, and are shut out of no room, whoever was not for the longest, beyond
    /// [`limits::VISITORS`]; how many.
    pub async fn forget_visitors(&mut self) -> Result<u64, StoreError> {
        let sql = "DELETE FROM visitors WHERE seen_ms < \
                   (SELECT seen_ms FROM visitors ORDER BY seen_ms DESC LIMIT 1 OFFSET $1) \
                   AND kept = 0 AND NOT EXISTS (SELECT 1 FROM memberships \
                   WHERE memberships.user_id = visitors.user_id AND memberships.membership = $2)";
        let query = self.query(sql).bind(limits::VISITORS).bind(Membership::Ban.as_str());
        query.run().await
    }
}
