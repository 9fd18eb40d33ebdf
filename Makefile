# ua_overlay: `make demo` shows the main job, `make test` proves it. Both first install and build what is missing.
CACHE := $(or $(UA_OVERLAY_CACHE),/var/cache/ua_overlay)
VENV := $(CACHE)/venv/bin
KEPT := KEEP,UA_OVERLAY_CACHE,UA_OVERLAY_CHAOS_RUNS,UA_OVERLAY_LOSS_SECONDS,UA_OVERLAY_PROOF_SECONDS,UA_OVERLAY_ROS_SETUP,UA_OVERLAY_TIME_SCALE
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo --preserve-env=$(KEPT))
PYTEST := $(VENV)/pytest
IN_WORKSPACE := $(SUDO) bash dev/with_workspace.sh $(VENV)/python

.PHONY: help prepare demo campus canary test quick proof unit lint floor floor-env bench drawing faults chaos clean

help:           ## list these targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

demo:           ## watch two robots join a real overlay, step by step (KEEP=1 leaves it up)
	@$(SUDO) bash dev/prepare.sh
	@$(SUDO) bash dev/with_workspace.sh /usr/bin/python3 dev/demo.py

campus:         ## run a short campaign on a campus in the lab and write its report (RESULTS=DIR: where)
	@$(SUDO) bash dev/prepare.sh --for-report
	@$(SUDO) bash dev/with_workspace.sh $(VENV)/python dev/campus.py --results $(or $(RESULTS),results/campus) $(ARGS)

canary: prepare  ## try a tailscale that is not pinned: the demo and the LocalAPI tests (VERSION=X.Y.Z)
	$(IN_WORKSPACE) dev/canary.py $(VERSION)

prepare:        ## install and build what the tests need
	@$(SUDO) bash dev/prepare.sh --for-tests

test: prepare lint floor-env  ## run every test (ARGS: files or options of pytest, such as ARGS="-k WORD")
	$(IN_WORKSPACE) dev/run_tests.py $(ARGS)

quick: prepare lint  ## check style and types, run the unit tests and one lab story (a minute; before each commit)
	$(IN_WORKSPACE) dev/run_tests.py quick

chaos: prepare  ## kill anything at random for half an hour, then the other long faults (DURATION: minutes, SEED)
	$(IN_WORKSPACE) dev/chaos.py $(if $(DURATION),--minutes $(DURATION)) $(if $(SEED),--seed $(SEED))
	UA_OVERLAY_LOSS_SECONDS=600 UA_OVERLAY_CHAOS_RUNS=100 $(IN_WORKSPACE) -m pytest -q test/lab/test_server_killed.py \
	    test/lab/test_team.py::test_runner_waits_for_the_overlay_and_starts_with_the_join \
	    test/lab/test_team.py::test_a_lossy_network

proof: prepare  ## prove for ten minutes that nothing leaves the site
	UA_OVERLAY_PROOF_SECONDS=600 $(IN_WORKSPACE) dev/run_tests.py test/lab/test_leaks.py

unit:           ## run the tests that need no root, no ROS and no network
	$(PYTEST) test/unit $(ARGS)

floor: floor-env  ## run the unit tests with the oldest libraries a robot may have (Ubuntu 20.04)
	$(CACHE)/floor/bin/pytest test/unit $(ARGS)

floor-env:
	@cmp -s requirements/floor.txt $(CACHE)/floor/requirements.txt || \
	    ($(SUDO) /usr/bin/python3 -m venv --clear $(CACHE)/floor && \
	    $(SUDO) $(CACHE)/floor/bin/pip install -q --disable-pip-version-check -r requirements/floor.txt && \
	    $(SUDO) cp requirements/floor.txt $(CACHE)/floor/requirements.txt)

lint:           ## check style, types, the Python floor and the package
	bash dev/lint.sh $(VENV)

bench: prepare  ## measure the figures of README and docs
	@$(SUDO) bash dev/with_workspace.sh /usr/bin/python3 bench/run.py $(ARGS)

drawing:        ## draw the rooms of src/ and who imports whom (docs/rooms.svg)
	@python3 dev/drawing.py

faults:         ## write the table of faults from the tests (docs/faults.md)
	@python3 dev/faults.py

clean:          ## remove what was built (cache and workspace)
	$(SUDO) rm -rf $(CACHE) .workspace
