"""Black-box searches: planted optima, requirements, the table of NAS-Bench-Macro."""

import random
from statistics import mean

import pytest
from spaces_for_tests import space_of

from nasdsl import driver
from nasdsl.benchmarks import macro
from nasdsl.ir.canonical import Canonical
from nasdsl.ir.limits import Limits
from nasdsl.ir.member import check
from nasdsl.ir.sampling import sample
from nasdsl.oneshot.blackbox.evolution import evolution
from nasdsl.oneshot.blackbox.inherit import inherit
from nasdsl.oneshot.blackbox.local import local_search
from nasdsl.oneshot.blackbox.nsga2 import crowding, dominates, fronts, nsga2
from nasdsl.oneshot.blackbox.pool import BudgetSpent, Pool
from nasdsl.oneshot.blackbox.random_search import random_search
from nasdsl.oneshot.blackbox.regularized import regularized_evolution
