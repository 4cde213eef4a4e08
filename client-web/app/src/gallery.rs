//! Every part, to be looked at without a host: `#/gallery`, in debug builds only.

use lanyard_protocol::Timestamp;
use lanyard_web_ui::{
    Ago, Button, Card, Choice, ChoiceItem, Code, Countdown, Digits, Empty, Field, Fold, Glyph, Icon,
    IconButton, KeyValue, Kind, LinkRow, Long, Pill, Problem, Progress, QrCode, Row, Section, Sheet,
    Sparkline, Switch, TextArea, Tone, VirtualList, Waiting,
};
use lanyard_web_view::{component, view};
use leptos::prelude::*;

use crate::prefs::Theme;
use crate::shell::Page;
use crate::store::Store;

/// See the module.
#[component]
pub(crate) fn Gallery() -> impl IntoView {
    let store = Store::take();
    let sheet = RwSignal::new(false);
    let busy = RwSignal::new(false);
    let pill = || view! { <Pill tone=Tone::Run>"step 4"</Pill> };
    let row = |n: i64| {
        view! { <Card>{format!("row {n}")}{(n % 3 == 0).then(|| view! { <br/>"with a second line" })}</Card> }
    };
    view! {
        <Page title="Gallery" end=pill>
            <Row title="2 approvals wait for you" detail="oldest expires in 3:10" tone=Tone::Ask>
                <Pill tone=Tone::Ask>"Review"</Pill>
            </Row>
            <Section title="Now">
                <Row title="Sort scanned receipts by month and year" detail="~/Documents/receipts · step 6 of 50" href="#/gallery">
                    <Pill tone=Tone::Run>"running"</Pill>
                </Row>
                <Row title="Update hosts file" detail="Tuesday · denied by policy at step 2" href="#/gallery" current=true>
                    <Pill tone=Tone::Bad>"denied"</Pill>
                </Row>
                <LinkRow title="Export photos" detail="12 Nov · 31 steps · done" href="#/gallery" icon=Glyph::Folder/>
            </Section>
            <Section title="Buttons">
                <div class="buttons">
                    <Button kind=Kind::Danger consequential=true on_press=move || store.warn("It was not done.")>"Deny"</Button>
                    <Button kind=Kind::Primary consequential=true busy on_press=move || busy.set(true)>"Approve once"</Button>
                </div>
                <Button on_press=move || sheet.set(true)>"Open a sheet"</Button>
                <Button disabled=true on_press=|| ()>"Cannot be pressed"</Button>
                <Button kind=Kind::Quiet on_press=move || store.say("Said.")>"Always for “cargo test” in this session…"</Button>
                <div class="beside">
                    <IconButton label="Send" icon=Glyph::Send primary=true on_press=|| ()/>
                    <IconButton label="More" icon=Glyph::More on_press=|| ()/>
                    <Icon name=Glyph::Settings/><Icon name=Glyph::Search/><Icon name=Glyph::Attach/><Icon name=Glyph::Shield/>
                    <Icon name=Glyph::Again/><Icon name=Glyph::Link/><Icon name=Glyph::Warning/><Icon name=Glyph::Terminal/>
                </div>
            </Section>
            <Texts/>
            <Fields/>
            <Section title="States">
                <Problem title="Central backend not reached for 12 min" waits=true
                    meaning="31 audit records wait on this machine; nothing is lost. Tasks go on until 16:00, then pause."
                    code="OUTBOX_UNREACHABLE connect timed out">
                    <Button on_press=|| ()>"Try now"</Button><Button on_press=|| ()>"What is this?"</Button>
                </Problem>
                <Problem title="This device was removed on Study Linux" meaning="It can no longer see or start anything there."/>
                <Empty title="No sessions yet"><p>"Give this machine a task."</p></Empty>
            </Section>
            <Section title="Pairing">
                <Digits text="407192"/>
                <QrCode text="https://192.168.1.7:7717/#P1ABCDEFGHIJKLMNOPQRSTUVWXYZ" label="A code"/>
            </Section>
            <Section title="Long list">
                <VirtualList first=0 end=50_000 label="Rows" row/>
            </Section>
            <Sheet open=sheet title="Run this command?" on_close=move || sheet.set(false)>
                <Code text="cargo test -p atlas-client"/>
                <div class="buttons">
                    <Button kind=Kind::Danger on_press=move || sheet.set(false)>"Deny"</Button>
                    <Button kind=Kind::Primary on_press=move || sheet.set(false)>"Approve once"</Button>
                </div>
            </Sheet>
        </Page>
    }
}

#[component]
fn Fields() -> impl IntoView {
    let prefs = Store::take().prefs;
    let (name, code, task) =
        (RwSignal::new(String::new()), RwSignal::new("K7QX-92".to_owned()), RwSignal::new(String::new()));
    let on = RwSignal::new(true);
    let themes = vec![
        ChoiceItem::new(Theme::Auto, "As the device"),
        ChoiceItem::new(Theme::Light, "Light"),
        ChoiceItem::new(Theme::Dark, "Dark").about("Easier at night."),
    ];
    view! {
        <Section title="Fields">
            <Field label="Name of this device" value=name hint="So the owner knows it." placeholder="Pixel phone"/>
            <Field label="Code" value=code mono=true error=Some("A pairing code has 8 characters".to_owned())/>
            <TextArea label="Task" value=task placeholder="Give this machine a task"/>
            <Choice label="Colours" options=themes.clone() value=prefs.theme on_change=move |theme| prefs.theme.set(theme)/>
            <Choice label="Colours" options=themes value=prefs.theme bar=true on_change=move |theme| prefs.theme.set(theme)/>
            <Card><Switch label="Vibration" hint="When something waits" on on_change=move |wanted| on.set(wanted)/></Card>
        </Section>
    }
}

#[component]
fn Texts() -> impl IntoView {
    let now = js_sys::Date::now();
    let whole = RwSignal::new(false);
    let lines = (1..30).map(|n| format!("line {n}")).collect::<Vec<_>>().join("\n");
    view! {
        <Section title="Time">
            <Card tone=Tone::Ask>
                <Countdown until_ms=now + 216_000.0 total_ms=300_000.0 before="Answer within" after="else it is denied."/>
            </Card>
            <Progress share=0.4 label="Upload"/>
            <p><Ago at=Timestamp::from_millis(now as i64 - 250_000)/></p>
            <Waiting what="Asking the host"/>
        </Section>
        <Section title="Text">
            <Code text="cargo test -p atlas-client --no-default-features --features a,b,c -- --nocapture a_very_long_name_without_any_space_in_it"/>
            <Fold text=lines.clone()/>
            <Long text=lines label="What it reads" most=20 whole/>
            <Button on_press=move || whole.set(true)>"Show everything"</Button>
            <KeyValue rows=vec![("Up since".to_owned(), "Mon 08:14 · 9 d".to_owned()), ("Last task".to_owned(), "done, 4 min ago".to_owned())]/>
            <Sparkline points=vec![3.0, 4.0, 2.0, 7.0, 6.0, 9.0, 8.0] label="Tasks of a week"/>
        </Section>
    }
}
