"""The scripts of experiments/ import each other by name, as when one of them is run."""

import sys
from pathlib import Path

FOLDER = str(Path(__file__).parents[2] / "experiments")
if FOLDER not in sys.path:
    sys.path.append(FOLDER)
