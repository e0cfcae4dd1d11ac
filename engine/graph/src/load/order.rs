//! Nodes in an order in which each stands behind those it reads, and the circles that have none.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The nodes that can be ordered, the first possible one first, and one path round each circle.
///
/// `reads[n]` are the nodes that node `n` reads.
pub(super) fn order(reads: &[Vec<usize>]) -> (Vec<usize>, Vec<Vec<usize>>) {
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); reads.len()];
    let mut waits: Vec<usize> = reads.iter().map(Vec::len).collect();
    for (node, from) in reads.iter().enumerate() {
        for &from in from {
            readers[from].push(node);
        }
    }
    let mut ready: BinaryHeap<Reverse<usize>> =
        waits.iter().enumerate().filter(|(_, waits)| **waits == 0).map(|(node, _)| Reverse(node)).collect();
    let mut ordered = Vec::with_capacity(reads.len());
    while let Some(Reverse(node)) = ready.pop() {
        ordered.push(node);
        for &reader in &readers[node] {
            waits[reader] -= 1;
            if waits[reader] == 0 {
                ready.push(Reverse(reader));
            }
        }
    }
    let mut left = vec![true; reads.len()];
    for &node in &ordered {
        left[node] = false;
    }
    (ordered, circles(reads, &left))
}

/// One path for each group of nodes that wait for each other. Every node left reads another one left, so that a walk
/// against the edges comes back to itself or to a circle that is known.
fn circles(reads: &[Vec<usize>], left: &[bool]) -> Vec<Vec<usize>> {
    let mut found = Vec::new();
    // 0: not seen; else the number of the walk.
    let mut seen = vec![0usize; reads.len()];
    for start in (0..reads.len()).filter(|node| left[*node]) {
        let walk = start + 1;
        let mut path = Vec::new();
        let mut node = start;
        while seen[node] == 0 {
            seen[node] = walk;
            path.push(node);
            match reads[node].iter().find(|from| left[**from]) {
                Some(&from) => node = from,
                None => break,
            }
        }
        if seen[node] == walk
            && let Some(at) = path.iter().position(|other| *other == node)
            && reads[node].iter().any(|from| left[*from])
        {
            // Along the edges, beginning with the node that is written first.
            let mut circle: Vec<usize> = path[at..].iter().rev().copied().collect();
            let first = circle.iter().enumerate().min_by_key(|(_, node)| **node).map_or(0, |(at, _)| at);
            circle.rotate_left(first);
            found.push(circle);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::order;

    #[test]
    fn nodes_stand_behind_what_they_read() {
        assert_eq!(order(&[vec![2], vec![0], vec![]]), (vec![2, 0, 1], vec![]));
        assert_eq!(order(&[vec![], vec![0, 0], vec![0]]), (vec![0, 1, 2], vec![]));
    }

    #[test]
    fn each_circle_is_shown_once() {
        // 0 → 1 → 2 → 0 with 3 behind it, 4 reads itself, 5 is free.
        let reads = [vec![2], vec![0], vec![1], vec![2], vec![4], vec![]];
        let (ordered, circles) = order(&reads);
        assert_eq!(ordered, [5]);
        assert_eq!(circles, [vec![0, 1, 2], vec![4]]);
    }

    #[test]
    fn a_long_chain_needs_no_deep_stack() {
        let reads: Vec<Vec<usize>> = (0..200_000).map(|node| vec![(node + 1) % 200_000]).collect();
        let (ordered, circles) = order(&reads);
        assert!(ordered.is_empty());
        assert_eq!(circles.len(), 1);
        assert_eq!(circles[0].len(), 200_000);
    }
}
