//! Several runs at the same time, with the output of one after the other.
//!
//! A run is a world of its own and shares nothing: so how many there are at a time changes nothing but how long it takes.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

/// As much as the main thread has on Linux.
const STACK: usize = 8 * 1024 * 1024;

/// Does `work` with every task, `jobs` at a time, and hands the results to `done` in the order of the tasks.
///
/// # Errors
/// The first one in that order. What stands behind it in line is not begun, unless it was under way.
pub(crate) fn in_order<T: Sync, R: Send, E: Send>(
    tasks: &[T],
    jobs: NonZeroUsize,
    work: impl Fn(&T) -> Result<R, E> + Sync,
    mut done: impl FnMut(R) -> Result<(), E>,
) -> Result<(), E> {
    let threads = jobs.get().min(tasks.len());
    if threads <= 1 {
        return tasks.iter().try_for_each(|task| done(work(task)?));
    }
    let (next, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (sender, results) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..threads {
            let sender = sender.clone();
            let (next, is_over, work) = (&next, &is_over, &work);
            let take_turns = move || {
                while !is_over.load(Ordering::Relaxed) {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(task) = tasks.get(index) else {
                        return;
                    };
                    // Nobody listens any more once a result before this one was an error.
                    let _ = sender.send((index, work(task)));
                }
            };
            let builder = thread::Builder::new().stack_size(STACK);
            builder
                .spawn_scoped(scope, take_turns)
                .expect("the system lets us start a thread");
        }
        drop(sender);
        let outcome = sorted(results, &mut done);
        is_over.store(true, Ordering::Relaxed);
        outcome
    })
}

/// Hands results on in the order of their numbers, each as soon as those before it are there.
fn sorted<R, E>(
    results: mpsc::Receiver<(usize, Result<R, E>)>,
    done: &mut impl FnMut(R) -> Result<(), E>,
) -> Result<(), E> {
    let mut waiting = BTreeMap::new();
    let mut next = 0;
    for (index, result) in results {
        waiting.insert(index, result);
        while let Some(result) = waiting.remove(&next) {
            done(result?)?;
            next += 1;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(jobs: usize, fails: Option<u32>) -> (Vec<u32>, Result<(), u32>) {
        let tasks: Vec<u32> = (0..50).collect();
        let work = |task: &u32| {
            // The first ones take longest.
            thread::sleep(std::time::Duration::from_micros(u64::from(50 - task) * 20));
            match fails {
                Some(bad) if bad <= *task => Err(*task),
                _ => Ok(*task),
            }
        };
        let mut seen = Vec::new();
        let outcome = in_order(
            &tasks,
            NonZeroUsize::new(jobs).expect("at least one"),
            work,
            |task| {
                seen.push(task);
                Ok(())
            },
        );
        (seen, outcome)
    }

    #[test]
    fn results_come_in_the_order_of_the_tasks() {
        let all: Vec<u32> = (0..50).collect();
        for jobs in [1, 2, 7, 100] {
            assert_eq!(check(jobs, None), (all.clone(), Ok(())), "{jobs} jobs");
        }
    }

    #[test]
    fn the_first_error_in_that_order_ends_it() {
        let before: Vec<u32> = (0..13).collect();
        for jobs in [1, 2, 7, 100] {
            assert_eq!(
                check(jobs, Some(13)),
                (before.clone(), Err(13)),
                "{jobs} jobs"
            );
        }
    }
}
