"""Names of this machine's users."""
import pwd


def user_name(uid: int) -> str:
    """Return the name of user ``uid``; the number for a user without a name (containers).

    Do not use the environment: LOGNAME may name another user (sudo, su, a service).
    """
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
