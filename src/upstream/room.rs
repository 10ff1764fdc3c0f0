//! Room for what is kept in memory for requests: so many bytes for each worker, and nothing is kept past that.

use std::cell::Cell;
use std::rc::Rc;

/// A worker's bytes for one purpose.
#[derive(Debug)]
pub struct Rooms {
    most: usize,
    taken: Rc<Cell<usize>>,
}

/// A part of it, given back when it is dropped.
#[derive(Debug)]
pub struct Room {
    bytes: usize,
    taken: Rc<Cell<usize>>,
}

impl Rooms {
    /// In bytes.
    pub fn new(most: usize) -> Rooms {
        Rooms { most, taken: Rc::default() }
    }

    /// `None`: there is not so much left.
    pub fn take(&self, bytes: usize) -> Option<Room> {
        let taken = self.taken.get().checked_add(bytes).filter(|taken| *taken <= self.most)?;
        self.taken.set(taken);
        Some(Room { bytes, taken: self.taken.clone() })
    }

    /// Bytes in use.
    pub fn taken(&self) -> usize {
        self.taken.get()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.taken.set(self.taken.get() - self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_given_than_there_is_and_what_is_dropped_is_there_again() {
        let rooms = Rooms::new(100);
        let first = rooms.take(60).unwrap();
        assert!(rooms.take(41).is_none());
        let second = rooms.take(40).unwrap();
        assert_eq!(rooms.taken(), 100);
        drop(first);
        assert!(rooms.take(60).is_some());
        drop(second);
        assert_eq!(rooms.taken(), 0);
    }
}
