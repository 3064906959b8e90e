//! The wire forms of `exec`, `attach` and `port-forward`: SPDY/3.1 frames, channels in
//! WebSocket messages, and the status that ends a command.
//!
//! Pure: bytes in, values out, and back. It holds what a peer may make it keep within
//! bounds. It never reads a socket and never decides what a stream is for.

pub mod channel;
pub mod outcome;
pub mod spdy;
