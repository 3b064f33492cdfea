"""As whom PostgreSQL runs when root starts the stack: PostgreSQL itself refuses to be root."""

import functools
import os
import pwd
import shutil
import subprocess
from pathlib import Path

from champipy_site.stack.environment import PROJECT
from champipy_site.stack.state import StackError

# Tried in this order: nothing; may pass through closed folders; may also execute closed files.
CAPABILITIES = (None, "dac_read_search", "dac_override")


def server_user(data: Path) -> pwd.struct_passwd | None:
    """Return the user for PostgreSQL, None for the present one.

    For root that is the owner of the data, where there are data; else the owner of the project;
    else `nobody`. An owner that has no entry among the users cannot run PostgreSQL.
    """
    if os.geteuid() != 0:
        return None
    for folder in (data, PROJECT):
        if folder.exists() and (owner := folder.stat().st_uid) != 0:
            try:
                return pwd.getpwuid(owner)
            except KeyError:
                continue
    return pwd.getpwnam("nobody")


@functools.cache
def drop_privileges(data: Path, binary: Path) -> list[str]:
    """Return what to put before a command so that it may run PostgreSQL on these data.

    Nothing for an ordinary user. For root, `setpriv` to `server_user`. Where that user cannot
    reach the data or the binary (somewhere inside /root, say), the one capability that lets it
    through goes along: no folder is opened to others for it.
    """
    user = server_user(data)
    if user is None:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise StackError(
            "PostgreSQL cannot run as root, and setpriv (util-linux), which would change the user, "
            "is not installed. Run ./champipy as an ordinary user, or set DATABASE_URL."
        )
    for capability in CAPABILITIES:
        granted = f"-all,+{capability}" if capability else "-all"
        prefix = [
            *(setpriv, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"),
            *("--no-new-privs", "--pdeathsig=INT"),
            *(f"--inh-caps={granted}", f"--ambient-caps={granted}"),
        ]
        if capability:  # else access(2), which PostgreSQL asks first, would leave it out
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
        f"The user {user.pw_name}, as whom PostgreSQL would run, can reach {data} or {binary} "
        "in no way. Run ./champipy as an ordinary user, set CHAMPIPY_HOME to a folder that "
        f"{user.pw_name} can reach, or set DATABASE_URL."
    )
