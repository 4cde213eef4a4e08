//! Files that go with a task: chosen, photographed, pasted or dropped; put into the session's workspace piece by piece.

use lanyard_protocol::bytes::Bytes;
use lanyard_protocol::id::{CommandId, SessionId};
use lanyard_protocol::method::PutAttachment;
use lanyard_web_state::sessions::draft::{may_attach, next_piece, shown_name};
use lanyard_web_state::words;
use lanyard_web_ui::{Glyph, Icon, IconButton, Progress};
use lanyard_web_view::{For, component, view};
use leptos::html;
use leptos::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{File, FileList};

use crate::store::{Failed, Store};

/// One file. `Copy`: handles to what is known of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Attached {
    no: u32,
    file: StoredValue<File, LocalStorage>,
    name: StoredValue<String>,
    size: u64,
    /// Under which the host continues it.
    id: StoredValue<Option<CommandId>>,
    /// Bytes the host has; none before the first piece.
    put: RwSignal<Option<u64>>,
    /// Where it lies, once all of it is there.
    path: StoredValue<Option<String>>,
}

/// The files of one draft. `Copy`.
#[derive(Clone, Copy)]
pub(super) struct Files {
    store: Store,
    all: RwSignal<Vec<Attached>>,
    next: StoredValue<u32>,
}

impl Files {
    pub(super) fn new(store: Store) -> Self {
        Self { store, all: RwSignal::new(Vec::new()), next: StoredValue::new(0) }
    }

    /// Whether there is none.
    pub(super) fn is_empty(self) -> bool {
        self.all.with(Vec::is_empty)
    }

    /// Takes files, as far as a task takes them; says why not.
    pub(super) fn take(self, files: &FileList) {
        for file in (0..files.length()).filter_map(|at| files.get(at)) {
            let size = file.size() as u64;
            let already = self.all.with_untracked(Vec::len);
            if let Err(why) = may_attach(&file.name(), size, already) {
                self.store.warn(why);
                continue;
            }
            let no = self.next.try_update_value(|next| {
                *next = next.wrapping_add(1);
                *next
            });
            let attached = Attached {
                no: no.unwrap_or_default(),
                name: StoredValue::new(file.name()),
                file: StoredValue::new_local(file),
                size,
                id: StoredValue::new(fresh_id()),
                put: RwSignal::new(None),
                path: StoredValue::new(None),
            };
            self.all.update(|all| all.push(attached));
        }
    }

    fn remove(self, no: u32) {
        self.all.update(|all| all.retain(|file| file.no != no));
    }

    /// They were given to a task.
    pub(super) fn clear(self) {
        self.all.update(Vec::clear);
    }

    /// Another session: what lies in one's workspace is not in the other's.
    pub(super) fn put_anew(self) {
        for file in self.all.get_untracked() {
            file.put.set(None);
            file.path.set_value(None);
            file.id.set_value(fresh_id());
        }
    }

    /// All of them, as they are now.
    pub(super) fn all(self) -> Vec<Attached> {
        self.all.get_untracked()
    }

    /// Puts files into a session's workspace and returns where they lie. What is there already is not sent twice.
    ///
    /// # Errors
    /// In words; what was put stays, so that the next attempt goes on.
    pub(super) async fn put(self, files: Vec<Attached>, session: &SessionId) -> Result<Vec<String>, Failed> {
        let mut paths = Vec::new();
        for file in files {
            paths.push(self.put_one(session, file).await?);
        }
        Ok(paths)
    }

    async fn put_one(self, session: &SessionId, file: Attached) -> Result<String, Failed> {
        let gone = Failed::ended;
        loop {
            if let Some(path) = file.path.try_get_value().flatten() {
                return Ok(path);
            }
            let put = file.put.try_get_untracked().ok_or_else(gone)?;
            let Some(piece) = next_piece(put, file.size) else { return Err(not_taken(&file)) };
            let source = file.file.try_get_value().ok_or_else(gone)?;
            let bytes = read(&source, piece.offset, piece.length).await.ok_or_else(|| not_read(&file))?;
            let attachment_id = file.id.try_get_value().flatten().ok_or_else(gone)?;
            let call = PutAttachment {
                session_id: session.clone(),
                attachment_id,
                name: file.name.try_get_value().ok_or_else(gone)?,
                offset: piece.offset,
                bytes: Bytes(bytes),
                last: piece.last,
            };
            let taken = self.store.call(call).await?;
            let _ = file.put.try_set(Some(taken.length));
            let _ = file.path.try_set_value(taken.path);
        }
    }
}

