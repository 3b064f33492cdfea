/* Review of photos with the keyboard: one card after another, each decision sent at once.

   Without JavaScript, checkboxes and buttons do the same. The page lists the keys. */
"use strict";

document.addEventListener("DOMContentLoaded", () => {
    const grid = document.getElementById("photo-cards");
    const form = document.getElementById("changelist-form");
    const status = document.getElementById("review-said");
    const selectAll = document.getElementById("select-all");
    const undo = document.getElementById("undo");
    const otherName = form.elements.other_name;
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

    const left = document.getElementById("review-left");

    /* Show a sentence of the page's (status.dataset) with these values in the place of %(name)s. */
    function showStatus(sentence, values, isBad) {
        const parts = status.dataset[sentence].split(/%\((\w+)\)s/);
        status.textContent = parts.map((part, at) => (at % 2 ? values[part] : part)).join("");
        status.classList.toggle("bad", isBad);
    }

    // Photos whose decision is being sent: a key pressed twice sends one decision.
    const sending = new Set();

    async function send(address, fields) {
        const response = await fetch(address, {
            method: "POST",
            headers: {
                Accept: "application/json",
                "X-CSRFToken": form.elements.csrfmiddlewaretoken.value,
            },
            body: new URLSearchParams({ query: form.elements.query.value, ...fields }),
            redirect: "error", // when logged out: the login page is not an answer
        });
        if (!response.ok) {
            throw new Error(response.status === 400 ? await response.text() : `HTTP ${response.status}`);
        }
        const answer = await response.json();
        for (const html of answer.cards) {
            replaceCard(html);
        }
        if (answer.left) {
            left.textContent = answer.left;
        }
        undo.hidden = !answer.undo;
        undo.value = answer.undo?.id ?? "";
        undo.querySelector("span").textContent = answer.undo?.text ?? "";
        return answer.said;
    }

    function replaceCard(html) {
        const template = document.createElement("template");
        template.innerHTML = html.trim();
        const replacement = template.content.firstElementChild;
        const id = replacement.dataset.photo.split(":")[0];
        const card = cards().find((each) => each.dataset.photo.split(":")[0] === id);
        if (!card) {
            return; // of another page of the list
        }
        const hadFocus = document.activeElement === card;
        replacement.classList.add("just-done");
        card.replaceWith(replacement);
        if (hadFocus) {
            replacement.focus();
        }
    }

    async function sendDecision(card, verdict, more = {}) {
        const photo = card.dataset.photo;
        if (sending.has(photo)) {
            return;
        }
        sending.add(photo);
        const id = photo.split(":")[0];
        try {
            const said = await send(url, { verdict, photo, ...more });
            showStatus("done", { photo: id, said }, false);
        } catch (error) {
            showStatus("failed", { photo: id, problem: error.message }, true);
        } finally {
            sending.delete(photo);
        }
    }

    async function sendUndo() {
        const decision = undo.value;
        if (!decision || sending.has(decision)) {
            return;
        }
        sending.add(decision);
        try {
            const said = await send(undo.getAttribute("formaction"), { decision });
            showStatus("undone", { said }, false);
        } catch (error) {
            showStatus("notUndone", { problem: error.message }, true);
        } finally {
            sending.delete(decision);
        }
    }

    // The buttons of a card send at once, too, and the next card gets the focus.
    grid.addEventListener("click", (event) => {
        const button = event.target.closest("button[name=one]");
        if (!button) {
            return;
        }
        event.preventDefault();
        const card = button.closest(".photo-card");
        card.focus();
        sendDecision(card, button.value.split(":")[0]);
        move(1);
    });

    // The card whose name is being typed; Enter sends it, Escape leaves it.
    let named = null;

    function leaveName(step) {
        const card = named;
        named = null;
        otherName.value = "";
        otherName.blur();
        card?.focus();
        if (card && step) {
            move(step);
        }
    }

    otherName.addEventListener("keydown", (event) => {
        if (!named || (event.key !== "Enter" && event.key !== "Escape")) {
            return;
        }
        event.preventDefault();
        if (event.key === "Enter") {
            sendDecision(named, "other", { other_name: otherName.value });
        }
        leaveName(event.key === "Enter" ? 1 : 0);
    });
    otherName.addEventListener("blur", () => {
        named = null;
    });

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
        if (event.key === "u") {
            sendUndo();
            return;
        }
        if (!card) {
            return;
        }
        const speciesIndex = "1234567890".indexOf(event.key);
        if (event.key === "c") {
            sendDecision(card, "confirm");
            move(1);
        } else if (event.key === "x") {
            sendDecision(card, "exclude");
            move(1);
        } else if (event.key === "o") {
            sendDecision(card, "other");
            move(1);
        } else if (event.key === "n") {
            event.preventDefault();
            named = card;
            otherName.focus();
        } else if (speciesIndex >= 0 && event.key.length === 1 && speciesIndex < species.length) {
            sendDecision(card, "correct", { species: species[speciesIndex] });
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
