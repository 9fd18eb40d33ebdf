"""The hosts that a campaign measures between: this machine, hosts over ssh, hosts of a lab."""
