#!/bin/bash
# Style (ruff), the Python floor (vermin), the package (catkin_lint). usage: dev/lint.sh VENV_BIN
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
venv=$1
"$venv/ruff" check .
# What a robot runs; lab/ and the tests are extras on a developer's machine, but nothing in them needs more either.
"$venv/vermin" --quiet --no-tips --violations --target=3.8- src scripts/overlay scripts/ua-overlay
"$venv/catkin_lint" -W2 --strict .workspace/src/ua_overlay
