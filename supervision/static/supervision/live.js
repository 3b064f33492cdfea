/* Keeps the parts of a page that move up to date. Without it, reloading the page does the same.

   An element with data-live="URL" is filled every two seconds with what the URL answers,
   {"html", "is_live"}, until that says that nothing moves any more. With data-live-reload the whole
   page is loaded anew then: other parts of it have changed as well. */
"use strict";

const LIVE_EVERY_MS = 2000;
const LIVE_AFTER_FAULT_MS = 10000;

async function keepLive(part) {
    let wait = LIVE_EVERY_MS;
    try {
        const response = await fetch(part.dataset.live, {
            headers: { Accept: "application/json" },
            redirect: "error", // logged out: the login page is no answer
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
        wait = LIVE_AFTER_FAULT_MS; // the server restarts, the network is away: ask again later
    }
    window.setTimeout(keepLive, wait, part);
}

document.addEventListener("DOMContentLoaded", () => {
    for (const part of document.querySelectorAll("[data-live]")) {
        window.setTimeout(keepLive, LIVE_EVERY_MS, part);
    }
});
