"""What a Bazel test target runs: pytest over the files that are named to it."""

from __future__ import annotations

import os
import sys

import pytest

if __name__ == "__main__":
    report = os.environ.get("XML_OUTPUT_FILE")  # where Bazel looks for the single results
    extra = [f"--junitxml={report}"] if report else []
    sys.exit(pytest.main([*sys.argv[1:], "-p", "no:cacheprovider", *extra]))
