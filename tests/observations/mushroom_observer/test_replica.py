"""The replica behaves as Mushroom Observer's source says; the client's tests rely on that."""

import http.client
import io
import json
import subprocess
import sys
from urllib.parse import quote, urlencode

import pytest
from PIL import Image

from tests.support.mushroom_observer import MushroomObserver
from tests.support.mushroom_observer.content import API_KEYS, TEN, UNKNOWN_LICENCE
from tests.support.mushroom_observer.pictures import SIZES
from tests.support.paths import PROJECT
from tests.support.stack import eventually

GOOD_AGENT = "A test (mail@example.org)"


@pytest.fixture
def site():
    with MushroomObserver(observations=50) as running:
        yield running


class Answer:
    def __init__(self, response: http.client.HTTPResponse, body: bytes) -> None:
        self.status, self.headers, self.body = response.status, response.headers, body
        self.text = body.decode("utf-8", "replace")

    @property
    def json(self):
        return json.loads(self.body)


def ask(site, path, method="GET", *, agent=GOOD_AGENT, form=None) -> Answer:
    connection = http.client.HTTPConnection(site.address, timeout=10)
    body = urlencode(form) if form else None
    headers = {"User-Agent": agent}
    if form:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    return Answer(response, response.read())


def api(site, kind, method="GET", form=None, **parameters):
    query = urlencode({"format": "json"} | parameters)
    return ask(site, f"/api2/{kind}?{query}", method, form=form)


def results(site, kind, **parameters):
    return api(site, kind, **parameters).json["results"]


def error_of(answer: Answer) -> str:
    assert answer.status == 200
    [error] = answer.json["errors"]
    assert error["fatal"] == "true"
    assert error["details"]
    assert "results" not in answer.json
    return error["code"]


def test_the_envelope_has_its_keys_and_reading_needs_no_key(site) -> None:
    answer = api(site, "observations", detail="low")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    envelope = answer.json
    assert envelope.keys() == {
        *("version", "run_date", "query", "number_of_records", "number_of_pages", "page_number"),
        *("results", "run_time"),
    }
    assert (envelope["version"], envelope["number_of_records"]) == (2.0, 50)
    with_key = api(site, "observations", api_key=API_KEYS["expert"]).json
    assert with_key["user"] == 202


def test_pages_hold_1000_of_low_and_100_of_high_detail_by_ascending_id() -> None:
    with MushroomObserver(observations=1101) as site:
        ids = results(site, "observations")
        assert len(ids) == 1101
        assert ids == sorted(ids)
        low = api(site, "observations", detail="low", page=2).json
        assert (low["number_of_pages"], len(low["results"])) == (2, 101)
        high = api(site, "observations", detail="high", page=12).json
        assert (high["number_of_pages"], len(high["results"])) == (12, 1)
        assert high["results"][0]["id"] == ids[-1]


def test_errors_come_with_status_200_and_an_unknown_parameter_fails_the_request(site) -> None:
    assert error_of(api(site, "observations", colour="red")) == "API2::UnusedParameters"
    assert error_of(api(site, "observations", id="many")) == "API2::BadParameterValue"
    assert error_of(api(site, "observations", "PATCH")) == "API2::MustAuthenticate"
    form = {"api_key": API_KEYS["expert"]}
    assert error_of(api(site, "observations", "PATCH", form=form)) == "API2::BadAction"
    assert error_of(api(site, "observations", api_key="wrong")) == "API2::BadAPIKey"
    assert site.writes == []


def test_maintenance_and_blocking_are_no_json(site) -> None:
    site.manners.in_maintenance = True
    for answer in (api(site, "observations"), ask(site, "/observations")):
        assert (answer.status, answer.headers["Retry-After"]) == (503, "120")
        assert not answer.text.startswith("{")
    site.manners.in_maintenance, site.manners.is_blocking = False, True
    answer = api(site, "observations")
    assert answer.status == 429
    assert not answer.text.startswith("{")


@pytest.mark.parametrize(
    "agent", ["python-requests/2.34", "Python-urllib/3.11", "Mozilla/5.0 HeadlessChrome/130", ""]
)
def test_scripts_are_refused_outside_the_api_images_included(site, agent) -> None:
    image = next(iter(site.world.images))
    for path in (f"/images/640/{image}.jpg", "/observations/500000", "/"):
        assert ask(site, path, agent=agent).status == 403
        assert ask(site, path).status == 200
    assert ask(site, "/api2/observations?format=json", agent=agent).status == 200


