/* What all pages need: a message where htmx could not reach the server, or was refused. */
"use strict";

document.addEventListener("htmx:responseError", (event) => tell(event));
document.addEventListener("htmx:sendError", (event) => tell(event));

/** Show the text that the element (or one around it) has for failures, in its live region. */
function tell(event) {
  const owner = event.target.closest("[data-failure]");
  const place = document.getElementById("failures");
  if (owner && place) {
    place.textContent = owner.dataset.failure;
  }
}