fn said(said: String) -> Failed {
    Failed { said, code: None, certain: true }
}

fn not_read(file: &Attached) -> Failed {
    let name = shown_name(&file.name.try_get_value().unwrap_or_default());
    said(format!(
        "{name} cannot be read any more: it was moved or changed since it was chosen. Choose it again."
    ))
}

fn not_taken(file: &Attached) -> Failed {
    said(format!(
        "The host has all of {}, but did not say where. Attach it again.",
        shown_name(&file.name.try_get_value().unwrap_or_default())
    ))
}

/// A name of its own for each file, so that a repeated piece finds where it belongs.
fn fresh_id() -> Option<CommandId> {
    let part = || (js_sys::Math::random() * f64::from(u32::MAX)) as u32;
    CommandId::new(format!("file-{:08x}{:08x}{:08x}", part(), part(), js_sys::Date::now() as u64 as u32)).ok()
}

async fn read(file: &File, offset: u64, length: u32) -> Option<Vec<u8>> {
    // Sizes of files that can be attached are exact as floating point.
    let (from, to) = (offset as f64, (offset + u64::from(length)) as f64);
    let piece = file.slice_with_f64_and_f64(from, to).ok()?;
    let buffer = JsFuture::from(piece.array_buffer()).await.ok()?;
    let bytes = js_sys::Uint8Array::new(&buffer).to_vec();
    (bytes.len() == usize::try_from(length).ok()?).then_some(bytes)
}

/// The files chosen, and how far each is on its way.
#[component]
pub(super) fn Chips(files: Files, #[prop(into)] busy: Signal<bool>) -> impl IntoView {
    let chip = move |file: Attached| {
        let name = shown_name(&file.name.get_value());
        let share = Signal::derive(move || {
            let put = file.put.get().unwrap_or_default();
            if file.size == 0 { 1.0 } else { put as f64 / file.size as f64 }
        });
        let label = format!("{name} on its way");
        let remove = format!("Remove {name}");
        let end = move || {
            if busy.get() {
                view! { <span class="chip-progress"><Progress share label=label.clone()/></span> }
            } else {
                view! { <IconButton label=remove.clone() icon=Glyph::Close on_press=move || files.remove(file.no)/> }
            }
        };
        view! {
            <li class="chip">
                <Icon name=Glyph::File/>
                <span class="chip-name">{name}</span>
                <span class="soft nowrap">{words::bytes(file.size)}</span>
                {end}
            </li>
        }
    };
    move || {
        (!files.is_empty()).then(|| {
            view! {
                <ul class="chips" aria-label="Attached files">
                    <For each=move || files.all.get() key=|file| file.no children=chip/>
                </ul>
            }
        })
    }
}

/// Chooses files, or takes a photo on phones.
#[component]
pub(super) fn Pickers(files: Files, #[prop(into)] disabled: Signal<bool>) -> impl IntoView {
    let picker = NodeRef::<html::Input>::new();
    let picked = move |_| {
        if let Some(input) = picker.get_untracked() {
            if let Some(chosen) = input.files() {
                files.take(&chosen);
            }
            // The same file can be chosen again.
            input.set_value("");
        }
    };
    // Phones offer the camera, the photos and the files in one menu.
    view! {
        <input type="file" multiple="" class="unseen" tabindex="-1" aria-hidden="true" node_ref=picker on:change=picked/>
        <IconButton
            label="Attach a file or photo"
            icon=Glyph::Attach
            disabled
            on_press=move || {
                if let Some(input) = picker.get_untracked() {
                    input.click();
                }
            }
        />
    }
}
