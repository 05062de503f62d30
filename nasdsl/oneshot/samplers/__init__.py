"""How the weights of the options come from the architecture parameters, a file per sampler."""
