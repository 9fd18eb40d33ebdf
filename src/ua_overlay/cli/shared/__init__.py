"""What several commands have in common: the parser, options, tables, progress, the site."""
