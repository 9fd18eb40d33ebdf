"""A campaign: what it measures, in which order, and the samples that it leaves."""
