"""What can be wrong with a robot in an overlay: the checks behind `ua-overlay doctor`, roswtf and /diagnostics.

`observe` gathers facts within deadlines, the checks judge them without asking anything, `table` names and orders them.
"""
