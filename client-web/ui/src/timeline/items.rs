//! The items of one timeline, as a page keeps them.
//!
//! The timeline itself is no signal: what an event touched is marked, and once per frame those rows, the order or the
//! state are told that they have changed. A hidden page draws no frames, so it does nothing but take note.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lanyard_protocol::method::HistoryPage;
use lanyard_web_state::approvals::words::Names;
use lanyard_web_state::timeline::{Activity, Course, Entry, ItemNo, MIN_ITEMS, Timeline, Touched};
use leptos::prelude::*;

/// See the module. `Copy`.
#[derive(Debug, Clone, Copy)]
pub struct Items {
    timeline: StoredValue<Timeline>,
    /// What was touched since the last frame.
    pending: StoredValue<Touched>,
    /// Some of it came by itself.
    arrived: StoredValue<bool>,
    /// A frame was asked for.
    scheduled: StoredValue<bool>,
    rows: StoredValue<BTreeMap<ItemNo, ArcTrigger>>,
    /// The items, oldest first.
    pub order: RwSignal<Vec<ItemNo>>,
    /// Where the task under way stands.
    pub course: RwSignal<Course>,
    /// What happens at this moment.
    pub activity: RwSignal<Activity>,
    /// There are older events.
    pub earlier: RwSignal<bool>,
    /// The end is not among the items.
    pub detached: RwSignal<bool>,
    /// Counts up with everything that comes by itself.
    pub news: RwSignal<u64>,
    /// The end is followed: older items may go.
    pub following: RwSignal<bool>,
    /// Who is who; none before the page knows itself.
    pub names: Signal<Option<Names>>,
}

impl Items {
    /// Makes them, for everything below the current owner.
    pub fn provide(names: Signal<Option<Names>>) -> Self {
        let items = Self {
            timeline: StoredValue::new(Timeline::default()),
            pending: StoredValue::new(Touched::default()),
            arrived: StoredValue::new(false),
            scheduled: StoredValue::new(false),
            rows: StoredValue::new(BTreeMap::new()),
            order: RwSignal::new(Vec::new()),
            course: RwSignal::new(Course::default()),
            activity: RwSignal::new(Activity::Idle),
            earlier: RwSignal::new(false),
            detached: RwSignal::new(false),
            news: RwSignal::new(0),
            following: RwSignal::new(true),
            names,
        };
        provide_context(items);
        items
    }

    /// Those provided by the page.
    ///
    /// # Panics
    /// Where there are none above, which is a defect of the page.
    #[expect(clippy::expect_used, reason = "the page provides them before any of its parts exists")]
    pub fn take() -> Self {
        use_context().expect("the page of a timeline provides its items")
    }

    /// One item, followed.
    pub fn entry(self, no: ItemNo) -> Option<Arc<Entry>> {
        if let Some(trigger) = self.rows.try_update_value(|rows| rows.entry(no).or_default().clone()) {
            trigger.track();
        }
        self.peek(no)
    }

    /// One item as it is now.
    pub fn peek(self, no: ItemNo) -> Option<Arc<Entry>> {
        self.read(|timeline| timeline.entry(no)).flatten()
    }

    /// A row is no longer shown.
    pub fn forget(self, no: ItemNo) {
        let _ = self.rows.try_update_value(|rows| rows.remove(&no));
    }

    /// Reads the timeline; none once the page was left.
    pub fn read<T>(self, read: impl FnOnce(&Timeline) -> T) -> Option<T> {
        self.timeline.try_with_value(read)
    }

    /// Begins anew with the newest page: nothing is left of what was there. The number of its last event; none once the
    /// page was left.
    pub fn begin(self, page: &HistoryPage) -> Option<u64> {
        let mut timeline = Timeline::default();
        let touched = timeline.page(page, None);
        let last = timeline.last_seq();
        if self.timeline.try_set_value(timeline).is_some() {
            return None;
        }
        self.note(Touched { order: true, ..touched });
        Some(last)
    }

    /// Puts a page before what is there, which began with the event `before`. What it touched is to be noted.
    pub fn put_before(self, page: &HistoryPage, before: u64) -> Touched {
        self.timeline.try_update_value(|timeline| timeline.page(page, Some(before))).unwrap_or_default()
    }

    /// Something came by itself.
    pub fn hear(self, change: impl FnOnce(&mut Timeline) -> Touched) {
        let following = self.following.try_get_untracked() == Some(true);
        let touched = self.timeline.try_update_value(|timeline| {
            let touched = change(timeline);
            if following { touched.and(timeline.trim(MIN_ITEMS)) } else { touched }
        });
        let _ = self.arrived.try_set_value(true);
        self.note(touched.unwrap_or_default());
    }

    /// What was touched is told with the next frame.
    pub fn note(self, touched: Touched) {
        if touched.is_empty() {
            return;
        }
        let _ = self.pending.try_update_value(|pending| *pending = std::mem::take(pending).and(touched));
        if self.scheduled.try_get_value() == Some(false) {
            self.scheduled.set_value(true);
            request_animation_frame(move || self.flush());
        }
    }

    /// What was touched is told now.
    pub fn note_now(self, touched: Touched) {
        let _ = self.pending.try_update_value(|pending| *pending = std::mem::take(pending).and(touched));
        self.flush();
    }

    /// Tells what has changed to what shows it.
    pub fn flush(self) {
        let Some(touched) = self.pending.try_update_value(std::mem::take) else { return };
        self.scheduled.set_value(false);
        if touched.is_empty() {
            return;
        }
        if touched.order {
            self.order.set(self.timeline.with_value(Timeline::order));
        }
        if touched.course || touched.order {
            let (course, activity) =
                self.timeline.with_value(|timeline| (timeline.course().clone(), timeline.activity()));
            self.course.maybe_update(|now| changed(now, course));
            self.activity.maybe_update(|now| changed(now, activity));
            let (earlier, detached) =
                self.timeline.with_value(|timeline| (timeline.earlier().is_some(), timeline.is_detached()));
            self.earlier.maybe_update(|now| changed(now, earlier));
            self.detached.maybe_update(|now| changed(now, detached));
        }
        // Not collected: that would sort them first, with 5 KB of program.
        let mut rows = BTreeSet::new();
        rows.extend(touched.items.iter().copied());
        let triggers: Vec<ArcTrigger> =
            self.rows.with_value(|known| rows.iter().filter_map(|no| known.get(no).cloned()).collect());
        triggers.iter().for_each(ArcTrigger::notify);
        if self.arrived.try_update_value(std::mem::take).unwrap_or_default() {
            self.news.update(|news| *news += 1);
        }
    }
}

/// Whether something is different now.
fn changed<T: PartialEq>(now: &mut T, value: T) -> bool {
    let differs = *now != value;
    *now = value;
    differs
}
