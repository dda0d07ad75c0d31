//! Ways on which the dead letters of a queue come back to it by themselves.

use std::collections::{HashMap, VecDeque};

use super::routes::DeadLetterRoutes;
use crate::domain::QueueSample;

/// So many routes are followed for one queue. A retry cycle has a few; among thousands of queues that all
/// lead to one another, all answers would otherwise cost their square.
const MAX_ROUTES: usize = 256;

/// The shortest way of the dead letters of `start` back to it, through queues with a time to live, which hand
/// on what nobody consumes. Without `start` itself; empty if there is none.
pub(super) fn way_back(
    start: usize,
    queues: &[QueueSample],
    routes: &[DeadLetterRoutes],
) -> Vec<usize> {
    let mut before: HashMap<usize, usize> = HashMap::new();
    let mut waiting = VecDeque::from([start]);
    let mut followed = 0;
    while let Some(queue) = waiting.pop_front() {
        for &target in routes[queue].certain() {
            if target == start && queue != start {
                return way_to(queue, start, &before);
            }
            followed += 1;
            if followed > MAX_ROUTES {
                return Vec::new();
            }
            let hands_on = target != start && queues[target].message_ttl.is_some();
            if hands_on && !before.contains_key(&target) {
                before.insert(target, queue);
                waiting.push_back(target);
            }
        }
    }
    Vec::new()
}

fn way_to(last: usize, start: usize, before: &HashMap<usize, usize>) -> Vec<usize> {
    let step = |queue: &usize| before.get(queue).copied().filter(|queue| *queue != start);
    let mut way: Vec<usize> = std::iter::successors(Some(last), step).collect();
    way.reverse();
    way
}
