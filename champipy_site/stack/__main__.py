"""The command line behind `./champipy`; the shell script itself prints the usage."""

import argparse
import errno
import os
import sys

from champipy_site.stack import commands, logs, one_off
from champipy_site.stack.environment import home_from_environment, load_dotenv
from champipy_site.stack.state import StackError


def port_number(text: str) -> int:
    """Return the TCP port that the text gives; raise ArgumentTypeError for anything else."""
    if not (text.isdecimal() and 1 <= int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: give a number from 1 to 65535")
    return int(text)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser for `up`, `down`, `status` and `logs`."""
    parser = argparse.ArgumentParser(prog="./champipy", allow_abbrev=False)
    parsers = parser.add_subparsers(dest="command", required=True)
    up = parsers.add_parser("up", help="start everything", allow_abbrev=False)
    up.add_argument("--detach", action="store_true", help="return when everything is up")
    up.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    up.add_argument("--port", default=8000, type=port_number, help="port to listen on (8000)")
    up.add_argument("--report-to", type=int, help=argparse.SUPPRESS)
    parsers.add_parser("down", help="stop everything")
    parsers.add_parser("status", help="show the processes")
    show = parsers.add_parser("logs", help="show the logs")
    show.add_argument("process", nargs="?", help="one process only")
    show.add_argument("-f", "--follow", action="store_true", help="follow new lines")
    return parser


def main(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    if arguments[0] == "test":
        return one_off.test(arguments[1:])
    load_dotenv()
    home = home_from_environment()
    if arguments[0] not in ("up", "down", "status", "logs"):
        return one_off.manage(home, arguments)
    options = make_parser().parse_args(arguments)
    if options.command == "up":
        return commands.up(
            home,
            host=options.host,
            port=options.port,
            detach=options.detach,
            report_to=options.report_to,
        )
    if options.command == "down":
        return commands.down(home)
    if options.command == "status":
        return commands.status(home)
    logs.show(home, options.process, follow=options.follow)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except StackError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
    except PermissionError as error:
        sys.exit(
            f"This user has no access to {error.filename}. Run ./champipy as the user who owns it, "
            "or set CHAMPIPY_HOME to a folder of your own."
        )
    except BrokenPipeError:  # `| head` ended; nothing may be flushed to it at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        sys.exit(
            f"There is no space left for {error.filename or os.environ.get('CHAMPIPY_HOME')}. "
            "Free some space, then run this command again."
        )
