"""Places inside a JSON value, and copies with another value in one of them: for mutations."""


def places(value, path=()):
    """Every place of ``value``, as a path of keys and indices; its own is ()."""
    yield path
    for key in (value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()):
        yield from places(value[key], path + (key,))


def with_value(value, path, other):
    """A copy of ``value`` with ``other`` at ``path``."""
    if not path:
        return other
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = with_value(value[path[0]], path[1:], other)
    return copy
