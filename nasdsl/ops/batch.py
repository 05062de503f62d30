"""What an operation takes over all images of a batch, besides batch-norms."""

from __future__ import annotations

from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_unary


def batch_mean(x_NC: Tensor) -> Tensor:
    """The mean over the batch `(c,)`.

    As functions of torch do, it asks whoever takes the place of functions (`torch.overrides`): where
    a batch lies on several ranks, they take the mean together.
    """
    if has_torch_function_unary(x_NC):
        found: Tensor = handle_torch_function(batch_mean, (x_NC,), x_NC)
        return found
    return x_NC.mean(0)
