"""What results of optimizers on benchmarks say, and what they do not. No torch, no scipy."""
