"""Where cells are done: in this process, in others, in jobs of Slurm, in tasks of Ray."""
