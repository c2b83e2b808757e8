//! What waits for another server, cut into transactions (server-server API, "Transactions").

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

/// Most events of a room in one transaction (server-server API, `PUT /send/{txnId}`).
pub const PDUS: usize = 50;
/// Most ephemeral data units in one.
pub const EDUS: usize = 100;
/// Most bytes of one: a receiver need not take more, and a smaller one is lost sooner.
const BYTES: usize = 2 * 1024 * 1024;

/// One thing that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its place in the queue.
    pub position: i64,
    /// What it is.
    pub item: Item,
}

/// What is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// An event, as its canonical JSON.
    Pdu(String),
    /// An ephemeral data unit, as JSON.
    Edu(String),
}

/// A transaction to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Its id. It names exactly what the transaction holds: one that is made again after a crash is
    /// the same, and no other ever has its id.
    pub id: String,
    /// The events.
    pub pdus: Vec<String>,
    /// The ephemeral data units.
    pub edus: Vec<String>,
    /// When the transaction has been answered, nothing up to here waits any more; nothing where it
    /// holds only what is of the moment.
    pub upto: Option<i64>,
}

/// Joins the events and the ephemeral data units that wait for a server, each kind in its order and as
/// many as were read, into one queue. Behind the end of a kind of which there may be more, nothing of
/// the other is taken, so that none is passed over.
#[must_use]
pub fn joined(pdus: Vec<Waiting>, edus: Vec<Waiting>) -> Vec<Waiting> {
    let end = |list: &[Waiting], most: usize| {
        let last = list.last().filter(|_| list.len() >= most);
        last.map_or(i64::MAX, |last| last.position)
    };
    let end = end(&pdus, PDUS).min(end(&edus, EDUS));
    let mut all: Vec<Waiting> = pdus.into_iter().chain(edus).collect();
    all.retain(|waiting| waiting.position <= end);
    all.sort_by_key(|waiting| waiting.position);
    all
}

/// Cuts the next transaction from the front of a queue, whose order it keeps, `most` things of it at most,
/// and puts what is of the moment behind it, all or nothing; none where there is neither. What is of the
/// moment may say the same twice, so `lot`, which never comes twice, tells such transactions apart.
#[must_use]
pub fn next(
    waiting: &[Waiting],
    most: usize,
    moments: &[String],
    lot: [u8; 16],
) -> Option<Transaction> {
    let (mut pdus, mut edus, mut bytes) = (Vec::new(), Vec::new(), 0);
    let mut upto = None;
    let mut hash = Sha256::new();
    for Waiting { position, item } in waiting.iter().take(most) {
        let (text, list, most) = match item {
            Item::Pdu(text) => (text, &mut pdus, PDUS),
            Item::Edu(text) => (text, &mut edus, EDUS),
        };
        let is_first = bytes == 0;
        if list.len() == most || (bytes + text.len() > BYTES && !is_first) {
            break;
        }
        bytes += text.len().max(1);
        hash.update(position.to_be_bytes());
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
        list.push(text.clone());
        upto = Some(*position);
    }
    if edus.len() + moments.len() <= EDUS && !moments.is_empty() {
        hash.update(lot);
        edus.extend_from_slice(moments);
    }
    if pdus.is_empty() && edus.is_empty() {
        return None;
    }
    let id = URL_SAFE_NO_PAD.encode(&hash.finalize()[..18]);
    Some(Transaction { id, pdus, edus, upto })
}

