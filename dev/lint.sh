#!/bin/bash
# Check style (ruff), types (mypy), the Python floor (vermin) and the package (catkin_lint). usage: dev/lint.sh VENV_BIN
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
venv=$1
"$venv/ruff" check .
# What a robot runs must work with Python 3.8. Nothing else in src/ needs more, so check all of it.
"$venv/vermin" --quiet --no-tips --violations --target=3.8- src scripts/overlay scripts/ua-overlay
# mypy 1.14 is the last version that can check for Python 3.8.
"$venv/mypy"
"$venv/catkin_lint" -W2 --strict .workspace/src/ua_overlay
