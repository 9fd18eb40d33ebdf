"""General Linux plumbing: recipes, files, processes, units, /proc, deadlines, interfaces."""
