"""`python benchmarks/annotation_efficiency`, or `python -m benchmarks.annotation_efficiency`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.annotation_efficiency.cli import main

main()
