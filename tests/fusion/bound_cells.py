"""All of a launch but running it: run by `test_device_cells.py`, in a process of its own.

Without a GPU something has to stand for it: its target is known, so that Triton binds arguments,
chooses a variant by their values and compiles that, as it does before it launches.
"""

import torch
from generated_pairs import batch, mixes, pair, step
from spaces_for_tests import space_of
from triton.backends.compiler import GPUTarget
from triton.backends.driver import DriverBase
from triton.runtime import driver

from nasdsl.fusion.device.job import TritonKernels


class Standing(DriverBase):
    """A GPU of today that is not there."""

    def __init__(self):
        pass

    @classmethod
    def is_active(cls):
        return True

    def get_current_target(self):
        return GPUTarget("cuda", 90, 32)

    def get_current_device(self):
        return 0

    def get_current_stream(self, device):
        return 0

    def get_active_torch_device(self):
        return torch.device("cpu")

    def get_benchmarker(self):
        return None

    def map_python_to_cpp_type(self, ty):
        return ty


SPACE = """nas 1
ops few {
  sep  = relu >> dwconv(3, stride = stride) >> conv(1) >> bn(affine = true)
  most = max_pool(3, stride = stride)
}
op align = relu >> conv(1) >> bn
space s {
  cell one {
    in a : align
    node x[1]
    edge a -> x[1] : one_of few
    out x[1]
  }
  width = 16
  input image(3, 6, 6)
  stem conv(3, out = 4) >> bn
  stage one
  head global_avg_pool >> linear(10)
}
"""


def test_arguments_are_bound_and_compiled_for():
    made = set()

    def warm(launch):
        found = launch.kernel.warmup(
            **launch.arguments, **launch.constants, grid=launch.grid, num_warps=launch.warps
        )
        assert found.asm["cubin"]
        made.add(launch.kernel.__name__)

    driver.set_active(Standing())
    kernels = TritonKernels(device="cpu", launch=warm)
    _, net, result = pair(space_of(SPACE, "s"), torch.float32, emitters=(kernels,))
    assert result.regions
    step(net, batch(net, 2, dtype=torch.float32), mixes(net, dtype=torch.float32))
    assert {"depthwise", "depthwise_data", "pool_back", "pointwise", "weighted_sum_back"} <= made
