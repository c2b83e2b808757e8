//! A server that refuses what it is sent: how it is told again, and when something is given up.

use wayside_federation::outbox::{EDUS, PDUS};

/// How often a transaction is refused until it is sent in parts.
const WHOLE: u32 = 3;
/// How often something is refused that is sent alone, until it is asked whether it is at fault.
const ALONE: u32 = 6;

/// What follows from a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The same later, after so many refusals in a row.
    Later(u32),
    /// Less of it at once.
    Less,
    /// Nothing at all is sent: if that is taken, what is first in the queue is at fault. If not, the same
    /// later, after so many refusals in a row.
    Nothing(u32),
    /// What is first in the queue is let go: it is refused where nothing else is.
    GiveUp,
}

/// How a server has refused what waits for it.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// Whether there were any since it took something.
    are_there: bool,
    /// Those since it took something, since less is sent, or since somebody wanted it tried.
    in_a_row: u32,
    /// Those of them that say that it will not do to send the same again.
    of_content: u32,
    /// What the next transaction holds at most, where less is sent than there may be.
    most: Option<usize>,
    /// What the last one held.
    held: usize,
    /// Its last place in the queue.
    upto: Option<i64>,
    /// Whether it has taken a transaction without anything since it last refused.
    takes_others: bool,
    /// Whether something was given up since all was well.
    gave_up: bool,
}

impl Refusals {
    /// Whether there were any since it took something.
    pub(super) fn are_there(&self) -> bool {
        self.are_there || self.most.is_some()
    }

    /// How much the next transaction may hold.
    pub(super) fn most(&self) -> usize {
        self.most.unwrap_or(usize::MAX)
    }

    /// Whether only a part is sent of what waits.
    pub(super) fn in_parts(&self) -> bool {
        self.most.is_some()
    }

    /// Whether what is of the moment is not to be sent again: it may be at fault.
    pub(super) fn are_lasting(&self) -> bool {
        self.of_content + 1 >= WHOLE
    }

    /// Notes what is being sent.
    pub(super) fn sends(&mut self, held: usize, upto: Option<i64>) {
        (self.held, self.upto) = (held, upto);
    }

    /// The last place in the queue of what was sent last.
    pub(super) fn upto(&self) -> Option<i64> {
        self.upto
    }

    /// It has taken what was sent, and more is sent again. Whether by that all is well that was not, and
    /// nothing was given up.
    pub(super) fn taken(&mut self) -> bool {
        let most = self.most.map(|most| most.saturating_mul(2));
        self.go_on(most.filter(|most| *most < PDUS + EDUS))
    }

    /// Nothing waits any more. Whether by that all is well, as above.
    pub(super) fn ended(&mut self) -> bool {
        self.go_on(None)
    }

    /// It takes a transaction that holds nothing.
    pub(super) fn takes_others(&mut self) {
        self.takes_others = true;
    }

    /// What it has refused last is given up.
    pub(super) fn gives_up(&mut self) {
        self.gave_up = true;
        self.taken();
    }

    fn go_on(&mut self, most: Option<usize>) -> bool {
        let (were_there, gave_up) = (self.are_there(), self.gave_up);
        *self = Self { most, gave_up: gave_up && most.is_some(), ..Self::default() };
        were_there && most.is_none() && !gave_up
    }

    /// The waiting begins anew: somebody wants it tried now.
    pub(super) fn hurry(&mut self) {
        self.in_a_row = 0;
    }

    /// It has refused what was sent last, with this status of HTTP if it said one.
    pub(super) fn refused(&mut self, status: Option<u16>) -> Step {
        self.are_there = true;
        self.in_a_row = self.in_a_row.saturating_add(1);
        // It may have got well between the two: what it refuses still, it refuses for good.
        let takes_others = std::mem::take(&mut self.takes_others);
        if !status.is_some_and(is_of_content) {
            self.of_content = 0;
            return Step::Later(self.in_a_row);
        }
        self.of_content = self.of_content.saturating_add(1);
        // What is too large does not become smaller.
        let is_enough = self.of_content >= WHOLE || self.in_parts() || status == Some(413);
        match self.held {
            1 if takes_others => Step::GiveUp,
            1 if self.of_content >= ALONE => Step::Nothing(self.in_a_row),
            0 | 1 => Step::Later(self.in_a_row),
            held if is_enough => {
                (self.in_a_row, self.of_content) = (0, 0);
                self.most = Some(held / 2);
                Step::Less
            }
            _ => Step::Later(self.in_a_row),
        }
    }
}

