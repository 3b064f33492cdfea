"""Starts the replica alone.

To run it: python -m tests.support.mushroom_observer --port 8077
"""

import argparse
from pathlib import Path

from tests.support.mushroom_observer.content import API_KEYS
from tests.support.mushroom_observer.server import MushroomObserver
from tests.support.paths import REAL_PHOTOS


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.mushroom_observer",
        description="Serves a replica of Mushroom Observer on this machine.",
    )
    parser.add_argument("--port", type=int, default=8077)
    parser.add_argument("--observations", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1, help="another seed gives other observations")
    parser.add_argument("--photos", type=Path, default=REAL_PHOTOS, help="folder of real photos")
    parser.add_argument("--delay", type=float, default=0, help="seconds before each answer")
    parser.add_argument("--limit-rate", action="store_true", help="429 for who asks too often")
    parser.add_argument("--maintenance", action="store_true", help="503 with Retry-After")
    parser.add_argument("--html", action="store_true", help="a page instead of JSON")
    parser.add_argument("--half", action="store_true", help="half of each answer")
    parser.add_argument("--no-namings", action="store_true", help="without /api2/namings")
    parser.add_argument("--browsers", action="store_true", help="headless browsers are welcome")
    arguments = parser.parse_args()
    site = MushroomObserver(
        observations=arguments.observations,
        seed=arguments.seed,
        port=arguments.port,
        photos=arguments.photos,
    )
    manners = site.manners
    manners.delay_s = arguments.delay
    manners.limits_rate = arguments.limit_rate
    manners.in_maintenance = arguments.maintenance
    manners.sends_html = arguments.html
    manners.sends_half = arguments.half
    manners.has_namings = not arguments.no_namings
    manners.refuses_scripts = not arguments.browsers
    print(f"A replica of Mushroom Observer is at {site.url}/observations until Ctrl-C.")
    print("Start ChampiPy with:")
    print(f"  CHAMPIPY_MUSHROOM_OBSERVER_URL={site.url} CHAMPIPY_FETCH_ALLOW={site.address}")
    print("API keys: " + ", ".join(f"{login} {key}" for login, key in API_KEYS.items()))
    try:
        site.serve_forever()
    except KeyboardInterrupt:
        print("Stopped.")


if __name__ == "__main__":
    main()
