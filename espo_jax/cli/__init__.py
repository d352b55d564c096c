"""The `espo` command: its flags, and one function for each subcommand."""

from espo_jax.cli.main import main

__all__ = ["main"]
