"""The report of a campaign: its numbers, its parts, and the writers of HTML, PDF and CSV."""
