"""Several processes that train one network: who they are, and sums over them."""
