"""YAML as people write it, read so that no line of theirs is lost without a word."""
import yaml


class Twice(Exception):
    """A mapping has two keys of one name: args are (name, line, line), counted from 1."""


class _Loader(yaml.SafeLoader):
    """YAML takes the second of two fields of one name and says nothing; this one says it."""

    def construct_mapping(self, node, deep=False):
        seen = {}
        for key, _ in node.value:
            name = getattr(key, 'value', None)
            if isinstance(name, str) and name in seen:
                raise Twice(name, seen[name], key.start_mark.line + 1)
            seen[name] = key.start_mark.line + 1
        return super().construct_mapping(node, deep)


def load(text):
    """The values of a YAML text. :raises Twice: a name comes twice in a mapping. :raises yaml.YAMLError: as ever."""
    return yaml.load(text, Loader=_Loader)
