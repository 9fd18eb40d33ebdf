"""Gather the facts for the checks, one module for each noun; every call that may hang has a deadline."""
