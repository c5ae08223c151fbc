#!/bin/sh
# The build step of a release: its own virtual environment, from the lock file.
set -eu
python3 -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check \
  --require-hashes -r requirements.lock
