"""The report of a campaign: its numbers, its parts, and the writers of HTML, PDF and CSV. ``write`` writes all of it.

Where its text is: ``contents`` lists the parts and has the text of some; the text of the others is in a module for each
(``overview``, ``long_run``, ``study``, ``processor``, ``encryption``, ``video``, ``appendix``). ``figures`` and
``figures_video`` label the axes, ``html`` declares the language, ``pdf`` has the footer, ``csv`` the heads of columns,
and ``numbers`` writes numbers. The names of metrics are in the tools (measure.tools), the words beside packets in
wire.encryption_page.
"""