/// Whether a refusal is one of what was sent, and not of whoever sent it or of the time: the request is
/// malformed (400, 422), or too large (413). All others may end by themselves.
fn is_of_content(status: u16) -> bool {
    matches!(status, 400 | 413 | 422)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server with a queue, which takes no transaction that holds one of these.
    struct Server {
        queue: Vec<usize>,
        wrong: Vec<usize>,
        given_up: Vec<usize>,
        sent: usize,
        waits: usize,
    }

    impl Server {
        /// Sends until nothing waits.
        fn told(all: usize, wrong: &[usize]) -> Self {
            let (queue, wrong) = ((0..all).collect(), wrong.to_vec());
            let mut server = Self { queue, wrong, given_up: Vec::new(), sent: 0, waits: 0 };
            let mut refusals = Refusals::default();
            while !server.queue.is_empty() {
                let most = refusals.most().min(PDUS);
                let part: Vec<usize> = server.queue.iter().copied().take(most).collect();
                refusals.sends(part.len(), None);
                server.sent += 1;
                if part.iter().all(|it| !server.wrong.contains(it)) {
                    assert!(!refusals.taken(), "something was given up, or nothing refused");
                    server.queue.drain(..part.len());
                    continue;
                }
                match refusals.refused(Some(400)) {
                    Step::Later(_) => server.waits += 1,
                    Step::Less => {}
                    Step::Nothing(_) => refusals.takes_others(),
                    Step::GiveUp => {
                        server.given_up.push(server.queue.remove(0));
                        refusals.gives_up();
                    }
                }
            }
            server
        }
    }

    #[test]
    fn what_is_at_fault_is_found_and_nothing_else_is_given_up() {
        for (all, wrong) in [
            (1, vec![0]),
            (2, vec![1]),
            (50, vec![0]),
            (50, vec![29]),
            (50, vec![49]),
            (200, vec![3, 4, 77, 199]),
        ] {
            let server = Server::told(all, &wrong);
            assert_eq!(server.given_up, wrong, "of {all}");
            assert!(server.sent < 60 * wrong.len() + 10, "{} for {wrong:?} of {all}", server.sent);
            let most = usize::try_from(ALONE + WHOLE).unwrap();
            assert!(server.waits <= most * wrong.len(), "{} of {all}", server.waits);
        }
        assert_eq!(Server::told(200, &[]).sent, 4);
    }

    #[test]
    fn refusals_of_other_kinds_are_waited_for_without_end() {
        for status in [None, Some(401), Some(403), Some(404), Some(408), Some(429), Some(500)] {
            let mut refusals = Refusals::default();
            for held in [50, 1] {
                refusals.sends(held, Some(1));
                for times in 1..100 {
                    assert!(matches!(refusals.refused(status), Step::Later(_)), "{times}");
                }
            }
            assert_eq!(refusals.most(), usize::MAX);
        }
    }

    #[test]
    fn what_is_too_large_is_made_smaller_at_once() {
        let mut refusals = Refusals::default();
        refusals.sends(150, Some(1));
        assert_eq!(refusals.refused(Some(413)), Step::Less);
        assert_eq!(refusals.most(), 75);
        refusals.sends(75, Some(1));
        assert_eq!(refusals.refused(Some(413)), Step::Less);
        assert!(refusals.are_there() && refusals.in_parts());
        let taken: Vec<bool> = (0..3).map(|_| refusals.taken()).collect();
        assert_eq!(taken, [false, false, true], "all is well in the end");
        assert_eq!(refusals.most(), usize::MAX, "more is sent again");
        assert!(!refusals.are_there() && !refusals.ended());
    }

    #[test]
    fn what_is_taken_after_a_hurry_says_that_all_is_well() {
        let mut refusals = Refusals::default();
        refusals.sends(1, Some(1));
        assert_eq!(refusals.refused(Some(403)), Step::Later(1));
        assert_eq!(refusals.refused(Some(403)), Step::Later(2));
        refusals.hurry();
        assert!(refusals.are_there());
        assert!(refusals.taken() && !refusals.are_there() && !refusals.taken());
    }

    #[test]
    fn what_is_of_the_moment_alone_is_never_asked_about() {
        let mut refusals = Refusals::default();
        refusals.sends(0, None);
        for _ in 0..20 {
            assert!(matches!(refusals.refused(Some(400)), Step::Later(_)));
        }
        assert!(refusals.are_lasting());
    }
}
