#!/bin/bash
# Style (ruff), types (mypy), the Python floor (vermin), the package (catkin_lint). usage: dev/lint.sh VENV_BIN
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
venv=$1
"$venv/ruff" check .
# What a robot runs; lab/ and the tests are extras on a developer's machine, but nothing in them needs more either.
"$venv/vermin" --quiet --no-tips --violations --target=3.8- src scripts/overlay scripts/ua-overlay
# 1.14 is the last mypy that checks for Python 3.8.
"$venv/mypy"
"$venv/catkin_lint" -W2 --strict .workspace/src/ua_overlay
