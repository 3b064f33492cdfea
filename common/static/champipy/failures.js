/* What htmx could not fetch or send: beside what was clicked, the page says what happened and what
   to do now. What asks again by itself (`data-asks-again`) says nothing, unless it was logged out. */
const template = document.getElementById("failures");
const KINDS = { 0: "unreachable", 403: "forbidden", 404: "gone", 429: "busy", 503: "busy" };

document.addEventListener("htmx:beforeRequest", (event) => forget(event.detail.elt));
document.addEventListener("htmx:beforeSwap", (event) => {
  const address = event.detail.xhr.responseURL;
  if (address && new URL(address).pathname === template.dataset.login) {
    event.detail.shouldSwap = false; // the page for logging in is no piece of this page
    tell(event.detail.requestConfig.elt, messageOf("logged-out"));
  }
});
document.addEventListener("htmx:responseError", (event) => {
  tellUnlessRepeated(event, event.detail.xhr.status);
});
for (const name of ["htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(name, (event) => tellUnlessRepeated(event, 0));
}

/** Return what to say of a response with this status; 0: there was none. */
export function failureMessage(status) {
  const message = messageOf(KINDS[status] ?? "broken");
  const place = message.querySelector("[data-status]");
  if (place) {
    place.textContent = status;
  }
  return message;
}

function tellUnlessRepeated(event, status) {
  const element = event.detail.requestConfig.elt;
  if (!element.matches("[data-asks-again]")) {
    tell(element, failureMessage(status));
  }
}

function tell(element, message) {
  forget(element);
  placeOf(element).after(message);
}

function messageOf(kind) {
  const message = template.content.querySelector(`[data-kind="${kind}"]`).cloneNode(true);
  message.setAttribute("role", "alert"); // screen readers tell it at once
  return message;
}

function forget(element) {
  const message = placeOf(element).nextElementSibling;
  if (message?.matches(".failure")) {
    message.remove();
  }
}

/** Return what a message follows: the paragraph or the form that was used. */
function placeOf(element) {
  return element.closest("p, form, article") ?? element;
}
