//! What an API server, or the way to it, answered with instead.

use std::{error::Error, fmt};

/// A client's error, told in the API server's own words where there are some.
#[derive(Debug)]
pub struct Cause(pub Box<kube::Error>);

impl Cause {
    /// Takes a client's error.
    pub fn new(error: kube::Error) -> Self {
        Self(Box::new(error))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_ref() {
            kube::Error::Api(status) if !status.message.is_empty() => f.write_str(&status.message),
            other => fmt::Display::fmt(other, f),
        }
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self.0.as_ref() {
            kube::Error::Api(_) => None,
            other => other.source(),
        }
    }
}
