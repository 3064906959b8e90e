//! What every room needs and what knows nothing of the product: what a failure
//! means, names and their rules, the clock, supervised tasks, settings, tables.

pub mod clock;
pub mod fault;
pub mod names;
pub mod settings;
pub mod table;
pub mod task;
