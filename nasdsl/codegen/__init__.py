"""From IR to torch.fx graph modules."""
