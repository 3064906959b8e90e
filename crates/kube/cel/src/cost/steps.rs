//! The way from a variable to a part of it.

use std::{cell::RefCell, rc::Rc};

/// Steps from a variable: fields, `@items`, `@keys`, `@values`.
///
/// The estimate of Kubernetes keeps them where two ways that part share their room: what is
/// added to the one replaces what was added to the other, as long as there is room left.
/// Sizes that are looked up later are then those of the other. Its verdict is the one that
/// has to be met, so this does the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Steps {
    room: Rc<RefCell<Vec<String>>>,
    length: usize,
}

impl Steps {
    /// Returns the way to a variable.
    pub(super) fn variable(name: &str) -> Steps {
        Steps::default().and(name)
    }

    pub(super) fn and(&self, step: &str) -> Steps {
        let mut room = self.room.borrow_mut();
        if self.length < room.len() {
            step.clone_into(&mut room[self.length]);
            drop(room);
            return Steps { room: Rc::clone(&self.room), length: self.length + 1 };
        }
        // Room doubles.
        let mut more = room.clone();
        more.resize((room.len() * 2).max(1), String::new());
        step.clone_into(&mut more[self.length]);
        Steps { room: Rc::new(RefCell::new(more)), length: self.length + 1 }
    }

    pub(super) fn to_vec(&self) -> Vec<String> {
        self.room.borrow()[..self.length].to_vec()
    }
}
