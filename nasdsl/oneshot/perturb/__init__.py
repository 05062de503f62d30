"""Perturbations of the mix in the weight step (SDARTS, arXiv 2002.05283); alphas never change."""
