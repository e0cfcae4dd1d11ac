#!/usr/bin/env bash
# Prepares .venv with the programs that tests use as readers and peers, and socat, which joins the serial lines of
# tests. Does nothing when they are there already.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v socat >/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "installing socat"
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends socat >/dev/null
    else
        echo "error: the tests need socat for serial lines; install its package" >&2
        echo "       (Debian, Ubuntu: sudo apt-get install socat) and run this again" >&2
        exit 1
    fi
fi

requirements=tests/requirements.txt
stamp=.venv/installed-requirements.txt
if cmp -s "$requirements" "$stamp"; then
    exit 0
fi

if ! command -v python3 >/dev/null; then
    echo "error: the tests need python3 (3.11 or newer); install it and run this again" >&2
    exit 1
fi

# Debian leaves `ensurepip` out of python3.
if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "installing python3-venv"
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
    else
        echo "error: this python3 cannot make virtual environments; install its package for that" >&2
        echo "       (Debian, Ubuntu: sudo apt-get install python3-venv) and run this again" >&2
        exit 1
    fi
fi

echo "preparing .venv from $requirements"
rm -rf .venv
python3 -m venv .venv
.venv/bin/pip install --quiet --disable-pip-version-check --requirement "$requirements"
cp "$requirements" "$stamp"
