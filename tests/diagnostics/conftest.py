"""`--update-golden` (or NASDSL_UPDATE_GOLDEN=1) rewrites the expected output of the cases."""

import contextlib
import os

import pytest


def pytest_addoption(parser):
    # Another test folder may have added the same option.
    with contextlib.suppress(ValueError):
        parser.addoption("--update-golden", action="store_true", help="rewrite expected outputs")


@pytest.fixture
def update_golden(request):
    return bool(
        request.config.getoption("update_golden", default=False)
        or os.environ.get("NASDSL_UPDATE_GOLDEN")
    )
