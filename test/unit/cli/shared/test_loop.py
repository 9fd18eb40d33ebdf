import os
import signal

import pytest

from ua_overlay.cli.shared import loop


def test_sigterm_ends_a_command_as_ctrl_c_does():
    before = signal.getsignal(signal.SIGTERM)
    try:
        stop = loop.until_sigterm()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
            stop.wait(10)
        assert stop.is_set()
    finally:
        signal.signal(signal.SIGTERM, before)
