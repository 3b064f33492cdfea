{% autoescape off %}// ==UserScript==
// @name         ChampiPy for Mushroom Observer
// @namespace    {{ champipy }}
// @version      {{ version }}
// @description  Shows what ChampiPy says of each name that is proposed for an observation.
{% for match in matches %}// @match        {{ match }}
{% endfor %}// @noframes
// @run-at       document-end
// @inject-into  content
// @sandbox      DOM
// @connect      {{ champipy_host }}
// @grant        GM_getValue
// @grant        GM_setValue
// @grant        GM_deleteValue
// @grant        GM_xmlhttpRequest
// @grant        GM_registerMenuCommand
// @grant        GM.getValue
// @grant        GM.setValue
// @grant        GM.deleteValue
// @grant        GM.xmlHttpRequest
// @grant        GM.registerMenuCommand
// @downloadURL  {{ address }}
// @updateURL    {{ address }}
// ==/UserScript==

// The token is kept by the user script manager. It is asked for by prompt(), which is not a part of
// the page, and travels by GM_xmlhttpRequest, so the site's own scripts never see it, and ChampiPy
// needs no CORS. All that is shown is put in place as text, never as HTML. The script runs on all
// pages of the site, because Turbo changes pages without loading them.
(() => {
  "use strict";
  const ADDRESSES = {{ addresses }};
  const TEXTS = {{ texts }};{% endautoescape %}
  const CHAMPIPY = new URL(ADDRESSES.champipy).origin;
  if (!ADDRESSES.sites.some((site) => new URL(site).origin === location.origin)) return;

  const FRESH_MS = 10 * 60_000; // how long an answer is shown again without asking
  const PATIENCE_MS = 4 * 60_000; // ChampiPy fetches one photo a second at most
  /** Return a text in the language in which the script was loaded, with its values. */
  const phrase = (text, values = {}) =>
    (TEXTS[text] ?? text).replace(/%\((\w+)\)s/g, (_, name) => values[name]);
  const WORDS = phrase("no one two three four five six seven eight nine ten").split(" ");
  const COLOURS = { // [background, text], each for light and dark
    supported: ["light-dark(#e3f4e3, #123a17)", "light-dark(#0b4a16, #c8f2cd)"],
    contradicted: ["light-dark(#fde7e4, #4a1410)", "light-dark(#7a1a10, #ffd9d3)"],
    undecided: ["light-dark(#fff3d6, #43340a)", "light-dark(#5c4300, #ffe9b0)"],
    other: ["light-dark(#ececec, #333333)", "light-dark(#333333, #ececec)"],
  };

  const answers = new Map(); // by the observation's number: {body, at}
  const ours = new WeakSet(); // all elements that this page has from us
  let visit = null; // the observation that is shown now
  let notBefore = 0; // when ChampiPy may be asked again, after 429 and 503

  // What the user script manager offers: the functions GM_*, or those of GM, which are promises.
  const modern = typeof GM === "object" && GM ? GM : {};
  const tokenGet = async () =>
    modern.getValue ? modern.getValue("token", "") : GM_getValue("token", "");
  const tokenSet = async (token) =>
    modern.setValue ? modern.setValue("token", token) : GM_setValue("token", token);
  const tokenDelete = async () =>
    modern.deleteValue ? modern.deleteValue("token") : GM_deleteValue("token");
  const addCommand = (name, command) => {
    if (modern.registerMenuCommand) modern.registerMenuCommand(name, command);
    else if (typeof GM_registerMenuCommand === "function") GM_registerMenuCommand(name, command);
  };

  /** Send a request to ChampiPy, and to nobody else. Resolve to {status, body, header(name)}. */
  const request = (token, method, path, data) =>
    new Promise((resolve, reject) => {
      const url = new URL(path, CHAMPIPY);
      if (url.origin !== CHAMPIPY) {
        throw new Error(phrase("ChampiPy's answer leads to another site."));
      }
      const unreachable = () =>
        reject(new Error(
          phrase("ChampiPy cannot be reached at %(address)s. Ask again later.", { address: CHAMPIPY }),
        ));
      const details = {
        method, url: url.href, anonymous: true, redirect: "error", timeout: 60_000,
        headers: { Authorization: `Token ${token}`, Accept: "application/json" },
        onload: (response) => {
          let body = null;
          try { body = JSON.parse(response.responseText); } catch { /* told below */ }
          if (body === null || typeof body !== "object") {
            return reject(new Error(
              phrase("ChampiPy's answer (%(status)s) cannot be read.", { status: response.status }),
            ));
          }
          const header = (name) =>
            new RegExp(`^${name}:\\s*(.*?)\\s*$`, "im").exec(response.responseHeaders)?.[1];
          return resolve({ status: response.status, body, header });
        },
        onerror: unreachable, ontimeout: unreachable, onabort: unreachable,
      };
      if (data) {
        details.headers["Content-Type"] = "application/json";
        details.data = JSON.stringify(data);
      }
      const sent = modern.xmlHttpRequest ? modern.xmlHttpRequest(details) : GM_xmlhttpRequest(details);
      sent?.catch?.(unreachable);
    });

  /** Resolve to ChampiPy's answer about an observation, or to null if the page was left. */
  async function ask(asked, token) {
    const giveUp = Date.now() + PATIENCE_MS;
    let answer = await request(token, "POST", "/api/v1/observations", {
      mushroom_observer: asked.number,
    });
    const path = answer.header("location");
    for (let pause = 1; answer.status === 202 || answer.body.status === "pending"; pause *= 1.3) {
      const wait = Math.max(Math.min(pause, 5), Number(answer.header("retry-after")) || 0);
      await new Promise((resolve) => setTimeout(resolve, wait * 1000));
      if (visit !== asked) return null;
      if (Date.now() > giveUp) {
        throw new Error(phrase("ChampiPy is not done yet. Ask again in a minute."));
      }
      answer = await request(token, "GET", path);
    }
    const failure = answer.body.error ?? answer.body.errors?.[0];
    if (answer.status === 200 && !failure) return answer.body;
    const isUnavailable = failure?.code === "mushroom_observer_unavailable";
    if ([429, 503].includes(answer.status) || isUnavailable) {
      const seconds = Number(answer.header("retry-after")) || 60;
      notBefore = Date.now() + seconds * 1000;
    }
    if (answer.status === 401) {
      throw new Error(
        phrase("ChampiPy does not know this token, or it has expired. Enter another one."),
      );
    }
    const detail =
      failure?.detail ?? phrase("ChampiPy answers %(status)s.", { status: answer.status });
    throw new Error(`${detail}${pauseLeft()}`);
  }

  const pauseLeft = () => {
    const seconds = Math.ceil((notBefore - Date.now()) / 1000);
    return seconds > 0 ? ` ${phrase("Ask again in %(seconds)s s.", { seconds })}` : "";
  };

  async function start(asked, isAgain = false) {
    if (asked.isAsking) return;
    const known = answers.get(asked.number);
    if (known && !isAgain && Date.now() - known.at < FRESH_MS) return tell(asked, known.body);
    asked.isAsking = true;
    try {
      const token = await tokenGet();
      if (!token) {
        say(asked, phrase("ChampiPy needs your token before it can be asked. Enter it once."));
      } else if (Date.now() < notBefore) {
        say(asked, `${phrase("ChampiPy asked for a pause.")}${pauseLeft()}`);
      } else {
        say(asked, phrase("ChampiPy is looking at the photos …"), phrase("asking …"));
        const body = await ask(asked, token);
        if (!body) return;
        answers.set(asked.number, { body, at: Date.now() });
        tell(asked, body);
      }
    } catch (error) {
      say(asked, error.message);
    } finally {
      asked.isAsking = false;
    }
  }

  /** Show a sentence in the panel, and the same word beside all names. */
  function say(asked, sentence, word = phrase("not asked")) {
    Object.assign(asked, { sentence, more: "", word, verdicts: [] });
    draw(asked);
  }

  /** Show what ChampiPy answered. */
  function tell(asked, body) {
    const species = body.predictions ?? [];
    const count = WORDS[species.length] ?? String(species.length);
    let sentence = phrase("I could judge no photo.");
    if (body.scope?.in_scope === false) {
      sentence = phrase("Looks like none of the %(count)s species that I know.", { count });
    } else if (species.length) {
      const [best] = species;
      const likeliest = `${best.species} (${percent(best.score)})`;
      sentence = phrase(
        "Of the %(count)s species that I know, it looks most like %(likeliest)s.",
        { count, likeliest },
      );
      const others = (body.plausible ?? []).filter((name) => name !== best.species).join(", ");
      if (others) sentence += ` ${phrase("Also possible: %(others)s.", { others })}`;
    }
    const judged = body.photos.filter((photo) => photo.status === "done");
    const model = judged.at(-1)?.model;
    const counts = { judged: judged.length, photos: body.photos.length };
    const by = model
      ? phrase("%(judged)s of %(photos)s photos judged by %(model)s.", {
        ...counts, model: `${model.name} ${model.version}`,
      })
      : phrase("%(judged)s of %(photos)s photos judged.", counts);
    Object.assign(asked, {
      sentence: `ChampiPy: ${sentence}`,
      more: [by, ...body.remarks].join(" "),
      word: phrase("not judged yet"),
      verdicts: body.verdicts,
    });
    draw(asked);
  }

  const percent = (score) => (score > 99 ? phrase("over 99 %") : `${Math.floor(score)} %`);

  function verdictWords(verdict) {
    switch (verdict.verdict) {
      case "supported": return `${phrase("supports")} ${percent(verdict.score)}`;
      case "contradicted": return phrase("contradicts");
      case "undecided": return phrase("cannot tell");
      case "not_covered": return phrase("not one of my species");
      default: return phrase("no verdict");
    }
  }

  function element(tag, style, text = "") {
    const made = document.createElement(tag);
    Object.assign(made.style, style); // unlike a <style>, this is allowed by any page's CSP
    made.textContent = text;
    return made;
  }

  const setText = (target, text) => {
    if (target.textContent !== text) target.textContent = text;
  };

  /** Colour a badge for the theme of the page, which the text around it shows. */
  function paint(badge, kind) {
    const around = getComputedStyle(badge.parentElement).color.match(/[\d.]+/g).slice(0, 3);
    const isDark = around.reduce((sum, each) => sum + Number(each), 0) > 382;
    badge.style.colorScheme = isDark ? "dark" : "light";
    [badge.style.background, badge.style.color] = COLOURS[kind] ?? COLOURS.other;
  }

  function makePanel(asked) {
    const panel = element("section", {
      margin: "0.5em 0", padding: "0.5em 0.8em", minHeight: "6em", boxSizing: "border-box",
      border: "1px solid", borderRadius: "0.4em", font: "14px/1.4 system-ui, sans-serif",
    });
    panel.setAttribute("aria-label", "ChampiPy");
    const sentence = element("p", { margin: "0", fontWeight: "600" });
    const more = element("p", { margin: "0.2em 0", minHeight: "1.4em" });
    const list = element("ul", { margin: "0.2em 0", padding: "0 0 0 1.2em" });
    sentence.setAttribute("role", "status"); // is read aloud when it changes
    sentence.setAttribute("aria-live", "polite");
    const button = (name, action) => {
      const made = element("button", { marginRight: "0.5em", font: "inherit" }, name);
      made.type = "button";
      made.addEventListener("click", (event) => event.isTrusted && action());
      return made;
    };
    panel.append(
      sentence, list, more,
      button(phrase("Ask again"), () => start(asked, true)),
      button(phrase("Enter token"), enterToken),
      button(phrase("Forget token"), forgetToken),
    );
    return Object.assign(asked, {
      panel, sentenceShown: sentence, listShown: list, moreShown: more,
    });
  }

  function makeBadge() {
    const badge = element("span", {
      display: "inline-block", minWidth: "12em", margin: "0 0.5em", padding: "0 0.5em",
      border: "1px solid", borderRadius: "0.6em", textAlign: "center",
      font: "13px/1.4 system-ui, sans-serif",
    });
    badge.setAttribute("role", "note");
    return badge;
  }

  /** Show a verdict in a badge that is on the page. */
  function fillBadge(badge, verdict, words) {
    setText(badge, words);
    badge.title = verdict?.because ?? "";
    badge.setAttribute("aria-label", `ChampiPy: ${words}. ${badge.title}`);
    paint(badge, verdict?.verdict);
  }

  /** List in the panel the verdicts whose names are not found on the page. */
  function listRest(asked, rest) {
    const key = JSON.stringify(rest);
    if (asked.listed === key) return;
    asked.listed = key;
    asked.listShown.replaceChildren();
    for (const verdict of rest) {
      const item = element("li", { margin: "0.2em 0" });
      const name = element("i", {}, verdict.proposed);
      name.lang = "la";
      const badge = makeBadge();
      item.append(name, badge);
      asked.listShown.append(item);
      fillBadge(badge, verdict, verdictWords(verdict));
    }
  }

  /** Return where the panel belongs, and on which side of it: null if the page has no such place. */
  function placeOf(number) {
    const what = document.querySelector(`#observation_what_${number}`);
    if (what) return [what, "before"];
    const title = document.querySelector(`#box_title_${number}`);
    if (title) return [title, "after"];
    const propose = document.querySelector(
      `.propose-naming-link[href*="/observations/${number}/"], ` +
        `.propose-naming-link a[href*="/observations/${number}/"]`,
    );
    return propose && [propose, "before"];
  }

  /** Return the proposed names on the page: [{naming, name, link}], both ids as numbers. */
  function namesOnPage() {
    const idIn = (link) => Number(/\/names\/(\d+)/.exec(link?.getAttribute("href") ?? "")?.[1]);
    const rows = [...document.querySelectorAll("[id*='naming_']")].filter(
      (row) => /(^|_)naming_\d+$/.test(row.id) && row.querySelector("a[href*='/names/']"),
    );
    return rows.map((row) => {
      const link = row.querySelector("a[href*='/names/']");
      return { naming: Number(/\d+$/.exec(row.id)[0]), name: idIn(link), link };
    });
  }

  /** Bring the page up to date. Changes nothing where nothing is missing: the observer calls it. */
  function draw(asked) {
    if (visit !== asked) return;
    const { number, verdicts, word } = asked;
    const place = placeOf(number);
    if (!place) return; // the next page is there already
    if (!asked.panel) makePanel(asked);
    if (!asked.panel.isConnected) {
      const [anchor, side] = place;
      anchor[side](asked.panel);
      mark(asked.panel);
    }
    const left = new Set(verdicts);
    for (const { naming, name, link } of namesOnPage()) {
      const found =
        verdicts.find((each) => each.naming?.id === naming) ??
        verdicts.find((each) => each.naming?.name_id === name);
      left.delete(found);
      let badge = link.nextElementSibling;
      if (!badge || !ours.has(badge)) {
        badge = makeBadge();
        link.after(badge);
        mark(badge);
      }
      fillBadge(badge, found, found ? verdictWords(found) : word);
    }
    listRest(asked, [...left]);
    setText(asked.sentenceShown, asked.sentence);
    setText(asked.moreShown, asked.more);
  }

  const mark = (made) => {
    made.setAttribute("data-champipy", "");
    ours.add(made);
  };

  async function enterToken() {
    const typed = prompt(phrase("Your ChampiPy token (POST /api/v1/token gives you one):"));
    if (typed === null) return;
    const token = typed.trim().replace(/^(Token|Bearer)\s+/i, "");
    if (!/^[\w.~+/=-]{1,200}$/.test(token)) {
      if (visit) {
        say(visit, phrase("This is no token: it has other signs than letters and digits."));
      }
      return;
    }
    await tokenSet(token);
    if (visit) start(visit, true);
  }

  async function forgetToken() {
    await tokenDelete();
    answers.clear();
    if (visit) {
      say(visit, phrase("ChampiPy's token is forgotten. Revoke it, too, if others may have it."));
    }
  }

  /** Look which observation is shown, if any; called whenever the page may have changed. */
  function look() {
    for (const copy of document.querySelectorAll("[data-champipy]")) {
      if (!ours.has(copy)) copy.remove(); // Turbo and the browser restore copies of former pages
    }
    const number = Number(/^\/(?:observations\/|obs\/)?(\d{1,12})\/?$/.exec(location.pathname)?.[1]);
    if (!number || !placeOf(number)) {
      visit = null;
      return;
    }
    if (visit?.number !== number) {
      visit?.panel?.remove();
      const sentence = phrase("ChampiPy has not been asked yet.");
      visit = { number, sentence, more: "", word: phrase("not asked"), verdicts: [] };
    }
    draw(visit);
    if (!visit.isStarted && !document.hidden) { // tabs in the background ask when they are shown
      visit.isStarted = true;
      start(visit);
    }
  }

  let isDue = false;
  const lookSoon = () => {
    if (isDue) return;
    isDue = true;
    setTimeout(() => {
      isDue = false;
      look();
    }, 50);
  };
  for (const event of ["turbo:load", "turbo:render", "turbo:frame-render", "visibilitychange"]) {
    document.addEventListener(event, lookSoon);
  }
  addEventListener("pageshow", lookSoon);
  document.addEventListener("turbo:before-cache", () => {
    document.querySelectorAll("[data-champipy]").forEach((each) => each.remove());
  });
  new MutationObserver(lookSoon).observe(document, { childList: true, subtree: true });
  addCommand(phrase("Enter token"), enterToken);
  addCommand(phrase("Forget token"), forgetToken);
  look();
})();
