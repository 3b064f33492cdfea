"""The pages that verifiers are sent to, with the anchors of Mushroom Observer's own."""

import json
from html import escape
from urllib.parse import quote_plus

from tests.support.mushroom_observer.world import Image, Observation, World

TURBO = """
(() => {
  const loaded = () => document.dispatchEvent(new CustomEvent("turbo:load"));
  const visit = async (url, isNew) => {
    const answer = await fetch(url, {headers: {"Turbo-Visit": "1"}});
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (isNew) history.pushState({}, "", answer.url);
    document.title = page.title;
    document.body.replaceWith(page.body);
    loaded();
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href]");
    if (!link || link.origin !== location.origin || link.target || event.defaultPrevented) return;
    event.preventDefault();
    visit(link.href, true);
  });
  addEventListener("popstate", () => visit(location.href, false));
  addEventListener("DOMContentLoaded", loaded);
})();
"""
"""Changes pages as Turbo does: a link's page replaces the body without a full load."""

VOTES = {
    3: "I'd Call It That",
    2: "Promising",
    1: "Could Be",
    0: "No Opinion",
    -1: "Doubtful",
    -2: "Not Likely",
    -3: "As If!",
}


def _page(title: str, body: str) -> str:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<link rel="icon" href="data:,"><script>{TURBO}</script></head>'
        f'<body><nav><a href="/observations">Observations</a></nav>{body}</body></html>'
    )


def index_page(world: World) -> str:
    items = "".join(
        f'<li><a href="/observations/{each.id}">{_name_of(each)} ({each.id})</a></li>'
        for each in sorted(world.observations.values(), key=lambda each: -each.id)
    )
    return _page("Observations", f"<h1>Observations</h1><ul>{items}</ul>")


def observation_page(observation: Observation) -> str:
    number, name = observation.id, _name_of(observation)
    pictures = "".join(
        f'<a href="/images/{each.id}"><img src="/images/320/{each.id}.jpg" alt=""></a>'
        for each in observation.images
    )
    rows = "".join(
        f'<tr id="naming_{each.id}"><td><a href="/names/{each.name.id}"><i>{escape(each.name.text)}'
        f"</i></a></td><td>{escape(each.owner.login)}</td><td>{each.confidence:.2f}</td></tr>"
        for each in observation.namings
    )
    comments = "".join(
        f"<li><b>{escape(each.summary)}</b> {escape(each.content)}</li>"
        for each in observation.comments
    )
    return _page(
        f"Observation {number}: {name}",
        f'<h1 id="box_title_{number}">Observation {number}: <i>{name}</i></h1>'
        f'<p id="observation_what_{number}"><b>Observed species:</b> <i>{name}</i></p>'
        f"<p>{escape(observation.place)}</p>{pictures}"
        f'<table id="namings_table">{rows}</table>'
        f'<a class="propose-naming-link" href="/observations/{number}/namings/new">Propose Another '
        f'Name</a><ul id="comments">{comments}</ul>',
    )


def naming_form(observation: Observation, naming: str) -> str:
    options = "".join(f'<option value="{value}">{text}</option>' for value, text in VOTES.items())
    return _page(
        "Propose a name",
        f"<h1>Propose a name for observation {observation.id}</h1>"
        f'<form id="naming_form" method="post" action="/observations/{observation.id}/namings">'
        f'<input id="naming_name" name="naming[name]" value="{escape(naming)}">'
        f'<select id="naming_vote_value" name="naming[vote][value]">{options}</select>'
        '<button type="submit">Create</button></form>',
    )


def suggestions_page(observation: Observation, names: str) -> str:
    """Return a table of the names in `names`, JSON with one list of [name, percent] a photo.

    Raises ValueError if that is something else.
    """
    photos = json.loads(names)
    rows: dict[str, list[float]] = {}
    for photo in photos:
        for name, percent in photo:
            rows.setdefault(str(name), []).append(float(percent))
    body = "".join(
        f"<tr><td><i>{escape(name)}</i></td><td>{max(percents):.2f}%</td><td>{len(percents)}</td>"
        f'<td><a class="propose" href="/observations/{observation.id}/namings/new?naming='
        f'{quote_plus(name)}">Propose</a></td></tr>'
        for name, percents in sorted(rows.items(), key=lambda row: -max(row[1]))
    )
    return _page(
        "Suggestions",
        f"<h1>Suggestions for observation {observation.id}</h1>"
        f'<table id="suggestions">{body}</table>',
    )


def image_page(image: Image) -> str:
    return _page(
        f"Image {image.id}",
        f'<h1>Image {image.id}</h1><img src="/images/640/{image.id}.jpg" alt="">'
        f'<p id="copyright">&copy; {image.year} {escape(image.holder)}</p>'
        f'<p id="license">{escape(image.licence)}</p>',
    )


def maintenance_page() -> str:
    return _page("Down for maintenance", "<h1>Mushroom Observer is being looked after</h1>")


def _name_of(observation: Observation) -> str:
    name, _ = observation.consensus
    return escape(name.text if name else "Fungi")
