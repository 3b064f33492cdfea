/* Review of photos by the keyboard: one card after another, each verdict sent at once.

   Without it, the same is done by ticking photos and pressing buttons. The keys stand on the page. */
"use strict";

document.addEventListener("DOMContentLoaded", () => {
    const grid = document.getElementById("photo-cards");
    const form = document.getElementById("changelist-form");
    const said = document.getElementById("review-said");
    const everything = document.getElementById("select-all");
    const species = [...form.elements.species.options].map((option) => option.value).slice(1);
    const url = form.querySelector("[formaction]").getAttribute("formaction");
    const cards = () => [...grid.querySelectorAll(".photo-card")];
    const keys = document.getElementById("review-keys");
    keys.hidden = false;
    keys.open = window.matchMedia("(min-width: 768px)").matches;
    everything.parentElement.hidden = false;
    everything.addEventListener("change", () => {
        for (const box of grid.querySelectorAll("[name=photo]")) {
            box.checked = everything.checked;
        }
    });

    function move(step) {
        const all = cards();
        const at = all.indexOf(document.activeElement.closest(".photo-card"));
        const next = at < 0 ? 0 : Math.min(Math.max(at + step, 0), all.length - 1);
        all[next]?.focus();
    }

    function say(text, isBad) {
        said.textContent = text;
        said.classList.toggle("bad", isBad);
    }

    // Photos whose verdict is on its way: a key pressed twice is one verdict.
    const underWay = new Set();

    async function judge(card, verdict, name) {
        const photo = card.dataset.photo;
        if (underWay.has(photo)) {
            return;
        }
        underWay.add(photo);
        const body = new URLSearchParams({ verdict, photo, species: name });
        try {
            const response = await fetch(url, {
                method: "POST",
                headers: {
                    Accept: "application/json",
                    "X-CSRFToken": form.elements.csrfmiddlewaretoken.value,
                },
                body,
                redirect: "error", // logged out: the login page is no answer
            });
            if (!response.ok) {
                throw new Error(response.status === 400 ? await response.text() : `HTTP ${response.status}`);
            }
            const { html, said: words } = await response.json();
            const fresh = document.createElement("template");
            fresh.innerHTML = html.trim();
            const replacement = fresh.content.firstElementChild;
            const hadFocus = document.activeElement === card;
            replacement.classList.add("just-done");
            card.replaceWith(replacement);
            if (hadFocus) {
                replacement.focus();
            }
            say(`Photo ${photo.split(":")[0]}: ${words}`, false);
        } catch (error) {
            say(`Photo ${photo.split(":")[0]} was not changed: ${error.message} Reload the page.`, true);
        } finally {
            underWay.delete(photo);
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
        const place = "1234567890".indexOf(event.key);
        if (event.key === "c") {
            judge(card, "confirm", "");
            move(1);
        } else if (event.key === "x") {
            judge(card, "exclude", "");
            move(1);
        } else if (place >= 0 && event.key.length === 1 && place < species.length) {
            judge(card, "correct", species[place]);
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
