"""The name of a user comes from the machine, and is a number where there is none."""
import os
import pwd

from ua_overlay.system.users import user_name

#: A user id without a name, as in a container.
NAMELESS = 3999999


def test_the_user_comes_from_the_uid(monkeypatch):
    for name in ('LOGNAME', 'USER', 'LNAME', 'USERNAME'):
        monkeypatch.setenv(name, 'somebody-else')
    assert user_name(os.geteuid()) == pwd.getpwuid(os.geteuid()).pw_name != 'somebody-else'
    assert user_name(NAMELESS) == str(NAMELESS)  # without a name
