"""Packets, captures, and the proof of encryption."""
