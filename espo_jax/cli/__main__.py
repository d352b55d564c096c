"""`python -m espo_jax.cli` is the `espo` command."""

import sys

from espo_jax.cli import main

sys.exit(main())