def test_more_than_a_burst_of_ten_and_more_than_20_calls_a_minute_are_blocked(site) -> None:
    site.manners.limits_rate = True
    statuses = [ask(site, "/observations").status for _ in range(12)]
    assert statuses[:10] == [200] * 10
    assert statuses[-1] == 429
    limit = site.rate_limit
    calls = []
    for _ in range(25):
        limit._tokens.clear()  # as if each came a second later
        calls.append(limit.allows("b", is_api=True, has_key=False))
    assert calls == [True] * 20 + [False] * 5
    assert limit.allows("b", is_api=True, has_key=True)


def test_an_observation_has_the_fields_of_each_detail(site) -> None:
    [low] = results(site, "observations", id=500_035, detail="low")
    assert low.keys() >= {
        *("id", "type", "date", "confidence", "created_at", "updated_at", "owner_id"),
        *("consensus_id", "consensus_name", "location_name", "primary_image_id"),
    }
    [high] = results(site, "observations", id=500_035, detail="high")
    assert high.keys() >= {"owner", "consensus", "namings", "votes", "primary_image", "images"}
    assert high["owner"].keys() >= {"id", "login_name", "legal_name"}
    naming = high["namings"][0]
    assert naming.keys() >= {"id", "name", "owner", "confidence"}
    assert naming["name"].keys() >= {"id", "name", "author", "rank"}
    assert {vote["naming_id"] for vote in high["votes"]} <= {n["id"] for n in high["namings"]}
    images = [high["primary_image"], *high["images"]]
    assert len(images) == len(site.world.observations[500_035].images) == 6
    assert high["primary_image"]["id"] == low["primary_image_id"]


def test_false_and_empty_values_are_left_out(site) -> None:
    everything = [
        *results(site, "observations", detail="high"),
        *results(site, "images", detail="high"),
        *results(site, "names", detail="high"),
    ]

    def values(each):
        if isinstance(each, dict):
            each = list(each.values())
        if isinstance(each, list):
            for value in each:
                yield value
                yield from values(value)

    assert [v for v in values(everything) if v is None or v is False or v in ("", [], {})] == []


def test_an_image_has_its_fields_and_at_high_detail_its_files_by_position(site) -> None:
    image = next(iter(site.world.images))
    [low] = results(site, "images", id=image, detail="low")
    assert low.keys() == {
        *("id", "type", "date", "copyright_holder", "quality", "ok_for_export", "license"),
        *("content_type", "width", "height", "original_url", "owner_id"),
    }
    [high] = results(site, "images", id=image, detail="high")
    sizes = [url.split("/")[-2] for url in high["files"]]
    assert sizes == ["thumb", "320", "640", "960", "1280", "orig"]
    exported = [each.get("ok_for_export") for each in results(site, "images", detail="low")]
    assert {True, None} == set(exported)
    licences = {each["license"] for each in results(site, "images", detail="low")}
    assert UNKNOWN_LICENCE in licences
    assert len(licences) == 4


@pytest.mark.parametrize("size", SIZES)
def test_images_come_in_all_sizes_by_both_kinds_of_address(site, size) -> None:
    image = next(iter(site.world.images))
    for path in (f"/images/{size}/{image}.jpg", f"/{size}/{image}.jpg?1690000000"):
        answer = ask(site, path)
        assert answer.status == 200
        assert "Access-Control-Allow-Origin" not in answer.headers
        with Image.open(io.BytesIO(answer.body)) as picture:
            assert picture.format == "JPEG"
            assert max(picture.size) <= SIZES[size]


def test_names_have_synonyms_and_the_accepted_name_of_the_dryads_saddle(site) -> None:
    [accepted] = results(site, "names", id=22781, detail="high")
    assert accepted["name"] == "Cerioporus squamosus"
    assert "deprecated" not in accepted
    assert {each["name"] for each in accepted["synonyms"]} == {
        *("Polyporus squamosus", "Bresadolia squamosa")
    }
    [old] = results(site, "names", id=22777, detail="low")
    assert (old["name"], old["deprecated"]) == ("Polyporus squamosus", True)
    assert old["synonym_id"] == accepted["synonym_id"]
    [misspelled] = results(site, "names", name="Amanita muscarria", detail="low")
    assert misspelled["misspelled"] is True
    by_name = results(site, "names", name=",".join(TEN), detail="low")
    assert [each["name"] for each in by_name if "deprecated" in each] == []
    assert len(by_name) == 10


