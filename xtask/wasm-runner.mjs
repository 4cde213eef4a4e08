// Runs a test program that was compiled for a browser: node wasm-runner.mjs PROGRAM
//
// Rust's test harness cannot print there; a test that fails traps, which ends this with an error.
import { readFileSync } from "node:fs";

const program = new WebAssembly.Module(readFileSync(process.argv[2]));
const page = {};
for (const { module, name } of WebAssembly.Module.imports(program)) {
  page[module] ??= {};
  page[module][name] = () => {
    throw new Error(`the tests want ${name} of ${module}, which only a page has`);
  };
}
process.exitCode = new WebAssembly.Instance(program, page).exports.main(0, 0);
