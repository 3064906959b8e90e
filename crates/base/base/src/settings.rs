//! The one reader of the environment; clippy refuses others.

use std::path::PathBuf;

/// Returns an environment variable's value if it is set, not empty and valid UTF-8.
#[expect(clippy::disallowed_methods, reason = "this is the one reader of the environment")]
pub fn env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Returns where this user's data lies if nothing else is said:
/// `$ROADSTEAD_DATA`, else `$XDG_DATA_HOME/roadstead`, else `~/.local/share/roadstead`.
pub fn default_data_dir() -> PathBuf {
    data_dir_from(env("ROADSTEAD_DATA"), env("XDG_DATA_HOME"), env("HOME"))
}

fn data_dir_from(own: Option<String>, xdg: Option<String>, home: Option<String>) -> PathBuf {
    if let Some(dir) = own {
        return PathBuf::from(dir);
    }
    let base = xdg
        .map_or_else(|| PathBuf::from(home.unwrap_or_else(|| "/root".to_owned())).join(".local/share"), PathBuf::from);
    base.join("roadstead")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_folder_is_chosen_own_then_xdg_then_home() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(data_dir_from(some("/d"), some("/x"), some("/h")), PathBuf::from("/d"));
        assert_eq!(data_dir_from(None, some("/x"), some("/h")), PathBuf::from("/x/roadstead"));
        assert_eq!(data_dir_from(None, None, some("/h")), PathBuf::from("/h/.local/share/roadstead"));
    }
}
