//! A small set of pictures, drawn as lines on a grid of 24.

use lanyard_web_view::{component, view};
use leptos::prelude::*;

/// Which picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Glyph {
    /// To the page above.
    Back,
    /// Leads further.
    Forward,
    /// Opens below.
    Down,
    /// Goes away.
    Close,
    /// Done, allowed.
    Check,
    /// Sends.
    Send,
    /// Ends what is under way.
    Stop,
    /// One more.
    Plus,
    /// More things to do.
    More,
    /// Looks for something.
    Search,
    /// Attaches something.
    Attach,
    /// Copies a text.
    Copy,
    /// Saves a file.
    Download,
    /// Once more.
    Again,
    /// Sessions.
    Sessions,
    /// Approvals.
    Approvals,
    /// Files.
    Files,
    /// A file.
    File,
    /// A directory.
    Folder,
    /// A host.
    Host,
    /// A phone.
    Phone,
    /// Settings.
    Settings,
    /// Something to know.
    Info,
    /// Something to watch out for.
    Warning,
    /// A terminal.
    Terminal,
    /// What protects.
    Shield,
    /// A link to elsewhere.
    Link,
    /// Everything at a glance.
    Overview,
    /// Figures over time.
    Chart,
    /// People.
    People,
    /// A record of what was done.
    Record,
}

impl Glyph {
    /// The lines, as the `d` of a path.
    fn lines(self) -> &'static str {
        match self {
            Self::Back => "M15 5l-7 7 7 7",
            Self::Forward => "M9 5l7 7-7 7",
            Self::Down => "M5 9l7 7 7-7",
            Self::Close => "M6 6l12 12M18 6L6 18",
            Self::Check => "M5 12.5l4.5 4.5L19 7.5",
            Self::Send => "M12 19V5M6 11l6-6 6 6",
            Self::Stop => "M7 7h10v10H7z",
            Self::Plus => "M12 5v14M5 12h14",
            Self::More => {
                "M4.5 12a.5.5 0 1 0 1 0 .5.5 0 1 0-1 0M11.5 12a.5.5 0 1 0 1 0 .5.5 0 1 0-1 0M18.5 12a.5.5 0 1 0 1 0 .5.5 0 1 0-1 0"
            }
            Self::Search => "M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13zM15.5 15.5L20 20",
            Self::Attach => {
                "M19 11l-7.5 7.5a4.2 4.2 0 0 1-6-6L13 5a2.8 2.8 0 0 1 4 4l-7.5 7.5a1.4 1.4 0 0 1-2-2L14 8"
            }
            Self::Copy => "M9 9h10v11H9zM15 9V4H5v11h4",
            Self::Download => "M12 4v11M7 10.5l5 5 5-5M5 20h14",
            Self::Again => "M19 12a7 7 0 1 1-2.2-5.1M19 4v4h-4",
            Self::Sessions => "M4 5h16v11H9l-5 4z",
            Self::Approvals => "M12 3l7 3v5.5c0 4.5-3 7.8-7 9.5-4-1.7-7-5-7-9.5V6zM9 12l2.2 2.2L15.2 10",
            Self::Files | Self::Folder => "M3.5 6h6l2 2.5h9V19h-17z",
            Self::File => "M6 3h8l4 4v14H6zM14 3v4h4",
            Self::Host => "M4 5h16v11H4zM9 20h6M12 16v4",
            Self::Phone => "M7 3h10v18H7zM11 18h2",
            Self::Settings => "M4 7h9M17 7h3M15 5v4M4 12h3M11 12h9M9 10v4M4 17h9M17 17h3M15 15v4",
            Self::Info => "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM12 11v5M12 8h.01",
            Self::Warning => "M12 4l9 16H3zM12 10v4M12 17h.01",
            Self::Terminal => "M3.5 5h17v14h-17zM7 9l3 3-3 3M12.5 15H16",
            Self::Shield => "M12 3l7 3v5.5c0 4.5-3 7.8-7 9.5-4-1.7-7-5-7-9.5V6z",
            Self::Overview => "M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM13 13h7v7h-7z",
            Self::Chart => "M4 4v16h16M8 16v-4M12 16V8M16 16v-6",
            Self::People => {
                "M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM2.5 20a6.5 6.5 0 0 1 13 0M16 4.3a3.5 3.5 0 0 1 0 6.4M18 14.2a6.5 6.5 0 0 1 3.5 5.8"
            }
            Self::Record => "M6 3h12v18H6zM9 8h6M9 12h6M9 16h4",
            Self::Link => {
                "M10 14a4 4 0 0 0 5.7 0l3-3A4 4 0 0 0 13 5.3l-1 1M14 10a4 4 0 0 0-5.7 0l-3 3A4 4 0 0 0 11 18.7l1-1"
            }
        }
    }
}

/// A picture. Hidden from screen readers: what it stands for is said beside it.
#[component]
pub fn Icon(
    /// Which.
    name: Glyph,
) -> impl IntoView {
    view! {
        <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
            <path d=name.lines()></path>
        </svg>
    }
}
