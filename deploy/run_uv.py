"""Run this folder's uv with the indexes and certificates that pip is told of, in files or by variables that uv does not read.

What uv is told itself counts more. Nothing is printed, for an index's address may hold a password.
"""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

INDEXES = frozenset({"UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL"})
_SETTING = re.compile(r"(?P<section>[^.]+)\.(?P<name>[a-z-]+)=(?P<value>.*)")
_SECTIONS = ("global", "install", ":env:")
"""What comes later counts more."""


def main() -> None:
    uv = Path(".venv/bin/uv")
    os.execve(uv, [str(uv), *sys.argv[1:]], {**as_uv_calls_them(pip_settings(), os.environ), **os.environ})


def pip_settings() -> Mapping[str, str]:
    """By name, as pip itself understands them; none without pip."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list", "--disable-pip-version-check"],
        capture_output=True,
        text=True,
        check=False,
    )
    found = [each for line in listed.stdout.splitlines() if (each := _SETTING.fullmatch(line)) and each["section"] in _SECTIONS]
    found.sort(key=lambda each: _SECTIONS.index(each["section"]))
    return {each["name"]: ast.literal_eval(each["value"]) for each in found}


def as_uv_calls_them(settings: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """Variables for uv."""
    variables: dict[str, str] = {}
    if not INDEXES & environ.keys():
        # As pip does, each version is looked for in every index. The lock files' hashes say which files are meant.
        variables["UV_INDEX_STRATEGY"] = "unsafe-best-match"
        variables["UV_DEFAULT_INDEX"] = settings.get("index-url", "").strip()
        variables["UV_INDEX"] = " ".join(settings.get("extra-index-url", "").split())
    # A folder that is not there is a warning to pip, and the end to uv.
    places = [each for each in settings.get("find-links", "").split() if "://" in each or Path(each).exists()]
    variables["UV_FIND_LINKS"] = ",".join(places)
    variables["UV_INSECURE_HOST"] = " ".join(settings.get("trusted-host", "").split())
    variables["SSL_CERT_FILE"] = settings.get("cert", "")
    variables["SSL_CLIENT_CERT"] = settings.get("client-cert", "")
    variables["ALL_PROXY"] = settings.get("proxy", "")
    return {name: value for name, value in variables.items() if value}


if __name__ == "__main__":
    main()
