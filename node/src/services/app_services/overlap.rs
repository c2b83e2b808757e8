//! Whether two patterns can hold for the same name: decided by walking through both at once.

use std::collections::{HashMap, VecDeque};

use regex_automata::{
    Anchored, MatchKind,
    dfa::{Automaton, dense},
    nfa::thompson,
    util::{primitives::StateID, start},
};

/// Bytes that the walkable form of one pattern may take.
const AUTOMATON_BYTES: usize = 8 * 1024 * 1024;
/// Pairs of states that are looked at.
const PAIRS: usize = 200_000;
/// Bytes of an example.
const EXAMPLE_BYTES: usize = 255;

/// Where both patterns have come, and whether each has held by then; from there on a name may go on
/// as it likes.
type Pair = (StateID, bool, StateID, bool);

/// A name for which both patterns hold, if there is one. Patterns that are too large to be walked
/// through count as overlapping.
pub(super) fn both(one: &str, other: &str) -> Option<String> {
    let (Some(one), Some(other)) = (automaton(one), automaton(other)) else {
        return Some("(too large to tell)".to_owned());
    };
    let begin = start::Config::new().anchored(Anchored::Yes);
    let (Ok(first), Ok(second)) = (one.start_state(&begin), other.start_state(&begin)) else {
        return Some("(too large to tell)".to_owned());
    };
    let mut queue = VecDeque::from([(first, false, second, false)]);
    let mut from: HashMap<Pair, Option<(Pair, u8)>> = HashMap::from([(queue[0], None)]);
    while let Some(pair) = queue.pop_front() {
        let (a, a_held, b, b_held) = pair;
        // What holds at the end of a name is seen one step behind it.
        let a_ends = a_held || one.is_match_state(one.next_eoi_state(a));
        let b_ends = b_held || other.is_match_state(other.next_eoi_state(b));
        if a_ends && b_ends {
            return Some(example(&from, pair));
        }
        if from.len() > PAIRS {
            return Some("(too large to tell)".to_owned());
        }
        for byte in 1..=u8::MAX {
            let (a_next, b_next) = (one.next_state(a, byte), other.next_state(b, byte));
            let a_held = a_held || one.is_match_state(a_next);
            let b_held = b_held || other.is_match_state(b_next);
            let over = (one.is_dead_state(a_next) && !a_held)
                || (other.is_dead_state(b_next) && !b_held)
                || one.is_quit_state(a_next)
                || other.is_quit_state(b_next);
            let next = (a_next, a_held, b_next, b_held);
            if !over && !from.contains_key(&next) {
                from.insert(next, Some((pair, byte)));
                queue.push_back(next);
            }
        }
    }
    None
}

fn automaton(pattern: &str) -> Option<dense::DFA<Vec<u32>>> {
    let config = dense::Config::new()
        .start_kind(regex_automata::dfa::StartKind::Anchored)
        .match_kind(MatchKind::All)
        .dfa_size_limit(Some(AUTOMATON_BYTES))
        .determinize_size_limit(Some(AUTOMATON_BYTES));
    dense::Builder::new()
        .configure(config)
        .thompson(thompson::Config::new().nfa_size_limit(Some(AUTOMATON_BYTES)))
        .build(&format!("^(?:{pattern})"))
        .ok()
}

fn example(from: &HashMap<Pair, Option<(Pair, u8)>>, end: Pair) -> String {
    let mut bytes = Vec::new();
    let mut at = end;
    while let Some(Some((before, byte))) = from.get(&at) {
        bytes.push(*byte);
        at = *before;
    }
    bytes.reverse();
    bytes.truncate(EXAMPLE_BYTES);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::both;

    #[test]
    fn patterns_that_meet_are_told_with_where() {
        for (one, other, meet) in [
            ("@_irc_.*", "@_xmpp_.*", false),
            ("@_irc_.*", "@_irc_bot", true),
            ("@_irc_[^:]*:a\\.test", "@_irc_[^:]*:b\\.test", false),
            ("@bot", "@bo", true),
            ("@bot$", "@bo$", false),
            ("@a+b", "@.*c", true),
            ("@a+$", "@.*c$", false),
            (".*", "x", true),
            ("@[^b]x", "@b.", false),
            ("@ä.*", "@[^a-z].*", true),
        ] {
            for (one, other) in [(one, other), (other, one)] {
                let found = both(one, other);
                assert_eq!(found.is_some(), meet, "{one} {other}: {found:?}");
                if let Some(name) = found {
                    for pattern in [one, other] {
                        let pattern = regex::Regex::new(&format!("^(?:{pattern})")).unwrap();
                        assert!(pattern.is_match(&name), "{pattern} {name}");
                    }
                }
            }
        }
    }
}
