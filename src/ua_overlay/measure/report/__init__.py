"""The report of a campaign: its numbers, its parts, and the writers of HTML, PDF and CSV. ``write`` runs all writers.

To translate a report or to change its words, edit:

- ``contents``: it lists the parts and has the text of some; ``overview``, ``long_run``, ``study``, ``processor``,
  ``encryption``, ``video`` and ``appendix`` have the text of the others
- ``data``: the names of links and settings; ``numbers``: the form of numbers
- ``figures``, ``figures_video``: axes and legends
- ``html`` (language, navigation), ``pdf`` (footer), ``csv`` (column headings)
- measure.tools: the names of the metrics, and the problems of samples, which the appendix lists; other problems are in
  measure.campaign (``measurement``, ``proof``) and measure.hosts
- wire.encryption_page: tables and captions of the proof of encryption; wire.encryption: its `why` sentences
"""
