"""Makes the modules beside the tests importable."""

import os
import sys
from pathlib import Path

# Workers share the cores: threads that wait for each other would only slow them down.
os.environ.setdefault("OMP_NUM_THREADS", "1")

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE / "codegen"), str(HERE / "regressions")]
