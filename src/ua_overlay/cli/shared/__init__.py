"""What the commands have in common: arguments, tables, progress."""
