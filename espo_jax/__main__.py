"""`python -m espo_jax` is the `espo` command."""

import sys

from espo_jax.cli import main

sys.exit(main())
