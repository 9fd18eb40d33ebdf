"""When a child that ended is started again."""
from ua_overlay.system.restart import Restarter


class FakeChild:
    """A child that is up or down as the test says."""

    name = 'it'

    def __init__(self):
        self.up, self.starts = False, 0

    def start(self):
        self.up, self.starts = True, self.starts + 1

    def running(self):
        return self.up

    def exit_code(self):
        return 1


def test_a_crashed_child_restarts_after_growing_pauses():
    child = FakeChild()
    restarter = Restarter(child)
    restarter.start(0.0)
    assert restarter.step(1.0) is None
    now, pauses = 1.0, []
    for _ in range(8):
        child.up = False
        assert 'ended' in restarter.step(now)
        begin = now
        while not child.up:
            now += 0.5
            restarter.step(now)
        pauses.append(now - begin)
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]
    assert restarter.restarts == 8 and child.starts == 9


def test_a_long_run_resets_the_pause():
    child = FakeChild()
    restarter = Restarter(child)
    restarter.start(0.0)
    for now in (1.0, 10.0):
        child.up = False
        restarter.step(now)
        restarter.step(now + 5)
    child.up = False
    assert 'next start in 1 s' in restarter.step(100.0)


def test_every_start_is_announced():
    starts = []
    restarter = Restarter(FakeChild(), on_start=lambda: starts.append(1))
    restarter.start(0.0)
    restarter.child.up = False
    restarter.step(1.0)
    assert starts == [1]
    restarter.step(2.0)
    assert starts == [1, 1]


def test_a_child_that_was_never_started_is_not_restarted():
    assert Restarter(FakeChild()).step(5.0) is None


def test_a_start_that_fails_is_tried_again():
    class Broken:
        name, failing = 'relay', 2

        def start(self):
            if self.failing:
                self.failing -= 1
                raise OSError(11, 'Resource temporarily unavailable')

        def running(self):
            return False

        def exit_code(self):
            return 1

    restarter = Restarter(Broken())
    restarter.child.failing = 0
    restarter.start(0.0)
    restarter.child.failing = 1
    assert 'next start in 1 s' in restarter.step(0.0)
    assert restarter.step(1.0) == 'relay cannot be started: Resource temporarily unavailable; next start in 2 s.'
    assert restarter.step(2.0) is None and restarter.step(3.0) == 'relay started again.'
