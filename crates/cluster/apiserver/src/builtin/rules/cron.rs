//! The schedule of a cron job: five fields, or a name such as `@daily`. It says what is
//! wrong in the words of the reader that Kubernetes uses.

/// Lowest, highest, and the names of the numbers of each field.
const FIELDS: [(u32, u32, &[&str]); 5] = [
    (0, 59, &[]),
    (0, 23, &[]),
    (1, 31, &[]),
    (1, 12, &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]),
    (0, 6, &["sun", "mon", "tue", "wed", "thu", "fri", "sat"]),
];

/// Returns what is wrong with a schedule.
pub(super) fn wrong(schedule: &str) -> Option<String> {
    if let Some(name) = schedule.strip_prefix('@') {
        if matches!(name, "yearly" | "annually" | "monthly" | "weekly" | "daily" | "midnight" | "hourly") {
            return None;
        }
        if let Some(period) = name.strip_prefix("every ") {
            let ends = period.ends_with(['s', 'm', 'h']);
            let fits = ends && period.starts_with(|c: char| c.is_ascii_digit());
            return (!fits).then(|| format!("failed to parse duration {schedule}: time: invalid duration {period:?}"));
        }
        return Some(format!("unrecognized descriptor: {schedule}"));
    }
    let fields: Vec<&str> = schedule.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Some(format!("expected exactly 5 fields, found {}: [{}]", fields.len(), fields.join(" ")));
    }
    fields.iter().zip(FIELDS).find_map(|(text, field)| text.split(',').find_map(|part| wrong_part(part, field)))
}

fn wrong_part(part: &str, (low, high, names): (u32, u32, &[&str])) -> Option<String> {
    let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
    let number = |text: &str| -> Result<u32, String> {
        if let Some(index) = names.iter().position(|name| name.eq_ignore_ascii_case(text)) {
            return Ok(low + u32::try_from(index).unwrap_or_default());
        }
        text.parse::<i64>()
            .map_err(|_| format!("failed to parse int from {text}: strconv.Atoi: parsing {text:?}: invalid syntax"))
            .and_then(|number| {
                u32::try_from(number).map_err(|_| format!("negative number ({number}) not allowed: {text}"))
            })
    };
    let check = || -> Result<(), String> {
        let (start, mut end) = match range {
            "*" | "?" => (low, high),
            range => match range.split_once('-') {
                Some((start, end)) => (number(start)?, number(end)?),
                None => (number(range)?, number(range)?),
            },
        };
        let step = match step {
            Some(step) => number(step)?,
            None => 1,
        };
        if part.contains('/') && !range.contains('-') && range != "*" && range != "?" {
            end = high;
        }
        if start < low {
            return Err(format!("beginning of range ({start}) below minimum ({low}): {part}"));
        }
        if end > high {
            return Err(format!("end of range ({end}) above maximum ({high}): {part}"));
        }
        if start > end {
            return Err(format!("beginning of range ({start}) beyond end of range ({end}): {part}"));
        }
        if step == 0 {
            return Err(format!("step of range should be a positive number: {part}"));
        }
        Ok(())
    };
    check().err()
}

#[cfg(test)]
mod tests {
    use super::wrong;

    #[test]
    fn schedules_are_read_as_cron_reads_them() {
        for right in ["* * * * *", "*/5 0-3 1,15 JAN-mar mon-Fri", "@daily", "@every 5m", "5/10 * * * ?"] {
            assert_eq!(wrong(right), None, "{right}");
        }
        for (schedule, why) in [
            ("61 * * * *", "end of range (61) above maximum (59): 61"),
            ("nonsense", "expected exactly 5 fields, found 1: [nonsense]"),
            ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
            ("9-3 * * * *", "beginning of range (9) beyond end of range (3): 9-3"),
            ("@never", "unrecognized descriptor: @never"),
            ("*/0 * * * *", "step of range should be a positive number: */0"),
        ] {
            assert_eq!(wrong(schedule).as_deref(), Some(why));
        }
    }
}
