#!/bin/sh
# Make the project's own virtual environment in .venv and install into it what the lock files say, hashes checked.
# Usage: sh deploy/set_up.sh run|test
set -eu

wanted=$1
# What is set for other programs' Python would be taken into this one, and pip puts nothing into a user's home here.
unset PYTHONHOME PYTHONPATH
export PIP_USER=0

say() { printf '%s\n' "$*" >&2; }

as_root_install() {
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        say "installing $* (Debian packages)"
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" >/dev/null
    else
        say "Please install $* first, for example: sudo apt-get install $*"
        exit 1
    fi
}

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    for candidate in python3.11 python3.12 python3.13 python3.14 python3; do
        if command -v "$candidate" >/dev/null && is_new_enough "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
}

# Whole, and of this folder: its programs name the folder that they were installed in.
is_made() {
    is_new_enough .venv/bin/python && .venv/bin/uv --version >/dev/null 2>&1 && [ "$(cat .venv/.place 2>/dev/null)" = "$(pwd -P)" ]
}

if ! is_made; then
    if [ -n "${PYTHON:-}" ]; then
        is_new_enough "$PYTHON" || { say "PYTHON=$PYTHON is no Python 3.11 or newer."; exit 1; }
        found=$PYTHON
    else
        found=$(find_python)
    fi
    if [ -z "$found" ]; then
        as_root_install python3
        found=$(find_python)
    fi
    if [ -z "$found" ]; then
        say "Python 3.11 or newer is needed. Set PYTHON=/path/to/python and try again."
        exit 1
    fi
    if ! "$found" -c 'import ensurepip' 2>/dev/null; then
        as_root_install "$("$found" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
    fi
    say "making .venv with $("$found" --version)"
    rm -rf .venv
    "$found" -m venv .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r deploy/locks/installer.lock
    pwd -P >.venv/.place
fi

say "installing what deploy/locks/$wanted.lock says"
.venv/bin/python deploy/run_uv.py pip sync --quiet --python .venv/bin/python --require-hashes "deploy/locks/$wanted.lock"
.venv/bin/python deploy/run_uv.py pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable .
