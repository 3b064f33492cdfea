"""The user under whom PostgreSQL runs if root starts the stack; PostgreSQL refuses to be root."""

import functools
import os
import pwd
import shutil
import subprocess
from pathlib import Path

from champipy_site.stack.environment import PROJECT
from champipy_site.stack.state import StackError

# Tried in this order: none; may enter folders closed to the user; may also run files closed to it.
CAPABILITIES = (None, "dac_read_search", "dac_override")


def server_user(data: Path) -> pwd.struct_passwd | None:
    """Return the user who runs PostgreSQL, or None for the current user.

    If root starts the stack, this is the owner of the data if they exist, else the owner of the
    home or of the project if that is not root, else the user `champipy` if there is one, else
    `nobody`, as no user is ever created. An owner without an entry in the user database cannot run
    PostgreSQL.
    """
    if os.geteuid() != 0:
        return None
    for folder in (data, data.parent, PROJECT):
        if folder.exists() and (owner := folder.stat().st_uid) != 0:
            try:
                return pwd.getpwuid(owner)
            except KeyError:
                continue
    try:
        return pwd.getpwnam("champipy")
    except KeyError:
        return pwd.getpwnam("nobody")


@functools.cache
def drop_privileges(data: Path, binary: Path) -> list[str]:
    """Return the prefix for commands that run PostgreSQL on these data.

    It is empty for an ordinary user. For root it is `setpriv`, which changes to `server_user`. If
    that user cannot reach the data or the binary (below /root, for example), the prefix adds the
    one capability that is needed, so that no folder has to be opened to other users. Raise
    StackError if setpriv is missing or no capability is enough.
    """
    user = server_user(data)
    if user is None:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise StackError(
            "PostgreSQL cannot run as root, and setpriv, which changes the user, is not installed. "
            "Install util-linux, run ./champipy as an ordinary user, or set DATABASE_URL."
        )
    for capability in CAPABILITIES:
        granted = f"-all,+{capability}" if capability else "-all"
        prefix = [
            *(setpriv, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"),
            *("--no-new-privs", "--pdeathsig=INT"),
            *(f"--inh-caps={granted}", f"--ambient-caps={granted}"),
        ]
        if capability:  # otherwise access(2), which PostgreSQL calls first, would ignore it
            prefix.append("--securebits=+no_setuid_fixup")
        trials = (
            ["test", "-x", str(binary)],
            [str(binary), "--version"],
            ["test", "-w", str(data)],
        )
        if all(
            subprocess.run([*prefix, *trial], capture_output=True, check=False).returncode == 0
            for trial in trials
        ):
            return prefix
    raise StackError(
        f"PostgreSQL would run as the user {user.pw_name}, who cannot reach {data} or {binary}. "
        "Run ./champipy as an ordinary user, set CHAMPIPY_HOME to a folder that "
        f"{user.pw_name} can reach, or set DATABASE_URL."
    )
