"""Step rules against monolithic loops: the same trajectory, parameter by parameter."""
