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
    /// When the transaction has been answered, nothing up to here waits any more.
    pub upto: i64,
}

/// Cuts the next transaction from the front of a queue, whose order it keeps; none of an empty one.
#[must_use]
pub fn next(waiting: &[Waiting]) -> Option<Transaction> {
    let (mut pdus, mut edus, mut bytes) = (Vec::new(), Vec::new(), 0);
    let mut upto = waiting.first()?.position;
    let mut hash = Sha256::new();
    for Waiting { position, item } in waiting {
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
        upto = *position;
    }
    let id = URL_SAFE_NO_PAD.encode(&hash.finalize()[..18]);
    Some(Transaction { id, pdus, edus, upto })
}

#[cfg(test)]
mod tests {
    use super::*;

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
            left.retain(|waiting| waiting.position > transaction.upto);
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
        assert_eq!((first.pdus.len(), first.edus.len(), first.upto), (50, 100, 150));
        let second = next(&mixed[150..]).unwrap();
        assert_eq!((second.pdus.len(), second.edus.len(), second.upto), (1, 1, 152));
    }

    #[test]
    fn large_ones_go_alone() {
        let large = |n: usize| Item::Edu(format!("{n}").repeat(BYTES));
        let waiting = queue([large(1), large(2), pdu(1)]);
        assert_eq!(next(&waiting).unwrap().upto, 1);
        assert_eq!(next(&waiting[1..]).unwrap().upto, 2);
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
