"""`espo bench`: measure steps per second."""

import dataclasses
from pathlib import Path
from typing import Any

import jax

from espo_jax.cli.common import OK, UNWRITABLE, allow_typed, refusing
from espo_jax.cli.flags import flags_of, parse
from espo_jax.environments import named_env
from espo_jax.results import bench as benchmark
from espo_jax.results import bench_plot, bench_table
from espo_jax.results.bench import BenchOptions
from espo_jax.runs import files, output
from espo_jax.runs.output import show
from espo_jax.runs.surroundings import surroundings
from espo_jax.settings import documented, setting


@documented
@dataclasses.dataclass(frozen=True)
class CompareFiles:
    """Whether to compare instead of measuring."""

    compare: tuple[str, str] | None = setting(
        None, "two files that --json wrote, to compare instead of measuring", none="measure"
    )


def command(argv: list[str]) -> int:
    """Parse the flags, and measure or compare; returns the exit code."""
    description = (
        "Measure steps per second: the environments alone, with the policy, and whole training with the paper's "
        "settings. Prints a Markdown table; compilation is apart."
    )
    allow_typed(argv)
    values = dict(vars(parse(flags_of(BenchOptions, CompareFiles), argv, "espo bench", description)))
    if paths := values.pop("compare"):
        with refusing():
            for line in bench_table.compare(*map(Path, paths)).split("\n"):
                show(line)
        return OK
    with refusing():
        options = BenchOptions(**values)
        env = named_env(options.task, options.backend, env=options.env)
    return bench(options, env)


def bench(options: BenchOptions, env: Any) -> int:
    """Measure, print a line for each program as it is done, and write the file; returns the exit code.

    Args:
      options: what to measure.
      env: the environment.

    Raises:
      BadInputError: a setting or the environment is not usable, or the file cannot be made.
    """
    around = surroundings()
    found: list[benchmark.Figures] = []
    settings = {**dataclasses.asdict(options), "backend": getattr(env, "backend", None)}
    path, device = Path(options.json) if options.json else None, around["device"]
    title = f"{options.task} on {settings['backend']}: {device['count']} x {device['kind']}, jax {jax.__version__}"

    def write() -> None:
        if options.plot:  # first, since its format may be refused
            bench_plot.draw(found, options.plot, title)
        if path:
            files.write_json(path, bench_table.as_json(found, settings, around))

    with refusing():
        write()  # before anything is compiled
    show(f"{title}\n")
    show(bench_table.head())
    measured = benchmark.measure(options, env)
    while True:
        with refusing():
            figures = next(measured, None)
        if figures is None:
            return OK
        found.append(figures)
        show(bench_table.row(figures))
        try:
            write()
        except OSError as error:
            output.say(f"{error}; the table has what was measured")
            return UNWRITABLE
