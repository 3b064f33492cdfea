"""The arguments of `./champipy predict`, and its exit codes."""

from argparse import ArgumentParser

DESCRIPTION = "Predicts the species of photos, given as files, folders or URLs."

ALL_ANSWERED, SOME_FAILED, WRONG_USAGE, UNAVAILABLE, INTERRUPTED = 0, 1, 2, 3, 130

EPILOG = f"""\
A folder stands for all photos in it and below. "-" reads standard input: a photo, or a list of
files and URLs, one a line. With --json each line is one photo: "photo" as it was given, then the
fields of the API's predictions; a photo that failed has "error" with code and detail.

Exit codes:
  {ALL_ANSWERED}    every photo was answered
  {SOME_FAILED}    a photo could not be read, fetched or scored; the others were answered
  {WRONG_USAGE}    wrong arguments: nothing was done
  {UNAVAILABLE}    the service cannot answer now (no model in production, database or disk
       unavailable, quota used up): nothing more was tried
  {INTERRUPTED}  interrupted with Ctrl-C"""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `predict` to a parser: that of the light path or that of manage.py."""
    parser.add_argument(
        "photos",
        nargs="+",
        metavar="PHOTO",
        help="a file, a folder, an http or https URL, or - for standard input",
    )
    parser.add_argument(
        "-n", "--nb-preds", type=int, default=1, help="how many species to print (1)"
    )
    parser.add_argument(
        "--proposed", metavar="NAME", help="a name to be judged: whether it is right for each photo"
    )
    parser.add_argument("--json", action="store_true", help="print one line of JSON for each photo")
