"""Runs of the tests of commands may share their programs."""

from tests.shared_programs import shared_programs  # noqa: F401
