"""Probes that repeat for days, and the small file that other monitoring reads."""
