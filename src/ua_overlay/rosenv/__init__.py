"""The ROS environment of a robot in its team: its master, its name, and everything that depends on them.

How long a move of the team master takes: three delays act in a row, so that a momentary change stops no node.

1. mastership: the current master stays while no robot is tagged (NOBODY_TIME, at most 10 s) or several robots are
   (TWO_TIME, at most 5 s). As soon as exactly one other robot is tagged, it becomes the master.
2. graph: another master must be desired for STABLE, 2 s, before running nodes are stopped. Stopping them takes at
   most 7 s (supervised.GRACE and subreaper.TERM_GRACE).
3. supervised: a roscore or launch file that exits unexpectedly is restarted after a pause: 1 s, doubled each time, at
   most 30 s (LONGEST_PAUSE).

So a move takes at least 2 s. It takes at most 19 s when nothing crashes, and at most 49 s with the longest pause, plus
the steps of the keeper (half a second each) and the time that roscore and the nodes take to start.
"""