def test_namings_are_found_by_name_time_and_confidence(site) -> None:
    ids = [each["id"] for each in results(site, "names", name=",".join(TEN), detail="low")]
    every = results(site, "namings", name=",".join(map(str, ids)), detail="low")
    assert every
    assert {each["name"]["id"] for each in every} <= set(ids)
    assert every[0].keys() >= {"id", "observation_id", "owner_id", "confidence", "updated_at"}
    middle = sorted(each["updated_at"] for each in every)[len(every) // 2]
    since = "".join(filter(str.isdigit, middle))[:14]
    later = results(
        site, "namings", name=",".join(map(str, ids)), updated_at=f"{since}-20991231", detail="low"
    )
    assert [each["id"] for each in later] == [e["id"] for e in every if e["updated_at"] >= middle]
    open_ones = results(site, "namings", confidence="-3-1.99", detail="low")
    assert open_ones
    assert all(each["confidence"] < 2 for each in open_ones)
    site.manners.has_namings = False
    assert api(site, "namings").status == 404


def test_observations_are_found_by_name_with_synonyms_and_by_consensus(site) -> None:
    alone = results(site, "observations", name=22777)
    together = results(site, "observations", name=22777, include_synonyms=1, has_images=1)
    assert set(alone) < set(together)
    unsure = [
        results(site, "observations", confidence=confidence, detail="low")
        for confidence in (2, 1, 0, -1)
    ]
    assert all(
        round(each["confidence"]) == confidence
        for confidence, found in zip((2, 1, 0, -1), unsure, strict=True)
        for each in found
    )
    assert unsure[1]


def test_posting_a_naming_votes_3_unless_told_otherwise(site) -> None:
    key = {"api_key": API_KEYS["verifier"]}
    for vote, expected in (({}, 3), ({"vote": 1}, 1)):
        form = key | {"observation": 500_000, "name": "Trametes versicolor", "reason_1": "cap"}
        answer = api(site, "namings", "POST", form | vote)
        assert "errors" not in answer.json
        naming = site.world.observations[500_000].namings[-1]
        assert answer.json["results"] == [naming.id]
        assert [(each.user.login, each.value) for each in naming.votes] == [("verifier", expected)]
        assert naming.reasons == {1: "cap"}
        assert site.writes[-1][2]["observation"] == "500000"
    missing = key | {"observation": 500_000}
    assert error_of(api(site, "namings", "POST", missing)) == "API2::MissingParameter"
    assert error_of(api(site, "namings", "POST", {"observation": 1})) == "API2::MustAuthenticate"


def test_patching_votes_as_the_owner_of_the_key_and_without_id_on_all_that_match(site) -> None:
    key = {"api_key": API_KEYS["verifier"]}
    naming = site.world.observations[500_000].namings[0]
    answer = api(site, "namings", "PATCH", key, id=naming.id, set_vote=2)
    assert answer.json["results"] == [naming.id]
    assert [each.value for each in naming.votes if each.user.login == "verifier"] == [2]
    assert "PATCH" in site.writes[-1]
    everything = api(site, "namings", "PATCH", key, set_vote=-1).json["results"]
    assert everything == results(site, "namings")
    owned = api(site, "namings", user=201).json["number_of_records"]
    assert owned == 0
    api(site, "namings", "POST", key | {"observation": 500_000, "name": "Mycena"})
    api(site, "namings", "POST", key | {"observation": 500_007, "name": "Mycena"})
    api(site, "namings", "DELETE", key)
    assert api(site, "namings", user=201).json["number_of_records"] == 0
    assert results(site, "namings") == everything


def test_comments_have_a_target_and_a_summary_of_100_characters_at_most(site) -> None:
    form = {"api_key": API_KEYS["verifier"], "content": "*Bold*, as Textile says."}
    target = {"target": "observation #500000"}
    answer = api(site, "comments", "POST", form, **target, summary="Compared", detail="high")
    assert answer.json["results"][0]["summary"] == "Compared"
    assert site.world.observations[500_000].comments[-1].owner.login == "verifier"
    too_long = api(site, "comments", "POST", form, **target, summary="x" * 101)
    assert error_of(too_long) == "API2::StringTooLong"


def test_synonyms_are_pooled_in_the_consensus(site) -> None:
    observation = site.world.observations[500_000]
    observation.namings.clear()
    beginner, verifier = site.world.users[100], site.world.users[201]
    old, accepted = site.world.names[22777], site.world.names[22781]
    site.world.propose(observation, old, beginner, 1)
    site.world.propose(observation, site.world.name_called("Boletus edulis"), beginner, 2)
    assert observation.consensus[0].text == "Boletus edulis"
    site.world.propose(observation, accepted, verifier, 2)
    assert observation.consensus[0].text == "Cerioporus squamosus"


def test_pages_have_the_anchors_that_a_script_can_hang_on_to(site) -> None:
    page = ask(site, "/observations/500000")
    for anchor in ('id="observation_what_500000"', 'id="box_title_500000"', "propose-naming-link"):
        assert anchor in page.text
    assert "turbo:load" in page.text
    for short in ("/500000", "/obs/500000"):
        assert ask(site, short).headers["Location"] == "/observations/500000"
    assert ask(site, "/observations/1").status == 404
    form = ask(site, "/observations/500000/namings/new?naming=Trametes+versicolor")
    assert 'value="Trametes versicolor"' in form.text
    names = quote(json.dumps([[["Amanita muscaria", 81.5]], [["Amanita muscaria", 90]]]))
    suggestions = ask(site, f"/observations/500000/suggestions?names={names}")
    assert "90.00%" in suggestions.text
    assert "namings/new?naming=Amanita+muscaria" in suggestions.text
    image = site.world.observations[500_000].images[0]
    assert f"&copy; {image.year} {image.holder}" in ask(site, f"/images/{image.id}").text


def test_the_naming_form_proposes_the_name(site) -> None:
    form = {"naming[name]": "Trametes versicolor", "naming[vote][value]": "2"}
    answer = ask(site, "/observations/500000/namings", "POST", form=form)
    assert (answer.status, answer.headers["Location"]) == (303, "/observations/500000")
    assert site.world.observations[500_000].namings[-1].name.text == "Trametes versicolor"


def test_bad_manners_can_be_switched_on(site) -> None:
    site.manners.sends_html = True
    assert api(site, "observations").text.startswith("<!doctype html>")
    site.manners.sends_html, site.manners.sends_half = False, True
    with pytest.raises(http.client.IncompleteRead):
        api(site, "observations")
    site.manners.sends_half, site.manners.numbers_as_strings = False, True
    [observation] = results(site, "observations", id=500_000, detail="low")
    assert (observation["id"], observation["confidence"]) == ("500000", "2.75")
    site.manners.leaves_out = frozenset({"consensus_id", "run_time"})
    site.manners.overrides = {"location_name": "elsewhere"}
    answer = api(site, "observations", id=500_000, detail="low").json
    assert "run_time" not in answer
    assert "consensus_id" not in answer["results"][0]
    assert answer["results"][0]["location_name"] == "elsewhere"


def test_an_observation_can_change_between_look_and_click(site) -> None:
    site.manners.changes_after_look.add(500_000)
    [before] = results(site, "observations", id=500_000, detail="high")
    [after] = results(site, "observations", id=500_000, detail="high")
    assert len(after["votes"]) >= len(before["votes"])
    assert after["updated_at"] > before["updated_at"]
    site.world.turn(500_000, "Trametes versicolor")
    [turned] = results(site, "observations", id=500_000, detail="low")
    assert turned["consensus_name"] == "Trametes versicolor"


def test_a_write_can_be_done_without_an_answer(site) -> None:
    site.manners.fails_writes_after = True
    form = {"api_key": API_KEYS["verifier"], "observation": 500_000, "name": "Mycena"}
    with pytest.raises(http.client.RemoteDisconnected):
        api(site, "namings", "POST", form)
    assert len(site.writes) == 1


def test_the_same_seed_gives_the_same_content_and_another_seed_another() -> None:
    def content(seed: int):
        world = MushroomObserver(seed=seed).world
        return [
            (each.id, [image.source for image in each.images], [n.name.text for n in each.namings])
            for each in world.observations.values()
        ]

    assert content(1) == content(1) != content(2)
    sizes = {len(images) for _, images, _ in content(1)}
    assert sizes == {1, 2, 3, 4, 5, 6}


def test_requests_are_logged_with_their_time(site) -> None:
    api(site, "names", id=1001)
    ask(site, "/images/640/1.jpg")
    first, second = site.requests
    assert eventually(lambda: second.status != 0, 10)  # it is noted after the answer was sent
    assert (first.path, first.status, first.parameters["id"]) == ("/api2/names", 200, "1001")
    assert first.headers["User-Agent"] == GOOD_AGENT
    assert (second.is_image, second.status) == (True, 404)
    assert first.at <= first.ended_at <= second.at


def test_it_starts_alone_and_says_what_to_set() -> None:
    command = [sys.executable, "-u", "-m", "tests.support.mushroom_observer", "--port", "0"]
    process = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True)
    try:
        lines = [process.stdout.readline() for _ in range(4)]
        assert "CHAMPIPY_MUSHROOM_OBSERVER_URL=http://127.0.0.1:" in lines[2]
        assert "CHAMPIPY_FETCH_ALLOW=127.0.0.1:" in lines[2]
    finally:
        process.terminate()
        process.wait(timeout=10)
