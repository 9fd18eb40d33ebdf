"""The ROS environment of a robot in its team: which master, which name, and everything that follows from them.

How long a move of the team master takes: three dampers act in a row, so that what lasts a moment stops no node.

1. mastership: the present master stays while nobody is tagged (NOBODY_TIME, at most 10 s) or several robots are
   (TWO_TIME, at most 5 s). As soon as one other robot alone is tagged, that one is the master.
2. graph: another master has to be desired for STABLE, 2 s, before running nodes are stopped. Stopping them takes at
   most 7 s (supervised.GRACE and subreaper.TERM_GRACE).
3. supervised: a roscore or launch file that ends by itself is started again after a pause: 1 s, doubled each time, at
   most 30 s (LONGEST_PAUSE).

So a move takes at least 2 s. It takes at most 19 s when nothing crashes, and at most 49 s with the longest pause, plus
the steps of the keeper (half a second each) and the time in which roscore and the nodes start.
"""
