/* Keeps the live parts of a page up to date. Without this script, reload the page instead.

   Every two seconds an element with data-live="URL" is filled with the "html" of the URL's answer,
   {"html", "is_live"}, until "is_live" is false. With data-live-reload the whole page is then
   reloaded, because other parts of it have changed as well. A page with data-reload is only shown
   until something is ready: it is reloaded every two seconds. */
"use strict";

const LIVE_EVERY_MS = 2000;
const LIVE_AFTER_ERROR_MS = 10000;

async function keepLive(part) {
    let delayMs = LIVE_EVERY_MS;
    try {
        const response = await fetch(part.dataset.live, {
            headers: { Accept: "application/json" },
            redirect: "error", // when logged out: do not show the login page
        });
        if (!response.ok) {
            throw new Error(`${response.status}`);
        }
        const { html, is_live: isLive } = await response.json();
        if (!isLive && "liveReload" in part.dataset) {
            window.location.reload();
            return;
        }
        if (html !== part.dataset.shown) {
            part.innerHTML = html;
            part.dataset.shown = html;
        }
        if (!isLive) {
            return;
        }
    } catch {
        delayMs = LIVE_AFTER_ERROR_MS; // server restarting or network down: try again later
    }
    window.setTimeout(keepLive, delayMs, part);
}

document.addEventListener("DOMContentLoaded", () => {
    for (const part of document.querySelectorAll("[data-live]")) {
        window.setTimeout(keepLive, LIVE_EVERY_MS, part);
    }
    if (document.querySelector("[data-reload]")) {
        window.setTimeout(() => window.location.reload(), LIVE_EVERY_MS);
    }
});
