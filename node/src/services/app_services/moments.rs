//! What of the moment waits to be told to a service: the newest of each thing, and not too much.

use std::collections::VecDeque;

use serde_json::Value;

/// Things of the moment that wait for one service; the oldest give way.
const MOST: usize = 500;

/// What a newer moment takes the place of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// Who types in a room.
    Typing(i64),
    /// How somebody is present.
    Presence(String),
    /// How far somebody has read a room, in one way and in one thread.
    Receipt(i64, String, String),
}

/// Moments in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Waiting(VecDeque<(About, Value)>);

impl Waiting {
    pub(super) fn put(&mut self, about: About, event: Value) {
        self.0.retain(|(other, _)| *other != about);
        while self.0.len() >= MOST {
            self.0.pop_front();
        }
        self.0.push_back((about, event));
    }

    pub(super) fn take(&mut self, most: usize) -> Vec<Value> {
        let count = most.min(self.0.len());
        self.0.drain(..count).map(|(_, event)| event).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_newest_of_each_thing_waits_and_not_too_many() {
        let mut waiting = Waiting::default();
        for number in 0..3 {
            waiting.put(About::Typing(7), json!(number));
            waiting.put(About::Presence("@a:a.test".to_owned()), json!(number));
        }
        assert_eq!(waiting.take(10), [json!(2), json!(2)]);
        for room in 0..600 {
            waiting.put(About::Typing(room), json!(room));
        }
        assert_eq!(waiting.take(2), [json!(100), json!(101)]);
        assert_eq!(waiting.take(1_000).len(), 498);
        assert!(waiting.take(1).is_empty());
    }
}
