//! Work on many things at once, by threads that give way to whoever answers people.

use std::{
    panic::resume_unwind,
    sync::{Mutex, PoisonError},
    thread::{self, Builder},
};

use super::Error;

/// Things that are not worth threads of their own.
const FEW: usize = 64;
/// Things that a thread takes at a time: a thread that had to give way leaves the rest to the others.
const PART: usize = 32;
/// How far the threads give way (nice(2)): beside a thread of a person one gets a tenth of a core.
const NICE: i32 = 10;

/// Works on each of them, and not on the threads that answer people: it costs as much as all else
/// together. What comes of each stands in its place.
pub(super) async fn on_each<T, U>(
    of: Vec<T>,
    work: impl Fn(T) -> U + Send + Sync + 'static,
) -> Result<Vec<U>, Error>
where
    T: Send + 'static,
    U: Send + 'static,
{
    let all = move || {
        if of.len() <= FEW { of.into_iter().map(work).collect() } else { shared_out(of, &work) }
    };
    tokio::task::spawn_blocking(all).await.map_err(Error::internal)
}

/// A part of the whole, and how many parts stand before it.
type Part<T> = (usize, Vec<T>);

/// The same on all cores.
fn shared_out<T: Send, U: Send>(of: Vec<T>, work: &(impl Fn(T) -> U + Sync)) -> Vec<U> {
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let left = Mutex::new(parts(of).into_iter());
    let take = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work_off = || {
        let mut done: Vec<Part<U>> = Vec::new();
        while let Some((place, part)) = take() {
            done.push((place, part.into_iter().map(work).collect()));
        }
        done
    };
    let give_way = || {
        // Where that is not allowed, they compete.
        let _refused = rustix::process::nice(NICE);
        work_off()
    };
    let mut done: Vec<Part<U>> = thread::scope(|scope| {
        let hire = |_| Builder::new().name("worker".to_owned()).spawn_scoped(scope, give_way).ok();
        let hired: Vec<_> = (0..cores).filter_map(hire).collect();
        let done =
            hired.into_iter().map(|it| it.join().unwrap_or_else(|panic| resume_unwind(panic)));
        done.flatten().collect()
    });
    // Where no thread is to be had, this one does all of it.
    done.extend(work_off());
    done.sort_unstable_by_key(|(place, _)| *place);
    done.into_iter().flat_map(|(_, part)| part).collect()
}

fn parts<T>(of: Vec<T>) -> Vec<Part<T>> {
    let mut left = of.into_iter().peekable();
    let mut parts = Vec::new();
    while left.peek().is_some() {
        parts.push((parts.len(), left.by_ref().take(PART).collect()));
    }
    parts
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, thread};

    use super::{FEW, on_each};

    #[tokio::test]
    async fn each_stands_in_its_place() {
        for many in [0, 1, FEW, FEW + 1, 1_000] {
            let of: Vec<usize> = (0..many).collect();
            let done = on_each(of.clone(), |it| it * 2).await.unwrap();
            assert_eq!(done, of.iter().map(|it| it * 2).collect::<Vec<_>>(), "{many} things");
        }
    }

    #[tokio::test]
    async fn many_are_worked_on_by_threads_that_give_way() {
        let look =
            |()| (thread::current().id(), rustix::process::getpriority_process(None).unwrap());
        let before = look(());
        let done = on_each(vec![(); 1_000], look).await.unwrap();
        let threads: HashSet<_> = done.iter().map(|(thread, _)| thread).collect();
        assert!(!threads.contains(&before.0), "this thread answers people");
        let priorities: HashSet<_> = done.iter().map(|(_, priority)| *priority).collect();
        assert_eq!(priorities, HashSet::from([(before.1 + super::NICE).min(19)]));
        assert_eq!(look(()).1, before.1, "whoever asks for work keeps its rank");
    }

    #[tokio::test]
    async fn a_panic_is_told_to_whoever_asked() {
        let done = on_each(vec![1; 1_000], |it: i32| assert_ne!(it, 1)).await;
        assert!(done.is_err());
    }
}
