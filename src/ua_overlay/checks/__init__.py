"""The checks of a robot in an overlay, behind `ua-overlay doctor`, roswtf and /diagnostics.

`observe` gathers facts within deadlines, the checks judge these facts and nothing else, `table` names and orders them.
"""
