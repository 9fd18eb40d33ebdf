"""The agent: the root service of a prepared robot."""
