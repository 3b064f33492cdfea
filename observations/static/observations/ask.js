/* The first page with scripts: photos are dropped, pasted and grouped, and each find is sent by
   itself, a few at a time. Without scripts the same form is sent as a whole. */
import { failureMessage } from "../champipy/failures.js";

const PARALLEL = 3;
const MAX_WAIT_S = 90;
const MAX_TRIES = 5;

const form = document.getElementById("ask");
const draftList = document.getElementById("drafts");
const grouping = document.getElementById("grouping");
const cards = document.getElementById("cards");
const progress = document.getElementById("progress");
const text = document.getElementById("progress-text");

/** Finds that are about to be sent: lists of files. */
let drafts = [];
let queue = [];
let sending = 0;
let total = openCards();

form.elements.photo.addEventListener("change", (event) => {
  addFiles(event.target.files);
  event.target.value = "";
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dropping");
});
for (const name of ["dragleave", "drop"]) {
  document.addEventListener(name, () => document.body.classList.remove("dropping"));
}
document.addEventListener("drop", (event) => {
  event.preventDefault();
  take(event.dataTransfer);
});
document.addEventListener("paste", (event) => {
  const isField = event.target.closest("input, textarea");
  if (event.clipboardData.files.length || !isField) {
    event.preventDefault();
    take(event.clipboardData);
  }
});
document.getElementById("group").addEventListener("click", () => {
  const chosen = [...draftList.children].map((item) => item.querySelector("input").checked);
  const files = drafts.filter((_, index) => chosen[index]).flat();
  if (files.length) {
    drafts = [files, ...drafts.filter((_, index) => !chosen[index])];
    showDrafts();
  }
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  const lines = form.elements.lines.value.split("\n").map((line) => line.trim()).filter(Boolean);
  const names = [...form.elements.proposed].map((input) => input.value.trim()).filter(Boolean);
  let finds = [...drafts.map((files) => ({files, lines: ""})), ...lines.map((line) => ({files: [], lines: line}))];
  if (form.elements.together.checked) {
    finds = [{files: drafts.flat(), lines: lines.join("\n")}];
  }
  finds = finds.filter((find) => find.files.length || find.lines);
  if (!finds.length) {
    form.elements.lines.focus();
    return;
  }
  const isIdle = !openCards();
  for (const find of finds) {
    const card = waitingCard(find);
    queue.push({...find, names, card, key: randomKey(), tries: 0});
  }
  total = isIdle ? finds.length : total + finds.length;
  drafts = [];
  showDrafts();
  form.reset();
  document.querySelector(".empty")?.remove();
  sendNext();
});
document.addEventListener("htmx:afterSettle", showProgress);
showProgress();

/** Take photos, or the addresses of some, that were dropped or pasted. */
function take(data) {
  if (data.files.length) {
    addFiles(data.files);
    return;
  }
  const dropped = (data.getData("text/uri-list") || data.getData("text/plain")).trim();
  if (dropped) {
    const before = form.elements.lines.value.trim();
    form.elements.lines.value = before ? `${before}\n${dropped}` : dropped;
  }
}

function addFiles(files) {
  drafts.push(...[...files].map((file) => [file]));
  showDrafts();
}

function showDrafts() {
  for (const image of draftList.querySelectorAll("img")) {
    URL.revokeObjectURL(image.src);
  }
  draftList.replaceChildren(...drafts.map((files, index) => {
    const item = copyOf("draft-template");
    for (const file of files) {
      const image = new Image();
      image.alt = "";
      image.src = URL.createObjectURL(file);
      item.querySelector(".draft-photos").append(image);
    }
    item.querySelector(".draft-name").textContent = files.map((file) => file.name).join(", ");
    item.querySelector("button").addEventListener("click", () => {
      drafts.splice(index, 1);
      showDrafts();
    });
    return item;
  }));
  grouping.hidden = drafts.length < 2;
}

function waitingCard(find) {
  const card = copyOf("waiting-template");
  card.querySelector("h3").textContent = nameOf(find);
  cards.prepend(card);
  return card;
}

function sendNext() {
  showProgress();
  while (sending < PARALLEL && queue.length) {
    const find = queue.shift();
    sending += 1;
    send(find).finally(() => {
      sending -= 1;
      sendNext();
    });
  }
}

/** Send one find, and put what the server answers in the place of its card. */
async function send(find) {
  const body = new FormData();
  body.append("csrfmiddlewaretoken", form.elements.csrfmiddlewaretoken.value);
  body.append("key", find.key); // sent again, it creates nothing twice
  body.append("lines", find.lines);
  body.append("together", "1");
  find.files.forEach((file) => body.append("photo", file));
  find.names.forEach((name) => body.append("proposed", name));
  let response, html;
  try {
    response = await fetch(form.action, {method: "POST", body, headers: {"HX-Request": "true"}});
    html = await response.text();
  } catch {
    showFailure(find, "", 0);
    return;
  }
  if (response.redirected) {
    location.reload(); // logged out
    return;
  }
  const waitS = Number(response.headers.get("Retry-After"));
  if ([429, 503].includes(response.status) && waitS <= MAX_WAIT_S && find.tries < MAX_TRIES) {
    find.tries += 1;
    await new Promise((resolve) => setTimeout(resolve, 1000 * Math.max(waitS, 1)));
    queue.unshift(find);
  } else if (response.ok) {
    for (const [, id] of html.matchAll(/id="(find-\d+)"/g)) {
      document.getElementById(id)?.remove(); // asked again: its card moves to the top
    }
    htmx.swap(find.card, html, {swapStyle: "outerHTML", swapDelay: 0, settleDelay: 0});
  } else if (response.status === 422) {
    htmx.swap(find.card, html, {swapStyle: "outerHTML", swapDelay: 0, settleDelay: 0});
    giveBack(find); // to be mended
  } else {
    const isPiece = response.headers.get("Content-Type")?.startsWith("text/html");
    showFailure(find, isPiece ? html : "", response.status);
  }
}

/** Put a find that was refused back into the form. */
function giveBack(find) {
  const lines = form.elements.lines;
  lines.value = [lines.value, find.lines].filter(Boolean).join("\n");
  if (find.files.length) {
    drafts.push(find.files);
    showDrafts();
  }
}

/** Say why a find was not accepted now, by the server's words or its status, and let it be sent
    again. */
function showFailure(find, html, status) {
  const card = copyOf("failed-template");
  card.querySelector("h3").textContent = nameOf(find);
  const reason = card.querySelector(".reason");
  if (html.includes('class="message')) {
    reason.innerHTML = html;
  } else {
    reason.append(failureMessage(status));
  }
  card.querySelector("button").addEventListener("click", () => {
    const waiting = copyOf("waiting-template");
    waiting.querySelector("h3").textContent = nameOf(find);
    card.replaceWith(waiting);
    queue.push({...find, card: waiting, tries: 0});
    sendNext();
  });
  find.card.replaceWith(card);
}

function showProgress() {
  const open = openCards();
  total = Math.max(total, open);
  progress.hidden = total < 2;
  const bar = progress.querySelector("progress");
  bar.max = total || 1;
  bar.value = total - open;
  text.textContent = text.dataset.text.replace("DONE", total - open).replace("ALL", total);
}

function openCards() {
  return document.querySelectorAll('#cards .waiting, #cards [data-status="pending"]').length;
}

function nameOf(find) {
  return [...find.files.map((file) => file.name), ...find.lines.split("\n")].filter(Boolean).join(", ");
}

function copyOf(template) {
  return document.getElementById(template).content.firstElementChild.cloneNode(true);
}

function randomKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
