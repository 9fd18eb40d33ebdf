"""The hosts that a campaign measures between."""
