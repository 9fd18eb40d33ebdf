"""Packets and captures, and the proof that what they carry is encrypted."""
