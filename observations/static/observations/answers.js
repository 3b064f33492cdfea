/* Pictures that a worker is still making, and cards, are asked for again; explanations are laid over
   photos. */
const MAX_RETRIES = 5;
const FAILED_PAUSE_MS = 10_000;

// Errors of pictures do not bubble: they are caught on their way down.
document.addEventListener("error", (event) => retry(event.target), true);
htmx.onLoad((root) => {
  for (const image of root.querySelectorAll("img[data-retry]")) {
    if (image.complete && image.naturalWidth === 0 && image.loading !== "lazy") {
      retry(image); // it failed before this script was there
    }
  }
  for (const control of root.querySelectorAll("[data-needs-script]")) {
    control.hidden = false;
  }
  for (const range of root.querySelectorAll(".evidence-strength")) {
    layOver(range);
  }
});
// A card whose find could not be asked for asks again; one whose find was deleted goes.
for (const name of ["htmx:responseError", "htmx:sendError"]) {
  document.addEventListener(name, (event) => {
    const card = event.target;
    if (!card.matches?.(".find-card[hx-get]")) {
      return;
    }
    if (event.detail.xhr?.status === 404) {
      card.remove();
    } else {
      setTimeout(() => htmx.trigger(card, "again"), FAILED_PAUSE_MS);
    }
  });
}

/** Ask again for a picture that was not ready: after 1 s, 2 s, 4 s, … */
function retry(image) {
  if (!(image instanceof HTMLImageElement) || !("retry" in image.dataset)) {
    return;
  }
  const tried = Number(image.dataset.retry || 0);
  if (tried >= MAX_RETRIES) {
    return;
  }
  image.dataset.retry = String(tried + 1);
  setTimeout(() => {
    image.src = image.src; // the same address, asked again
  }, 1000 * 2 ** tried);
}

/** Let a slider say how strongly the explanation covers the photo. */
function layOver(range) {
  const evidence = range.closest(".reasons").querySelector(".evidence");
  range.addEventListener("input", () => {
    evidence.style.opacity = String(range.value / 100);
  });
}