/// A transaction that holds nothing, by which is asked whether a server takes any; `lot` never comes twice.
#[must_use]
pub fn nothing(lot: [u8; 16]) -> Transaction {
    let id = URL_SAFE_NO_PAD.encode(&Sha256::digest(lot)[..18]);
    Transaction { id, pdus: Vec::new(), edus: Vec::new(), upto: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The next of what waits, when there is nothing of the moment.
    fn next(waiting: &[Waiting]) -> Option<Transaction> {
        super::next(waiting, usize::MAX, &[], [0; 16])
    }

    fn queue(items: impl IntoIterator<Item = Item>) -> Vec<Waiting> {
        (1..).zip(items).map(|(position, item)| Waiting { position, item }).collect()
    }

    fn pdu(n: usize) -> Item {
        Item::Pdu(format!("{{\"n\":{n}}}"))
    }

    #[test]
    fn transactions_are_full_and_in_order() {
        assert_eq!(next(&[]), None);
        let mut left = queue((0..120).map(pdu));
        let mut sent = Vec::new();
        let mut sizes = Vec::new();
        while let Some(transaction) = next(&left) {
            sizes.push(transaction.pdus.len());
            sent.extend(transaction.pdus);
            left.retain(|waiting| Some(waiting.position) > transaction.upto);
        }
        assert_eq!(sizes, [50, 50, 20]);
        let texts: Vec<String> = (0..120).map(|n| format!("{{\"n\":{n}}}")).collect();
        assert_eq!(sent, texts);
    }

    #[test]
    fn neither_kind_overtakes_the_other() {
        let edu = |n| Item::Edu(format!("{n}"));
        let mixed =
            queue((0..49).map(pdu).chain((0..100).map(edu)).chain([pdu(49), edu(100), pdu(50)]));
        let first = next(&mixed).unwrap();
        assert_eq!((first.pdus.len(), first.edus.len(), first.upto), (50, 100, Some(150)));
        let second = next(&mixed[150..]).unwrap();
        assert_eq!((second.pdus.len(), second.edus.len(), second.upto), (1, 1, Some(152)));
    }

    #[test]
    fn large_ones_go_alone() {
        let large = |n: usize| Item::Edu(format!("{n}").repeat(BYTES));
        let waiting = queue([large(1), large(2), pdu(1)]);
        assert_eq!(next(&waiting).unwrap().upto, Some(1));
        assert_eq!(next(&waiting[1..]).unwrap().upto, Some(2));
    }

    #[test]
    fn nothing_is_passed_over_where_both_kinds_meet() {
        let at = |position, item| Waiting { position, item };
        let edu = |n: i64| at(n, Item::Edu(n.to_string()));
        let pdus: Vec<Waiting> = (1..=50).map(|n| at(2 * n, pdu(1))).collect();
        let edus: Vec<Waiting> = (0..60).map(|n| edu(2 * n + 1)).collect();
        // There may be a 51st event behind the 50th, at 100, so nothing behind that is taken.
        let queue = joined(pdus.clone(), edus.clone());
        assert_eq!(queue.last().unwrap().position, 100);
        assert!(queue.is_sorted_by_key(|waiting| waiting.position));
        assert_eq!(joined(pdus[..49].to_vec(), edus).last().unwrap().position, 119);
        let edus: Vec<Waiting> = (0..100).map(edu).collect();
        assert_eq!(joined(vec![at(200, pdu(1))], edus).len(), 100);
    }

    #[test]
    fn what_is_of_the_moment_goes_along_where_there_is_room() {
        let edu = |n: usize| Item::Edu(n.to_string());
        let moments = ["a".to_owned(), "b".to_owned()];
        let lone = super::next(&[], usize::MAX, &moments, [1; 16]).unwrap();
        assert_eq!((lone.edus.len(), lone.upto), (2, None));
        assert_ne!(super::next(&[], usize::MAX, &moments, [2; 16]).unwrap().id, lone.id);
        let with = super::next(&queue((0..98).map(edu)), usize::MAX, &moments, [1; 16]).unwrap();
        assert_eq!((with.edus.len(), with.upto), (100, Some(98)));
        let full = super::next(&queue((0..99).map(edu)), usize::MAX, &moments, [1; 16]).unwrap();
        assert_eq!((full.edus.len(), full.upto), (99, Some(99)));
        // What is sent again without them is what it was.
        let again = super::next(&queue((0..99).map(edu)), usize::MAX, &[], [2; 16]).unwrap();
        assert_eq!(again.id, full.id);
    }

    #[test]
    fn less_may_be_sent_at_once_and_has_another_id() {
        let waiting = queue((0..50).map(pdu));
        let whole = next(&waiting).unwrap();
        let half = super::next(&waiting, 25, &[], [0; 16]).unwrap();
        assert_eq!((half.pdus.len(), half.upto), (25, Some(25)));
        assert_ne!(half.id, whole.id);
        assert_eq!(super::next(&waiting, 25, &[], [1; 16]).unwrap().id, half.id);
        assert_eq!(super::next(&waiting, 0, &[], [0; 16]), None);
        let none = nothing([1; 16]);
        assert!(none.pdus.is_empty() && none.edus.is_empty() && none.upto.is_none());
        assert_ne!(none.id, nothing([2; 16]).id);
    }

    #[test]
    fn an_id_names_what_the_transaction_holds() {
        let one = next(&queue([pdu(1), pdu(2)])).unwrap();
        assert_eq!(next(&queue([pdu(1), pdu(2)])).unwrap().id, one.id);
        let ids = [
            one.id,
            next(&queue([pdu(1)])).unwrap().id,
            next(&queue([pdu(1), pdu(3)])).unwrap().id,
            next(&queue([pdu(1), pdu(2)])[1..]).unwrap().id,
            next(&[Waiting { position: 7, item: pdu(1) }]).unwrap().id,
        ];
        let different: std::collections::BTreeSet<&String> = ids.iter().collect();
        assert_eq!(different.len(), ids.len());
    }
}
