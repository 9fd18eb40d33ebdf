"""Property-based tests of everything that parses what comes from outside: a value or an OverlayError, nothing else.

A machine without hypothesis (an old distribution's own pytest) skips this folder; `make test` and `make floor` have it.
"""
import importlib.util

if importlib.util.find_spec('hypothesis') is None:
    collect_ignore_glob = ['test_*.py']
else:
    from hypothesis import HealthCheck, settings

    #: The same examples on every machine: a test that fails here fails everywhere. No deadline: machines are slow.
    settings.register_profile('fixed', derandomize=True, deadline=None, max_examples=100, database=None,
                              suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile('fixed')
