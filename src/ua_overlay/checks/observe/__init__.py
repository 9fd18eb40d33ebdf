"""Gathers the facts that the checks judge, one module for each noun; everything that may hang has a deadline."""
