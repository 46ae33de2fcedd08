"""Loaded by Triton's Python backend. The code, the same for all of the demo's models, is in triton_model.py."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from triton_model import TritonPythonModel  # noqa: F401 (the path has to be there first; Triton looks the name up here)
