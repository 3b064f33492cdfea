/* The photos of a find in the queue: the next one, larger, brighter. */
const BRIGHTER = "175";

/** Have the photos loaded before they are in view, and the tools work. */
export function preparePhotos(find) {
  const range = find.querySelector("[data-brightness]");
  find.querySelectorAll(".strip img").forEach((each) => (each.loading = "eager"));
  find.querySelector(".strip").addEventListener("scroll", () => mark(find));
  range.addEventListener("input", () => brighten(find, range.value));
  find.querySelector(".photos-part").addEventListener("click", (event) => {
    const part = (selector) => event.target.closest(selector);
    if (part("[data-go]")) {
      goTo(find, photoInView(find) + Number(part("[data-go]").dataset.go));
    } else if (part("[data-photo]")) {
      event.preventDefault();
      goTo(find, Number(part("[data-photo]").dataset.photo));
    } else if (part("[data-zoom]")) {
      zoom(find);
    } else if (part("[data-brighter]")) {
      brighten(find, range.value === "100" ? BRIGHTER : "100");
    } else if (part(".strip .photo > a")) {
      event.preventDefault(); // without a script it opens the picture alone
      const box = event.target.getBoundingClientRect();
      zoom(find, (event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
    }
  });
}

function photoInView(find) {
  const strip = find.querySelector(".strip");
  return Math.round(strip.scrollLeft / Math.max(strip.clientWidth, 1));
}

function mark(find) {
  find.querySelectorAll("[data-photo]").forEach((each, index) => {
    if (index === photoInView(find)) {
      each.setAttribute("aria-current", "true");
    } else {
      each.removeAttribute("aria-current");
    }
  });
}

function goTo(find, number) {
  const strip = find.querySelector(".strip");
  const count = strip.children.length;
  strip.scrollTo({ left: ((number + count) % count) * strip.clientWidth, behavior: "instant" });
}

/** Show the photos larger, around a point of them (0 to 1), or as before. */
function zoom(find, x = 0.5, y = 0.5) {
  const isLarge = find.classList.toggle("zoomed");
  find.querySelector("[data-zoom]").setAttribute("aria-pressed", String(isLarge));
  for (const view of find.querySelectorAll(".strip .photo > a")) {
    view.scrollTo((view.scrollWidth - view.clientWidth) * x, (view.scrollHeight - view.clientHeight) * y);
  }
}

function brighten(find, percent) {
  find.querySelector("[data-brightness]").value = percent;
  find.querySelectorAll(".strip img").forEach((each) => (each.style.filter = percent === "100" ? "" : `brightness(${percent}%)`));
}
