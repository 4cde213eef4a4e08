// The page's service worker; browsers run it only where they have checked the host's certificate.
//
// It keeps the page itself, so that it opens at once and says honestly that the host is away instead of showing a
// browser's error. It keeps nothing of the host: sessions and files never pass through here. The page is asked of the host
// first, so a new version is used from its first load on; what carries a hash in its name never changes.
const KEPT = "lanyard-{{WASM}}";
const PAGE = "/";
const PARTS = [PAGE, "{{CSS}}", "{{BOOT}}", "{{JS}}", "{{WASM}}", "/manifest.webmanifest", "/icon.svg"];

// Longer than a host in the same network needs, shorter than a person waits before an empty screen.
const PATIENCE = 2500;

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(KEPT).then((kept) => kept.addAll(PARTS)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  const drop = async () => {
    for (const name of await caches.keys()) {
      if (name.startsWith("lanyard-") && name !== KEPT) await caches.delete(name);
    }
    await self.clients.claim();
  };
  event.waitUntil(drop());
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const address = new URL(request.url);
  if (request.method !== "GET" || address.origin !== self.location.origin) return;
  if (request.mode === "navigate") {
    if (address.pathname === PAGE) event.respondWith(page(request));
  } else if (PARTS.includes(address.pathname)) {
    event.respondWith(caches.match(address.pathname).then((kept) => kept ?? fetch(request)));
  }
});

// From the host; from what is kept where the host does not answer.
async function page(request) {
  const late = new Promise((_, give) => setTimeout(give, PATIENCE, new Error("late")));
  const fresh = fetch(request);
  try {
    return await Promise.race([fresh, late]);
  } catch {
    return (await caches.match(PAGE)) ?? fresh;
  }
}

// A tap on a notification leads to the question it is about, in the page that is open.
self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  const place = String(event.notification.data ?? "#/approvals");
  const lead = async () => {
    const open = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
    const page = open.find((client) => new URL(client.url).origin === self.location.origin);
    const target = new URL(place.startsWith("#/") ? place : "#/approvals", self.location.origin + PAGE).href;
    if (!page) return self.clients.openWindow(target);
    // Refused for a page that another worker, or none, has loaded, and where the system lets nothing come forward.
    try {
      await page.focus();
      return await page.navigate(target);
    } catch {
      return self.clients.openWindow(target);
    }
  };
  event.waitUntil(lead());
});
