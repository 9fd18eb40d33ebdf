"""Commands against hostile surroundings: a tailscaled or files that somebody else made. See test/hostile.py."""
