//! The one order and the one set of labels of a dataset: RDFC-1.0, section 4, with SHA-256.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use sha2::{Digest, Sha256};

use super::{Error, MAX_HOPS, MAX_WORK, Quad};

/// Labels that were given out, in their order.
#[derive(Clone)]
struct Issuer {
    prefix: &'static str,
    order: Vec<usize>,
    issued: BTreeMap<usize, usize>,
}

impl Issuer {
    fn new(prefix: &'static str) -> Self {
        Self { prefix, order: Vec::new(), issued: BTreeMap::new() }
    }

    fn label(&self, blank: usize) -> Option<String> {
        self.issued.get(&blank).map(|number| format!("_:{}{number}", self.prefix))
    }

    fn issue(&mut self, blank: usize) -> String {
        let next = self.order.len();
        let number = *self.issued.entry(blank).or_insert(next);
        if number == next {
            self.order.push(blank);
        }
        format!("_:{}{number}", self.prefix)
    }
}

/// Gives blank nodes their labels, and writes the statements with them.
pub(super) struct Canonicaliser<'q> {
    quads: &'q BTreeSet<Quad>,
    /// The statements that mention a blank node.
    mentions: Vec<Vec<&'q Quad>>,
    /// The first-degree hash of each blank node.
    hashes: Vec<String>,
    canonical: Issuer,
    work_left: usize,
    hops_left: usize,
}

impl<'q> Canonicaliser<'q> {
    pub(super) fn new(quads: &'q BTreeSet<Quad>, blanks: usize) -> Self {
        let mut mentions = vec![Vec::new(); blanks];
        for quad in quads {
            let here: BTreeSet<usize> = quad.blanks().map(|(blank, _)| blank).collect();
            for blank in here {
                mentions[blank].push(quad);
            }
        }
        let canonical = Issuer::new("c14n");
        let (work_left, hops_left) = (MAX_WORK, MAX_HOPS);
        Self { quads, mentions, hashes: Vec::new(), canonical, work_left, hops_left }
    }

    /// Algorithm 4.4.3.
    pub(super) fn run(mut self) -> Result<String, Error> {
        let mut alike: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for blank in 0..self.mentions.len() {
            let hash = self.first_degree(blank)?;
            self.hashes.push(hash.clone());
            // A node that nothing mentions is not part of the dataset.
            if !self.mentions[blank].is_empty() {
                alike.entry(hash).or_default().push(blank);
            }
        }
        for blanks in alike.values().filter(|blanks| blanks.len() == 1) {
            self.canonical.issue(blanks[0]);
        }
        for blanks in alike.into_values().filter(|blanks| blanks.len() > 1) {
            let mut found = Vec::new();
            for blank in blanks {
                if self.canonical.label(blank).is_none() {
                    let mut issuer = Issuer::new("b");
                    issuer.issue(blank);
                    found.push(self.n_degree(blank, issuer)?);
                }
            }
            found.sort_by(|(one, _), (other, _)| one.cmp(other));
            for blank in found.iter().flat_map(|(_, issuer)| &issuer.order) {
                self.canonical.issue(*blank);
            }
        }
        let label =
            |blank| self.canonical.label(blank).expect("both loops label all that is mentioned");
        let lines: BTreeSet<String> = self.quads.iter().map(|quad| quad.line(label)).collect();
        Ok(lines.into_iter().collect())
    }

    fn spend(&mut self, work: usize) -> Result<(), Error> {
        self.work_left = self.work_left.checked_sub(work).ok_or(Error::TooTangled)?;
        Ok(())
    }

    /// Algorithm 4.6.3.
    fn first_degree(&mut self, blank: usize) -> Result<String, Error> {
        let label = |other| if other == blank { "_:a" } else { "_:z" };
        let mut lines: Vec<_> = self.mentions[blank].iter().map(|quad| quad.line(label)).collect();
        lines.sort();
        let text = lines.concat();
        self.spend(text.len())?;
        Ok(hash(&text))
    }

    /// Algorithm 4.8.3: the hash of a blank node by all that it is linked with, and the labels that
    /// were given out on the way.
    fn n_degree(&mut self, blank: usize, mut issuer: Issuer) -> Result<(String, Issuer), Error> {
        let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for index in 0..self.mentions[blank].len() {
            let quad = self.mentions[blank][index];
            for (other, place) in quad.blanks().filter(|(other, _)| *other != blank) {
                // Algorithm 4.7.3.
                let predicate = if place == 'g' { "" } else { &format!("<{}>", quad.predicate) };
                let label = self.canonical.label(other).or_else(|| issuer.label(other));
                let label = label.as_ref().unwrap_or(&self.hashes[other]);
                let text = format!("{place}{predicate}{label}");
                self.spend(text.len() + 64)?;
                groups.entry(hash(&text)).or_default().push(other);
            }
        }
        let mut text = String::new();
        for (hash, mut group) in groups {
            group.sort_unstable();
            let mut chosen: Option<(String, Issuer)> = None;
            loop {
                let best = chosen.as_ref().map(|(path, _)| path.as_str());
                if let Some(found) = self.path(&group, issuer.clone(), best)? {
                    chosen = Some(found);
                }
                if !permute(&mut group) {
                    break;
                }
            }
            let (path, next) = chosen.expect("the first order of a group always gives a path");
            text = text + &hash + &path;
            issuer = next;
        }
        self.spend(text.len())?;
        Ok((hash(&text), issuer))
    }

    /// The path through a group in one order, unless it comes after the best so far.
    fn path(
        &mut self,
        group: &[usize],
        mut issuer: Issuer,
        best: Option<&str>,
    ) -> Result<Option<(String, Issuer)>, Error> {
        // Copying the issuer costs a node of its map for each label.
        self.spend(64 + 32 * (issuer.order.len() + group.len()))?;
        let is_worse =
            |path: &str| best.is_some_and(|best| path.len() >= best.len() && path > best);
        let (mut path, mut pending) = (String::new(), Vec::new());
        for &other in group {
            if let Some(label) = self.canonical.label(other) {
                path.push_str(&label);
            } else {
                if issuer.label(other).is_none() {
                    pending.push(other);
                }
                path.push_str(&issuer.issue(other));
            }
        }
        for other in pending {
            self.hops_left = self.hops_left.checked_sub(1).ok_or(Error::TooTangled)?;
            let (hash, next) = self.n_degree(other, issuer)?;
            self.hops_left += 1;
            issuer = next;
            path = path + &issuer.issue(other) + "<" + &hash + ">";
            if is_worse(&path) {
                return Ok(None);
            }
        }
        let is_better = best.is_none_or(|best| path.as_str() < best);
        Ok(is_better.then_some((path, issuer)))
    }
}
/// Puts a list into the next order by value, and says whether there was one.
fn permute(list: &mut [usize]) -> bool {
    let Some(pivot) = list.windows(2).rposition(|pair| pair[0].cmp(&pair[1]) == Ordering::Less)
    else {
        return false;
    };
    let swap = list.iter().rposition(|item| *item > list[pivot]);
    list.swap(pivot, swap.unwrap_or(pivot));
    list[pivot + 1..].reverse();
    true
}

fn hash(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().fold(String::with_capacity(64), |hex, byte| hex + &format!("{byte:02x}"))
}
