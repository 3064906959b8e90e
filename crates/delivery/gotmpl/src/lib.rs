//! Go's `text/template` with Sprig, over values as Go's `interface{}` shows them, and the
//! forms of text that charts see: `fmt`, JSON and YAML as Go writes them.
//!
//! Values in, values out: no file, socket, clock or environment is touched. Time and
//! randomness are what the caller gives. Knows nothing of charts: Helm's own functions
//! are the `helm` crate's.

pub mod gofmt;
pub mod json;
pub mod sprig;
pub mod template;
pub mod time;
pub mod toml;
pub mod value;
pub mod world;
pub mod yaml;

pub use template::{Call, Error, Funcs, Function, Limits, ParseError, Templates};
pub use value::Value;
pub use world::{Lookup, World};
