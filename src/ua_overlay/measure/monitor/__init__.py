"""Probes that repeat for days, and the small file that monitors read."""
