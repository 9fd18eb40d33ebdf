"""The common parts of commands: the parser, options, tables, progress, the site."""
