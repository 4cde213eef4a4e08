//! What this device may be called, until a person says otherwise.

use web_sys::Navigator;

use crate::browser;

/// A name for this device: `iPhone`, `Pixel 9 · Chrome`, `Mac · Firefox`.
pub fn suggested_name() -> String {
    name(&Agent::here())
}

/// What it runs on: `iOS`, `Android`, `macOS`, `Windows`, `Linux`.
pub fn suggested_platform() -> String {
    System::of(&Agent::here()).platform().to_owned()
}

/// What a browser says of itself. Informative; anybody can say anything.
struct Agent {
    words: String,
    fingers: i32,
}

impl Agent {
    fn here() -> Self {
        let navigator = browser::window().map(|window| window.navigator());
        let words = navigator.as_ref().ok().and_then(|it| it.user_agent().ok()).unwrap_or_default();
        Self { words, fingers: navigator.as_ref().map_or(0, Navigator::max_touch_points) }
    }

    fn has(&self, word: &str) -> bool {
        self.words.contains(word)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum System {
    Phone,
    Pad,
    Android,
    Mac,
    Windows,
    Linux,
    Other,
}

impl System {
    fn of(agent: &Agent) -> Self {
        match agent {
            agent if agent.has("iPhone") => Self::Phone,
            // A tablet calls itself a Mac; no Mac has more than one finger on its screen.
            agent if agent.has("iPad") || (agent.has("Macintosh") && agent.fingers > 1) => Self::Pad,
            agent if agent.has("Android") => Self::Android,
            agent if agent.has("Macintosh") => Self::Mac,
            agent if agent.has("Windows") => Self::Windows,
            agent if agent.has("CrOS") || agent.has("Linux") => Self::Linux,
            _ => Self::Other,
        }
    }

    fn platform(self) -> &'static str {
        match self {
            Self::Phone => "iOS",
            Self::Pad => "iPadOS",
            Self::Android => "Android",
            Self::Mac => "macOS",
            Self::Windows => "Windows",
            Self::Linux => "Linux",
            Self::Other => "web",
        }
    }
}

/// Most specific first: most browsers also claim to be others.
const BROWSERS: &[(&str, &str)] = &[
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS", "Firefox"),
    ("CriOS", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
];

fn name(agent: &Agent) -> String {
    let device = match System::of(agent) {
        System::Phone => "iPhone".to_owned(),
        System::Pad => "iPad".to_owned(),
        System::Android => model(&agent.words).unwrap_or("Android").to_owned(),
        System::Mac => "Mac".to_owned(),
        System::Windows => "Windows".to_owned(),
        System::Linux => "Linux".to_owned(),
        System::Other => "Browser".to_owned(),
    };
    match BROWSERS.iter().find(|(word, _)| agent.has(word)) {
        // What everybody uses there needs no mention.
        Some((_, "Safari")) | None => device,
        Some((_, browser)) => format!("{device} · {browser}"),
    }
}

/// The model in `… (Linux; Android 15; Pixel 9) …`. Newer Chromium says `K` for all of them.
fn model(words: &str) -> Option<&str> {
    let (_, rest) = words.split_once("Android ")?;
    let (inside, _) = rest.split_once(')')?;
    let model = inside.split(';').nth(1)?.split(" Build/").next()?.trim();
    // Firefox says the kind instead. The longest known name of a phone has 30 letters.
    let fits = (2..=32).contains(&model.len())
        && !matches!(model, "Mobile" | "Tablet")
        && !model.contains(char::is_control);
    fits.then_some(model)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_have_names_people_know() {
        let cases = [
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                 Version/18.5 Mobile/15E148 Safari/604.1",
                5,
                ("iPhone", "iOS"),
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                 CriOS/138.0 Mobile/15E148 Safari/604.1",
                5,
                ("iPhone · Chrome", "iOS"),
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                 Version/18.5 Safari/605.1.15",
                5,
                ("iPad", "iPadOS"),
            ),
            (
                "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 \
                 Mobile Safari/537.36",
                5,
                ("Pixel 9 · Chrome", "Android"),
            ),
            (
                "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 \
                 Chrome/130.0.0.0 Mobile Safari/537.36",
                5,
                ("Android · Samsung Internet", "Android"),
            ),
            (
                "Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0",
                5,
                ("Android · Firefox", "Android"),
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
                0,
                ("Linux · Firefox", "Linux"),
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 \
                 Safari/537.36 Edg/138.0.0.0",
                0,
                ("Windows · Edge", "Windows"),
            ),
            ("", 0, ("Browser", "web")),
            ("Android ", 0, ("Android", "Android")),
        ];
        for (words, fingers, expected) in cases {
            let agent = Agent { words: words.to_owned(), fingers };
            assert_eq!((&*name(&agent), System::of(&agent).platform()), expected, "{words}");
        }
    }
}
