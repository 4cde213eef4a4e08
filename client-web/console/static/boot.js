// Loads the page's program. If that fails, says so in words: an empty screen helps nobody.
import init from "{{JS}}";

// The look somebody chose here, before the first thing is drawn. The program does the same again.
try {
  for (const name of ["theme"]) {
    const chosen = localStorage.getItem(`lanyard.${name}`);
    if (chosen) document.documentElement.setAttribute(`data-${name}`, chosen);
  }
} catch {
  // A browser that keeps nothing has nothing to tell.
}

const loading = document.getElementById("loading");

init({ module_or_path: "{{WASM}}" })
  .then(() => loading.remove())
  .catch((error) => {
    loading.className = "loading-failed";
    loading.setAttribute("role", "alert");
    loading.textContent =
      `This page could not be started (${error}). Reload it; if that does not help, update the browser.`;
  });
