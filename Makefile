# ua_overlay: `make demo` shows the main job, `make test` proves it. Both install and build what is missing first.
CACHE := $(or $(UA_OVERLAY_CACHE),/var/cache/ua_overlay)
VENV := $(CACHE)/venv/bin
KEPT := KEEP,UA_OVERLAY_CACHE,UA_OVERLAY_PROOF_SECONDS,UA_OVERLAY_TIME_SCALE
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo --preserve-env=$(KEPT))
PYTEST := $(VENV)/pytest
IN_WORKSPACE := $(SUDO) bash dev/with_workspace.sh $(VENV)/python

.PHONY: help prepare demo campus test quick proof unit lint floor floor-env bench clean

help:           ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

demo:           ## two robots join a real overlay, step by step (KEEP=1 leaves it up)
	@$(SUDO) bash dev/prepare.sh
	@$(SUDO) bash dev/with_workspace.sh /usr/bin/python3 dev/demo.py

campus:         ## the campus as a lab, a short campaign on it and its report (RESULTS=DIR says where)
	@$(SUDO) bash dev/prepare.sh --for-report
	@$(SUDO) bash dev/with_workspace.sh $(VENV)/python dev/campus.py --results $(or $(RESULTS),results/campus) $(ARGS)

prepare:        ## install and build what the tests need
	@$(SUDO) bash dev/prepare.sh --for-tests

test: prepare lint floor-env  ## every test (ARGS="-k WORD", or files: pytest's arguments)
	$(IN_WORKSPACE) dev/run_tests.py $(ARGS)

quick: prepare lint  ## before each commit, 90 s: style and types, the unit tests, one story of the lab
	$(PYTEST) -q -n auto test/unit
	$(IN_WORKSPACE) -m pytest -q test/lab/test_first_hour.py

proof: prepare  ## ten minutes of all that makes tailscaled call home: nothing leaves the site
	UA_OVERLAY_PROOF_SECONDS=600 $(IN_WORKSPACE) dev/run_tests.py test/lab/test_leaks.py

unit:           ## the tests that need neither root nor ROS nor a network
	$(PYTEST) test/unit $(ARGS)

floor: floor-env  ## the unit tests with the oldest libraries that a robot may have (those of Ubuntu 20.04)
	$(CACHE)/floor/bin/pytest test/unit $(ARGS)

floor-env:
	@cmp -s requirements/floor.txt $(CACHE)/floor/requirements.txt || \
	    ($(SUDO) /usr/bin/python3 -m venv --clear $(CACHE)/floor && \
	    $(SUDO) $(CACHE)/floor/bin/pip install -q --disable-pip-version-check -r requirements/floor.txt && \
	    $(SUDO) cp requirements/floor.txt $(CACHE)/floor/requirements.txt)

lint:           ## style, types, the Python floor, catkin_lint
	bash dev/lint.sh $(VENV)

bench: prepare  ## the figures of README and docs
	@$(SUDO) bash dev/with_workspace.sh /usr/bin/python3 bench/run.py $(ARGS)

clean:          ## remove what was built (cache and workspace)
	$(SUDO) rm -rf $(CACHE) .workspace
