/* Review of one photo by keyboard: each key presses the button or link that has it as data-key, a
   digit corrects to a species. The page lists the keys; without this script they do nothing. */
"use strict";

document.addEventListener("DOMContentLoaded", () => {
    const keys = document.getElementById("review-keys");
    const species = document.querySelector("select[name=species]");
    keys.hidden = false;
    document.addEventListener("keydown", (event) => {
        const isTyping = event.target.matches("input, select, textarea");
        if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || isTyping) {
            return;
        }
        const number = "1234567890".indexOf(event.key);
        if (event.key.length === 1 && number >= 0 && number + 1 < species.options.length) {
            species.selectedIndex = number + 1;
            document.querySelector("button[value=correct]").click();
            return;
        }
        document.querySelector(`[data-key="${CSS.escape(event.key)}"]`)?.click();
    });
});
