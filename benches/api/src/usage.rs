//! What processes have used: CPU time and memory, as the kernel counts them.

use anyhow::Context;

/// Returns the CPU seconds, of user and kernel, that the processes have used so far.
pub(crate) fn cpu(pids: &[u32]) -> anyhow::Result<f64> {
    let mut ticks = 0_u64;
    for pid in pids {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).context("a server has ended")?;
        // The name in parentheses may hold spaces; what follows it does not.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        for field in [11, 12] {
            ticks += fields.get(field).and_then(|text| text.parse::<u64>().ok()).context("an unknown form of stat")?;
        }
    }
    // Linux counts in hundredths for every architecture that is built for.
    Ok(ticks as f64 / 100.0)
}

/// Returns the proportional set size of the processes together, in bytes.
pub(crate) fn memory(pids: &[u32]) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for pid in pids {
        let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).context("a server has ended")?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).context("the kernel counts no PSS")?;
        bytes += line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024;
    }
    Ok(bytes)
}

/// Returns the value below which `part` (0 to 1) of the values lie.
pub(crate) fn quantile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get(((last as f64) * part).round() as usize).copied().unwrap_or(f64::NAN)
}
