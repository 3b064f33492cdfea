/* On a narrow screen the filters of a list wait behind a button. Without this script they follow
   the list, all of them. */
"use strict";

document.addEventListener("DOMContentLoaded", () => {
    const list = document.getElementById("changelist");
    const button = list?.querySelector(".filters-button");
    if (!button) {
        return;
    }
    button.hidden = false;
    list.classList.add("filters-closed");
    button.addEventListener("click", () => {
        const isClosed = list.classList.toggle("filters-closed");
        button.setAttribute("aria-expanded", String(!isClosed));
    });
});
