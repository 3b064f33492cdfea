/* Review of photos with the keyboard: one card after another, each decision sent at once.

   Without JavaScript, checkboxes and buttons do the same. The page lists the keys. */
"use strict";

document.addEventListener("DOMContentLoaded", () => {
    const grid = document.getElementById("photo-cards");
    const form = document.getElementById("changelist-form");
    const status = document.getElementById("review-said");
    const selectAll = document.getElementById("select-all");
    const species = [...form.elements.species.options].map((option) => option.value).slice(1);
    const url = form.querySelector("[formaction]").getAttribute("formaction");
    const cards = () => [...grid.querySelectorAll(".photo-card")];
    const keys = document.getElementById("review-keys");
    keys.hidden = false;
    keys.open = window.matchMedia("(min-width: 768px)").matches;
    selectAll.parentElement.hidden = false;
    selectAll.addEventListener("change", () => {
        for (const box of grid.querySelectorAll("[name=photo]")) {
            box.checked = selectAll.checked;
        }
    });

    function move(step) {
        const all = cards();
        const at = all.indexOf(document.activeElement.closest(".photo-card"));
        const next = at < 0 ? 0 : Math.min(Math.max(at + step, 0), all.length - 1);
        all[next]?.focus();
    }

    function showStatus(text, isBad) {
        status.textContent = text;
        status.classList.toggle("bad", isBad);
    }

    // Photos whose decision is being sent: a key pressed twice sends one decision.
    const sending = new Set();

    async function sendDecision(card, verdict, name) {
        const photo = card.dataset.photo;
        if (sending.has(photo)) {
            return;
        }
        sending.add(photo);
        const body = new URLSearchParams({ verdict, photo, species: name });
        try {
            const response = await fetch(url, {
                method: "POST",
                headers: {
                    Accept: "application/json",
                    "X-CSRFToken": form.elements.csrfmiddlewaretoken.value,
                },
                body,
                redirect: "error", // when logged out: the login page is not an answer
            });
            if (!response.ok) {
                throw new Error(response.status === 400 ? await response.text() : `HTTP ${response.status}`);
            }
            const { html, said: message } = await response.json();
            const template = document.createElement("template");
            template.innerHTML = html.trim();
            const replacement = template.content.firstElementChild;
            const hadFocus = document.activeElement === card;
            replacement.classList.add("just-done");
            card.replaceWith(replacement);
            if (hadFocus) {
                replacement.focus();
            }
            showStatus(`Photo ${photo.split(":")[0]}: ${message}`, false);
        } catch (error) {
            showStatus(`Photo ${photo.split(":")[0]} was not changed: ${error.message} Reload the page.`, true);
        } finally {
            sending.delete(photo);
        }
    }

    document.addEventListener("keydown", (event) => {
        const target = event.target;
        const isTyping = target.matches("input:not([type=checkbox]), select, textarea");
        if (event.ctrlKey || event.metaKey || event.altKey || isTyping) {
            return;
        }
        const card = target.closest(".photo-card");
        const columns = getComputedStyle(grid).gridTemplateColumns.split(" ").length;
        const moves = { j: 1, ArrowRight: 1, k: -1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns };
        if (event.key in moves && (card || event.key === "j" || event.key === "k")) {
            event.preventDefault();
            move(moves[event.key]);
            return;
        }
        if (!card) {
            return;
        }
        const speciesIndex = "1234567890".indexOf(event.key);
        if (event.key === "c") {
            sendDecision(card, "confirm", "");
            move(1);
        } else if (event.key === "x") {
            sendDecision(card, "exclude", "");
            move(1);
        } else if (speciesIndex >= 0 && event.key.length === 1 && speciesIndex < species.length) {
            sendDecision(card, "correct", species[speciesIndex]);
            move(1);
        } else if (event.key === " " && target === card) {
            event.preventDefault();
            const box = card.querySelector("[name=photo]");
            box.checked = !box.checked;
        } else if (event.key === "Enter" && target === card) {
            window.location.assign(card.querySelector(".picture").href);
        }
    });
});
