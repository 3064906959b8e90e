//! What the disk says about a container's attempts. It never writes what a shim writes.

use std::path::Path;

use crate::{
    Error,
    pod::status::{Attempt, Record},
    proc,
};

/// Attempts whose folders are kept: the last, and the one whose log `--previous` shows.
const KEPT: u32 = 2;

/// Returns what `dir`, a container's folder, says of its attempts.
pub(crate) fn read(dir: &Path) -> Result<Record, Error> {
    let mut attempts = Vec::new();
    for folder in proc::folders(dir) {
        let Some(number) = folder.file_name().and_then(|name| name.to_str()?.parse().ok()) else { continue };
        let started = proc::read_state(&folder.join("started.json"))?;
        let exit = proc::read_state(&folder.join("exit.json"))?;
        let message = std::fs::read_to_string(folder.join("termination-log")).ok().filter(|text| !text.is_empty());
        // A folder in which nothing happened is of a start that was cut off: the attempt is made again.
        if started.is_some() || exit.is_some() {
            attempts.push(Attempt { number, started, exit, message });
        }
    }
    attempts.sort_by_key(|attempt| attempt.number);
    let runs = attempts.iter().filter_map(|attempt| {
        let exit = attempt.exit.as_ref()?;
        Some((attempt.started.as_ref().map_or(exit.at, |started| started.at), exit.at))
    });
    let runs = runs.collect();
    let last = attempts.pop();
    Ok(Record { last, previous: attempts.pop(), runs, ..Record::default() })
}

/// Removes folders and logs of attempts older than those that are kept.
pub(crate) fn forget_old(pod_dir: &Path, container: &str, attempt: u32) -> Result<(), Error> {
    for folder in proc::folders(&pod_dir.join("c").join(container)) {
        let number: Option<u32> = folder.file_name().and_then(|name| name.to_str()?.parse().ok());
        if let Some(number) = number.filter(|number| number + KEPT <= attempt) {
            proc::remove_dir(&folder)?;
            let log = crate::pod::launch::log_path(pod_dir, container, number);
            for path in [log.clone(), log.with_extension("log.1")] {
                match std::fs::remove_file(&path) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(Error::disk("remove", &path)(error));
                    }
                    _ => {}
                }
            }
        }
    }
    Ok(())
}
