"""Linux plumbing, nothing of ours: recipes, files, processes, units, /proc, deadlines, interfaces."""
