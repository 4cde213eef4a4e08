//! From the compiled program to what a browser loads: wasm-bindgen as a library.

use anyhow::{Context, Result};
use std::path::Path;
use wasm_bindgen_cli_support::Bindgen;

/// The page's program and the script that loads it.
#[derive(Debug)]
pub(super) struct Script {
    /// An ES module whose default export takes the address of the program.
    pub(super) js: String,
    pub(super) wasm: Vec<u8>,
    /// Further modules the script imports, by their path (`./snippets/…`).
    pub(super) modules: Vec<(String, String)>,
}

/// Makes the script that ties a program to the browser.
pub(super) fn bind(program: &Path) -> Result<Script> {
    let mut bindgen = Bindgen::new();
    bindgen.input_path(program).out_name("page");
    bindgen.web(true)?.typescript(false).remove_name_section(true).remove_producers_section(true);
    // The address is handed over by boot.js, which knows the name with its hash.
    bindgen.omit_default_module_path(true);
    let mut output = bindgen
        .generate_output()
        .with_context(|| format!("wasm-bindgen cannot read {}", program.display()))?;
    let mut modules: Vec<_> = output
        .local_modules()
        .iter()
        .map(|(path, text)| (format!("./snippets/{path}"), text.clone()))
        .collect();
    for (package, inline) in output.snippets() {
        let named = inline.iter().enumerate();
        modules.extend(named.map(|(n, text)| (format!("./snippets/{package}/inline{n}.js"), text.clone())));
    }
    modules.sort();
    Ok(Script { js: output.js().to_owned(), wasm: output.wasm_mut().emit_wasm(), modules })
}
