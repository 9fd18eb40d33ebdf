#!/bin/bash
# Install what is missing, build the tools and the workspace, and link the workspace as .workspace. Safe to run again.
# usage: dev/prepare.sh [--for-tests | --for-report]      (root; `make` uses sudo when you are not)
#        dev/prepare.sh --list-packages    print the packages that it would install
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
root=$PWD
cache=${UA_OVERLAY_CACHE:-/var/cache/ua_overlay}
export UA_OVERLAY_CACHE=$cache
for_tests=${1:-}

say() { printf '%s\n' "$*" >&2; }
step() { # step TEXT COMMAND…: print one line with the time it took; print the output only if it fails
    local text=$1 start=$SECONDS log
    shift
    log=$(mktemp)
    say "$text …"
    if "$@" >"$log" 2>&1; then
        say "$text: done in $((SECONDS - start)) s"
        rm -f "$log"
    else
        cat "$log" >&2
        rm -f "$log"
        say "$text: failed. Fix the problem reported above, then run the same make command again."
        exit 1
    fi
}

# 1. Packages. Where a ROS is below /opt/ros (Noetic, ROS One) none of the distribution's is installed beside it: its catkin conflicts.
ros=
for setup in ${UA_OVERLAY_ROS_SETUP-/opt/ros/noetic/setup.bash /opt/ros/one/setup.bash}; do
    if [ -f "$setup" ]; then
        ros=$setup
        break
    fi
done
wanted=()
heading=
while read -r line; do
    case $line in
        '# '*) heading=${line#\# } ;;
        *) if [ -z "$ros" ] || [ "${heading#ROS}" = "$heading" ]; then wanted+=("$line"); fi ;;
    esac
done <requirements/apt.txt
if [ "$for_tests" = --list-packages ]; then
    printf '%s\n' "${wanted[@]}"
    exit
fi

if [ "$(id -u)" != 0 ]; then
    say "dev/prepare.sh needs root to install packages. Next: sudo make demo"
    exit 1
fi
if ! command -v apt-get >/dev/null; then
    say "This machine has no apt-get. Install the packages of requirements/apt.txt by hand, on Debian bookworm or Ubuntu 20.04."
    exit 1
fi

missing=()
for package in "${wanted[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if [ ${#missing[@]} != 0 ]; then
    export DEBIAN_FRONTEND=noninteractive
    step "Reading the package lists" apt-get update -q
    step "Installing ${#missing[@]} packages (${missing[*]})" apt-get install -q -y --no-install-recommends "${missing[@]}"
fi

# 2. Tools of the tests, in a virtual environment: a robot needs none of them.
if [ "$for_tests" = --for-tests ] && ! cmp -s requirements/dev.txt "$cache/venv/requirements.txt"; then
    mkdir -p "$cache"
    rm -rf "$cache/venv"
    step "Creating the environment of the tests" /usr/bin/python3 -m venv --system-site-packages "$cache/venv"
    step "Installing the tools of the tests" "$cache/venv/bin/pip" install -q --disable-pip-version-check -r requirements/dev.txt
    cp requirements/dev.txt "$cache/venv/requirements.txt"
fi

# The libraries that draw reports go into the same environment; a separate file records that they are installed.
if [ -n "$for_tests" ] && ! cmp -s requirements/analysis.txt "$cache/venv/analysis.txt"; then
    if [ ! -d "$cache/venv" ]; then
        mkdir -p "$cache"
        step "Creating the environment of the reports" /usr/bin/python3 -m venv --system-site-packages "$cache/venv"
    fi
    step "Installing the libraries that draw reports" "$cache/venv/bin/pip" install -q --disable-pip-version-check -r requirements/analysis.txt
    cp requirements/analysis.txt "$cache/venv/analysis.txt"
fi

# Ansible gets another environment, because it brings libraries that the tests must not see.
if [ "$for_tests" = --for-tests ] && ! cmp -s requirements/ansible.txt "$cache/ansible/requirements.txt"; then
    rm -rf "$cache/ansible"
    step "Creating the environment of Ansible" /usr/bin/python3 -m venv "$cache/ansible"
    step "Installing Ansible" "$cache/ansible/bin/pip" install -q --disable-pip-version-check -r requirements/ansible.txt
    cp requirements/ansible.txt "$cache/ansible/requirements.txt"
fi

# 3. tailscale, tailscaled, headscale: from the PATH, or pinned builds. The command shows its own progress.
tools=(install)
[ "$for_tests" = --for-tests ] && tools+=(--for-tests)
scripts/ua-overlay tools "${tools[@]}" >/dev/null
if [ "$for_tests" = --for-tests ]; then
    # Silent if the cache has the images.
    scripts/ua-overlay lab machines images >/dev/null
fi

# 4. The catkin workspace: one for each checkout, so that two of them never mix.
workspace=$cache/ws-$(printf %s "$root" | sha1sum | cut -c1-8)
# Copy the checkout: the lab's robots run as an unprivileged user, who may not be able to read it.
rm -rf "$workspace/src/ua_overlay"
mkdir -p "$workspace/src/ua_overlay"
tar -C "$root" --exclude=./.git --exclude=./.workspace --exclude=__pycache__ -cf - . | tar -C "$workspace/src/ua_overlay" -xf -
chmod -R go+rX "$workspace/src"
build() {
    set +u
    # In a function without arguments: setup.bash would take ours.
    # shellcheck disable=SC1090
    load() { . "$ros"; }
    if [ -n "$ros" ]; then load; fi
    set -u
    # setup.py copies modules into the second folder only if they are newer than the copy there: a module that was reverted
    # or removed would stay.
    rm -rf "$workspace/install" "$workspace/build/ua_overlay/lib"
    PATH=/usr/bin:$PATH catkin_make -C "$workspace" -DPYTHON_EXECUTABLE=/usr/bin/python3 -DCATKIN_ENABLE_TESTING=ON install
    # The robots' user cannot write here: without this, each of its programs would compile every module anew.
    /usr/bin/python3 -m compileall -q "$workspace/install/lib"
}
step "Building the catkin workspace" build
ln -sfn "$workspace" "$root/.workspace"
