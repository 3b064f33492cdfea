/* The queue: the next find at once, keys, and tools for photos. Without it, forms and links do. */
import { preparePhotos } from "./queue_photos.js";

const queue = document.getElementById("queue");
const finds = document.getElementById("queue-finds");
const keys = document.getElementById("queue-keys");
const keysOn = document.getElementById("queue-keys-on");
const RENEW_MS = 240000;
const sentAway = new Set(); // ids of finds about which something was sent
let isUsed = true; // since the leases were renewed
let sending = Promise.resolve(); // one request after the other, in the order of the clicks

const all = () => [...finds.querySelectorAll(":scope > .find")];
const current = () => finds.querySelector(":scope > .find:not([hidden])");

/** Show one find, and tell screen readers by the focus. */
function show(find) {
  for (const each of all()) {
    each.hidden = each !== find;
  }
  if (find) {
    find.querySelector("h2").focus({ preventScroll: true });
    window.scrollTo(0, 0);
    history.replaceState(null, "", `?find=${find.dataset.find}`); // a reload shows the same find
  }
}

/** Forget what was told of an earlier decision. */
function clearMessages() {
  document.querySelector(".messages")?.remove();
  document.getElementById("queue-told").replaceChildren();
}

function tell(text) {
  const message = document.createElement("p");
  message.className = "message error";
  message.textContent = text;
  document.getElementById("queue-told").replaceChildren(message);
}

/** Send a form after those before it, and take in what comes back. `find` returns if it fails. */
function send(url, body, find = null, failure = queue.dataset.unstored) {
  sending = sending.then(async () => {
    body.set("have", all().map((each) => each.dataset.find).join(" "));
    let response, update;
    try {
      const headers = { "HX-Request": "true" };
      response = await fetch(url, { method: "POST", body, headers, keepalive: true });
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      update = page.getElementById("queue-update");
    } catch {
      update = null;
    }
    if (response?.redirected) {
      window.location.reload(); // logged out meanwhile
      return;
    }
    if (find && !(response?.ok && update) && response?.status !== 404) {
      sentAway.delete(find.dataset.find);
      finds.prepend(find);
      show(find);
    }
    if (update) {
      takeIn(update);
    } else {
      tell(failure);
    }
  });
}

/** Put what the server tells into the page: progress, messages, and the finds that it lacked. */
function takeIn(update) {
  const held = new Set(update.dataset.held.split(" "));
  const first = update.dataset.first;
  sentAway.delete(first); // it was taken back
  document.getElementById("queue-progress").replaceChildren(...update.querySelector(".progress").childNodes);
  document.getElementById("queue-told").append(...update.querySelector(".told").children);
  for (const find of update.querySelectorAll(":scope > .find")) {
    const id = find.dataset.find;
    if (!sentAway.has(id) && !document.getElementById(find.id)) {
      find.hidden = true;
      finds.append(document.adoptNode(find));
      prepare(find);
      htmx.process(find);
    }
  }
  all().filter((each) => !held.has(each.dataset.find)).forEach((each) => each.remove());
  const wanted = first && document.getElementById(`find-${first}`);
  if (wanted) {
    finds.prepend(wanted);
    show(wanted);
  } else if (!current()) {
    show(all()[0]);
  }
  const empty = current() ? [] : update.querySelector(".empty-queue").childNodes;
  document.getElementById("queue-empty").replaceChildren(...empty);
}

function loadMore() {
  isUsed = false;
  send(queue.dataset.more, new FormData(document.getElementById("queue-undo")), null, queue.dataset.unloaded);
}

/** Show the tools that need a script. */
function prepare(find) {
  find.querySelectorAll(".with-script").forEach((each) => (each.hidden = false));
  preparePhotos(find);
}

queue.addEventListener("submit", (event) => {
  const form = event.target, find = form.closest(".find");
  if (form.matches(".decide")) {
    event.preventDefault();
    clearMessages();
    sentAway.add(find.dataset.find);
    find.remove();
    show(all()[0]);
    send(form.action, new FormData(form, event.submitter), find);
  } else if (form.id === "queue-undo") {
    event.preventDefault();
    clearMessages();
    send(form.action, new FormData(form));
  }
});

queue.addEventListener("click", (event) => event.target.closest("#queue-keys-open") && keys.showModal());

document.addEventListener("keydown", (event) => {
  const at = event.target, isText = at.matches("textarea, select, input:not([type=radio], [type=checkbox], [type=range])");
  if (isText && event.key === "Escape") {
    at.blur();
  }
  if (event.key === "Enter" && at.matches(".decide input")) {
    event.preventDefault(); // it decides nothing
    return;
  }
  const isArrow = event.key.startsWith("Arrow");
  const hasArrows = isArrow && at.matches("input, .zoomed .photo > a"); // these have a use for arrows of their own
  if (!keysOn.checked || keys.open || isText || hasArrows || event.ctrlKey || event.altKey || event.metaKey || (event.repeat && !isArrow)) {
    return;
  }
  // Digits by their place: on French keyboards they need the shift key.
  const digit = event.key === "?" ? null : /^(?:Digit|Numpad)([1-9])$/.exec(event.code);
  const key = digit ? digit[1] : event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const selector = `[data-key="${CSS.escape(key)}"]`;
  const target = current()?.querySelector(selector) ?? queue.querySelector(`:scope > .queue-head ${selector}`);
  if (target) {
    event.preventDefault();
    const note = target.closest(".note");
    if (note) { // at once: the next key is a letter of the note, and no decision
      note.open = true;
      note.querySelector("textarea").focus();
    } else {
      target.click();
    }
  }
});

for (const kind of ["keydown", "pointerdown", "scroll"]) {
  document.addEventListener(kind, () => (isUsed = true), { passive: true, capture: true });
}
setInterval(() => isUsed && all().length && loadMore(), RENEW_MS);
document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && all().length && loadMore());

try {
  keysOn.checked = localStorage.getItem("champipy.keys") !== "off";
} catch {} // a browser that stores nothing
keysOn.addEventListener("change", () => {
  try {
    localStorage.setItem("champipy.keys", keysOn.checked ? "on" : "off");
  } catch {}
});
document.getElementById("queue-keys-open").hidden = false;
all().forEach(prepare);
if (all().length) {
  loadMore();
}
