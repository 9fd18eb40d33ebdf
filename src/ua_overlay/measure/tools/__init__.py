"""The tools that measure: a module for each, and the registry that lists them."""
