"""Which texts name a licence under which a photo may be shown."""

import pytest

from predictions.licences import licence_url

CC = "https://creativecommons.org"


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://creativecommons.org/licenses/by-sa/3.0/", f"{CC}/licenses/by-sa/3.0/"),
        ("https://creativecommons.org/licenses/by/4.0", f"{CC}/licenses/by/4.0/"),
        (
            "https://creativecommons.org/licenses/by-nc-nd/2.5/deed.en",
            f"{CC}/licenses/by-nc-nd/2.5/",
        ),
        ("http://creativecommons.org/publicdomain/zero/1.0/", f"{CC}/publicdomain/zero/1.0/"),
        (" CC  BY-SA 3.0 ", f"{CC}/licenses/by-sa/3.0/"),
        ("cc-by-nc-4.0", f"{CC}/licenses/by-nc/4.0/"),
        ("CC0", f"{CC}/publicdomain/zero/1.0/"),
        ("Creative Commons Wikipedia Compatible v3.0", f"{CC}/licenses/by-sa/3.0/"),
        ("Creative Commons Non-commercial v2.5", f"{CC}/licenses/by-nc-sa/2.5/"),
        ("Public Domain", f"{CC}/publicdomain/mark/1.0/"),
    ],
)
def test_a_licence_is_known_however_it_is_written(text: str, url: str) -> None:
    assert licence_url(text) == url
    assert licence_url(url) == url


@pytest.mark.parametrize(
    "text",
    [
        "",
        "All rights reserved",
        "all rights reserved, see http://creativecommons.org/licenses/by/4.0/",
        "http://creativecommons.org.example/licenses/by/4.0/",
        "http://creativecommons.org/licenses/by-xx/4.0/",
        "http://creativecommons.org/licenses/",
        "javascript:alert(1)",
        "CC BY",
        "© 2019",
    ],
)
def test_nothing_is_assumed_of_other_texts(text: str) -> None:
    assert licence_url(text) == ""
