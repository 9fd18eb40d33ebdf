"""Recognize a whole number in a foreign text, before int() reads it. Pure.

str.isdigit() accepts characters that int() refuses ('²'), and int() takes minutes for a million digits (Python 3.8), or
refuses more than 4300 (from 3.11 on).
"""


def is_number(text: str, longest: int = 18) -> bool:
    """Return whether ``text`` consists of ASCII digits, at least one and at most ``longest``."""
    return text.isascii() and text.isdigit() and len(text) <= longest
