//! The list of CPython's arenas: a fixed table in which a place changes in one step, whoever looks or forks meanwhile.

use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// 64 GiB of arenas; what is past that is left alone. Zeros that nobody writes take no memory.
const MOST: usize = 1 << 16;
/// Beside an address, which is that of a page: the arena is one of the parent's.
const INHERITED: usize = 1;

/// Addresses of arenas. All zeros = none.
pub struct List {
    places: [AtomicUsize; MOST],
    /// Behind the last place that was ever taken.
    end: AtomicUsize,
}

impl List {
    /// An empty one.
    pub const fn new() -> List {
        List { places: [const { AtomicUsize::new(0) }; MOST], end: AtomicUsize::new(0) }
    }

    /// One more, if there is a place.
    pub fn add(&self, arena: usize) {
        for (place, end) in self.places.iter().zip(1..) {
            if place.load(Relaxed) == 0 && place.compare_exchange(0, arena, Relaxed, Relaxed).is_ok() {
                self.end.fetch_max(end, Relaxed);
                return;
            }
        }
    }

    /// One less, if it was there.
    pub fn remove(&self, arena: usize) {
        if let Some(place) = self.taken().iter().find(|place| place.load(Relaxed) & !INHERITED == arena) {
            place.store(0, Relaxed);
        }
    }

    /// In a forked child: all that are there are its parent's, too.
    pub fn inherit(&self) {
        for place in self.taken() {
            if place.load(Relaxed) != 0 {
                place.fetch_or(INHERITED, Relaxed);
            }
        }
    }

    /// All arenas, and whether each is one that the process was forked with.
    pub fn arenas(&self) -> impl Iterator<Item = (usize, bool)> {
        let places = self.taken().iter().map(|place| place.load(Relaxed)).filter(|&place| place != 0);
        places.map(|place| (place & !INHERITED, place & INHERITED != 0))
    }

    fn taken(&self) -> &[AtomicUsize] {
        self.places.get(..self.end.load(Relaxed)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    static ONE: List = List::new();
    static MANY: List = List::new();
    static FULL: List = List::new();

    fn arenas(list: &List) -> Vec<(usize, bool)> {
        list.arenas().collect()
    }

    #[test]
    fn arenas_come_and_go() {
        ONE.remove(0x1000);
        assert_eq!(arenas(&ONE), []);
        [0x1000, 0x2000, 0x3000].iter().for_each(|&arena| ONE.add(arena));
        ONE.remove(0x2000);
        ONE.inherit();
        ONE.add(0x4000);
        assert_eq!(arenas(&ONE), [(0x1000, true), (0x4000, false), (0x3000, true)]);
        ONE.remove(0x3000);
        ONE.remove(0x5000);
        assert_eq!(arenas(&ONE), [(0x1000, true), (0x4000, false)]);
    }

    /// As interpreters that have a lock of their own do.
    #[test]
    fn threads_lose_none() {
        thread::scope(|scope| {
            for thread in 1..=4usize {
                scope.spawn(move || {
                    for number in 0..500 {
                        let arena = (thread << 40) + (number << 20);
                        MANY.add(arena);
                        if number % 2 == 1 {
                            MANY.remove(arena);
                        }
                    }
                });
            }
        });
        let mut left: Vec<_> = MANY.arenas().map(|(arena, _)| arena).collect();
        left.sort_unstable();
        let expected: Vec<_> =
            (1..=4).flat_map(|thread| (0..500).step_by(2).map(move |number| (thread << 40) + (number << 20))).collect();
        assert_eq!(left, expected);
    }

    #[test]
    fn what_has_no_place_is_left_alone() {
        FULL.end.store(MOST, Relaxed);
        FULL.places.iter().for_each(|place| place.store(0x7000, Relaxed));
        FULL.add(0x1000);
        FULL.remove(0x1000);
        assert_eq!((FULL.arenas().count(), FULL.arenas().any(|(arena, _)| arena == 0x1000)), (MOST, false));
    }
}
