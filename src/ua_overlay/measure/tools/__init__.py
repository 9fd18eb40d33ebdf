"""The programs that measure: how they are called, and what their answers mean."""
