"""Names as people write them: what counts as a species, what does not, and what is refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlmodels.names import MAX_NAME_LENGTH, InvalidName, parse_name

EPITHET = st.from_regex(r"[a-z]{2,9}ata(-[a-z]{3,8})?", fullmatch=True)
GENUS = st.from_regex(r"[A-Z][a-z]{2,9}ella", fullmatch=True)
SPECIES = st.tuples(GENUS, EPITHET)
QUALIFIERS = st.sampled_from(["", "cf.", "cf", "Cf.", "conf.", "?", "group", "gr."])
ENDS = st.sampled_from(
    [
        *("", "?", "(L.) Lam.", "(L. : Fr.) Lam. & Müll.", "(L.)Lam.", ", 1783", "group", "gr."),
        *("var. guessowii Veselý", "subsp. flavivolvata", "ssp. alba", "f. formosa", "s.l."),
        *("sensu lato", "complex", "agg.", "cf."),
    ]
)
SPACES = st.sampled_from([" ", "  ", "\t", "_", "__ ", "\u00a0", " \n"])


@settings(deadline=None)
@given(SPECIES, QUALIFIERS, QUALIFIERS, ENDS, SPACES, st.sampled_from([str, str.upper, str.lower]))
def test_a_species_is_found_however_it_is_written(
    species, before, between, end, space, change_case
) -> None:
    genus, epithet = species
    text = space.join([before, genus, between, epithet, end])
    name = parse_name(change_case(text))
    assert (name.species, name.obstacle) == (f"{genus} {epithet}".lower(), None)
    assert name.text == " ".join(name.text.split())


@settings(deadline=None)
@given(
    SPECIES, st.sampled_from(["aff.", "aff", "AFF.", "(aff.)", "nr.", "affin."]), st.integers(0, 2)
)
def test_a_name_near_a_species_is_not_the_species(species, word, place) -> None:
    words = list(species)
    words.insert(place, word)
    name = parse_name(" ".join(words))
    assert (name.species, name.obstacle) == (None, "related_species")


@settings(deadline=None)
@given(GENUS, st.sampled_from(["", "sp.", "spp.", "species", "sect. Amanita", "(L.)", "?", "cf."]))
def test_a_genus_alone_names_no_species(genus, rest) -> None:
    name = parse_name(f"{genus} {rest}")
    assert (name.species, name.obstacle) == (None, "genus_alone")


@pytest.mark.parametrize(
    ("text", "obstacle"),
    [
        ("Amanita \u00d7 muscaria", "hybrid"),
        ("Amanita muscaria x pantherina", "hybrid"),
        ("Amanita muscaria/pantherina", "several_names"),
        ("Amanita muscaria or Amanita pantherina", "several_names"),
        ("Amanita sp. 'muscaria-IN01'", "genus_alone"),
        ('Amanita "sp-S01"', "genus_alone"),
    ],
)
def test_what_is_not_one_species(text, obstacle) -> None:
    assert parse_name(text).obstacle == obstacle


@pytest.mark.parametrize(
    "text",
    [
        "**__Amanita muscaria__** (L.) Lam.",  # as Mushroom Observer marks it
        "Amanita (Amanita) muscaria",
        "(Amanita muscaria)",
        '"Amanita muscaria"',
        "Amánita muscária",
        "Amanita muscaria\u0301",
    ],
)
def test_marks_and_accents_do_not_change_a_name(text) -> None:
    assert parse_name(text).species == "amanita muscaria"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no letters"),
        ("???", "no letters"),
        ("1234", "no letters"),
        ("a" * (MAX_NAME_LENGTH + 1), "251 characters; at most 250"),
        ("Amanita muscaria\0", "U+0000"),
        ("Amanita \ud800", "U+D800"),
        ("Amanita \u202emuscaria", "U+202E"),  # turns the direction of what follows
        ("Ama\u200bnita muscaria", "U+200B"),  # without width
        ("\u0410manita muscaria", "U+0410"),  # a Cyrillic A
        ("Amanita muscaria \U0001f344", "U+1F344"),
        ("<b>Amanita muscaria</b>", "U+003C"),
    ],
)
def test_what_no_name_can_be_is_refused(text, message) -> None:
    with pytest.raises(InvalidName) as error:
        parse_name(text)
    assert message in str(error.value)


@settings(deadline=None)
@given(st.text(max_size=MAX_NAME_LENGTH + 50))
def test_any_text_is_a_name_or_refused(text) -> None:
    try:
        name = parse_name(text)
    except InvalidName as error:
        assert str(error).endswith((".", '".'))
        return
    assert (name.species is None) != (name.obstacle is None)
    assert len(name.text) <= MAX_NAME_LENGTH
    assert parse_name(name.text) == name  # what is stored reads as what was given
    name.text.encode()
