//! A panic is a defect of the page and the end of its program, which nothing unwinds. The screen says so instead of staying
//! as it was, with buttons that do nothing. It is loaded again only when somebody wants that: a page that panics as it
//! starts would otherwise do so for ever.

use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicBool, Ordering};

use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Document, Element, HtmlElement, Location, Window};

/// For people. What the panic said may quote what was on the screen: it is for the console alone.
const TITLE: &str = "This page has stopped";

/// Shows panics from now on. `meaning`: what one means for whoever uses this page, in a sentence or three.
pub fn show(meaning: &'static str) {
    std::panic::set_hook(Box::new(move |info| panicked(info, meaning)));
}

fn panicked(info: &PanicHookInfo<'_>, meaning: &str) {
    static SHOWN: AtomicBool = AtomicBool::new(false);
    web_sys::console::error_1(&JsValue::from(info.to_string()));
    // What calls into the program still may panic again.
    if SHOWN.swap(true, Ordering::Relaxed) {
        return;
    }
    // Nothing of the page's own may be relied on here, its parts included.
    if let Some(window) = web_sys::window()
        && let Err(error) = replace(&window, meaning)
    {
        web_sys::console::error_1(&error);
    }
}

/// Puts a few words and a button in the place of everything.
fn replace(window: &Window, meaning: &str) -> Result<(), JsValue> {
    let none = || JsValue::from("the page has no body");
    let document = window.document().ok_or_else(none)?;
    let body = document.body().ok_or_else(none)?;
    let button: HtmlElement = with_text(&document, "button", "Reload")?.unchecked_into();
    button.set_class_name("button button-primary");
    button.set_onclick(Some(&reload(&window.location())?));
    let page = document.create_element("main")?;
    page.set_class_name("full-page");
    page.set_attribute("role", "alert")?;
    let (title, meaning) = (with_text(&document, "h1", TITLE)?, with_text(&document, "p", meaning)?);
    for part in [&title, &meaning, button.as_ref()] {
        page.append_child(part)?;
    }
    body.set_text_content(None);
    body.append_child(&page)?;
    button.focus()
}

fn with_text(document: &Document, name: &str, text: &str) -> Result<Element, JsValue> {
    let element = document.create_element(name)?;
    element.set_text_content(Some(text));
    Ok(element)
}

/// The browser's own function: one of the program would run in what has just broken.
fn reload(location: &Location) -> Result<js_sys::Function, JsValue> {
    let reload = js_sys::Reflect::get(location, &"reload".into())?;
    Ok(reload.unchecked_into::<js_sys::Function>().bind0(location))
}
