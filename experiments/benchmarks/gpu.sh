#!/usr/bin/env bash
# Measures on an accelerator what docs/accelerators.md asks for; see gpu.py, which takes the same arguments.
#
#     bash experiments/benchmarks/gpu.sh runs/gpu
#
# PYTHON is the interpreter; without it, that of the virtual environment of `make`.
here=$(cd "$(dirname "$0")" && pwd)
exec "${PYTHON:-$here/../../.venv/bin/python}" "$here/gpu.py" "$@"
