"""What acts on the alphas before the sampler or on the mix behind it, a file per transform."""
