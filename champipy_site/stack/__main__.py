"""The command line behind `./champipy`; the shell script itself prints the usage."""

import argparse
import errno
import os
import sys
from pathlib import Path

from champipy_site.stack import backup, commands, logs, one_off, restore
from champipy_site.stack.environment import home_from_environment
from champipy_site.stack.services import PROCESSES
from champipy_site.stack.state import Home, StackError
from common.home import load_dotenv

STACK_COMMANDS = ("up", "down", "status", "logs", "backup", "restore")


def port_number(text: str) -> int:
    """Return the TCP port that the text gives; raise ArgumentTypeError for anything else."""
    if not (text.isdecimal() and 1 <= int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: give a number from 1 to 65535")
    return int(text)


def process_names(text: str) -> list[str]:
    """Return the names of processes that the text lists; raise ArgumentTypeError for another."""
    names = text.split(",")
    for name in names:
        if name not in PROCESSES:
            raise argparse.ArgumentTypeError(
                f"{name!r} is no process: give some of {', '.join(PROCESSES)}, divided by commas"
            )
    return names


def make_parser() -> argparse.ArgumentParser:
    """Return the parser for the commands of the stack; manage.py has the others."""
    parser = argparse.ArgumentParser(prog="./champipy", allow_abbrev=False)
    parsers = parser.add_subparsers(dest="command", required=True)
    up = parsers.add_parser("up", help="start everything", allow_abbrev=False)
    up.add_argument("--detach", action="store_true", help="return when everything is up")
    up.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    up.add_argument("--port", default=8000, type=port_number, help="port to listen on (8000)")
    up.add_argument(
        "--accept-published-passwords",
        action="store_true",
        help="listen on another --host although logins have passwords from the documentation",
    )
    up.add_argument(
        "--only",
        type=process_names,
        metavar="NAMES",
        help="start only these processes, such as fetch,inference, beside those of other machines",
    )
    up.add_argument("--report-to", type=int, help=argparse.SUPPRESS)
    parsers.add_parser("down", help="stop everything")
    parsers.add_parser("status", help="show the processes")
    show = parsers.add_parser("logs", help="show the logs")
    show.add_argument("process", nargs="?", help="one process only")
    show.add_argument("-f", "--follow", action="store_true", help="follow new lines")
    save = parsers.add_parser("backup", help="write the database, photos and models into a file")
    save.add_argument("file", type=Path, help="the new file")
    load = parsers.add_parser("restore", help="fill an empty CHAMPIPY_HOME from a backup")
    load.add_argument("file", type=Path, help="what backup has written")
    return parser


def main(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    if arguments[0] in STACK_COMMANDS and {"-h", "--help"} & set(arguments):
        make_parser().parse_args(arguments)  # prints the help and exits; a home is not needed
    if arguments[0] == "test":
        return one_off.test(arguments[1:])
    load_dotenv()
    if arguments[0] == "restore":  # makes the home only after it has checked the backup
        options = make_parser().parse_args(arguments)
        return restore.restore(Home(Path(os.environ["CHAMPIPY_HOME"])), options.file)
    home = home_from_environment()
    if home.restoring.exists() and arguments[0] not in ("down", "status", "logs"):
        raise StackError(
            f"A restore into {home.path} did not finish. Run ./champipy restore FILE again, or "
            "delete that folder."
        )
    if arguments[0] in STACK_COMMANDS:
        return run_stack_command(home, make_parser().parse_args(arguments))
    return one_off.manage(home, arguments)


def run_stack_command(home: Home, options: argparse.Namespace) -> int:
    """Run one of the commands of `make_parser` on a home; return its exit code."""
    match options.command:
        case "up":
            return commands.up(
                home,
                host=options.host,
                port=options.port,
                accepts_published=options.accept_published_passwords,
                only=options.only or [],
                detach=options.detach,
                report_to=options.report_to,
            )
        case "down":
            return commands.down(home)
        case "status":
            return commands.status(home)
        case "backup":
            return backup.backup(home, options.file)
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
            f"There is no space left for {error.filename or 'what this command writes'}. "
            "Free some space, then run this command again."
        )
