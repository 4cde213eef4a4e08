//! The last days at a glance: how many tasks ended, and how.

use lanyard_protocol::health::TaskDay;

use super::span::plural;

/// From nothing to the most of any of the days.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// One bar for each day, today the last, and the sums; `None` when no task ended on any of them.
pub(super) fn days(days: &[TaskDay]) -> Option<String> {
    let ended = |day: &TaskDay| u64::from(day.completed) + u64::from(day.failed) + u64::from(day.cancelled);
    let most = days.iter().map(ended).max().filter(|most| *most > 0)?;
    let bar = |day: &TaskDay| {
        let steps = BARS.len() as u64 - 1;
        // Any task at all is more than none.
        let step = (ended(day) * steps).div_ceil(most);
        usize::try_from(step).ok().and_then(|step| BARS.get(step)).copied().unwrap_or('█')
    };
    let bars: String = days.iter().map(bar).collect();
    let mut words = plural(days.iter().map(ended).sum(), "task");
    let failed: u64 = days.iter().map(|day| u64::from(day.failed)).sum();
    if failed > 0 {
        words.push_str(&format!(", {failed} failed"));
    }
    Some(format!("{bars}  {words}"))
}

#[cfg(test)]
mod tests {
    use lanyard_protocol::health::TaskDay;

    use super::days;

    #[test]
    fn bars_rise_with_the_tasks_and_a_quiet_time_has_none() {
        let day = |completed, failed, cancelled| TaskDay { day: 0, completed, failed, cancelled };
        let shown = days(&[day(0, 0, 0), day(1, 0, 0), day(3, 1, 1), day(50, 0, 50), day(0, 50, 0)]);
        assert_eq!(shown.unwrap(), "▁▂▂█▅  156 tasks, 51 failed");
        assert_eq!(days(&[day(1, 0, 0)]).unwrap(), "█  1 task");
        assert_eq!(days(&[day(0, 0, 0)]), None);
        assert_eq!(days(&[]), None);
        days(&[day(u32::MAX, u32::MAX, u32::MAX)]).unwrap();
    }
}
