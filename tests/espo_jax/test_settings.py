"""What is declared of a setting is what its checks, its documentation and its table say."""

import dataclasses
import math

import numpy as np
import pytest

from espo_jax import presets, settings
from espo_jax.config import Config
from espo_jax.hyperparams import Hyperparams
from espo_jax.settings import MISSING, Setting, check_settings, choose, documented, setting, settings_of, traced

LEVELS = {"low": 1, "high": 2}


@documented
@dataclasses.dataclass(frozen=True)
class Example:
    """Settings of every kind."""

    slack: float = traced(MISSING, "slack of each constraint", per_constraint=True)
    share: float = setting(0.5, "share of the samples", range="[0, 1)", symbol="x")
    count: int = setting(3, "number of samples")
    level: str = setting("low", "level of the noise", choices=LEVELS, earlier="high")
    limit: int | None = setting(None, "limit on the samples", none="no limit")
    widths: tuple[int, ...] = setting((8, 8), "widths of the layers")
    verbose: bool = setting(False, "whether it prints")
    title: str = setting("", "title of the figure")
    plain: int = 0

    def __post_init__(self):
        check_settings(self)


def example(**changes):
    return Example(**{"slack": 1.0, **changes})


@pytest.mark.parametrize(
    ("interval", "allowed", "refused"),
    [
        ("[0, 1]", [0, 1, 0.5], [-1e-9, 1.1, math.inf]),
        ("(0, 1)", [1e-30, 0.5], [0, 1]),
        ("(-1, 0]", [0.0, -0.999], [-1.0, 1e-9]),
        ("[0, 1)", [0.0, 0.999], [1.0, -0.1]),
        ("[0, inf)", [0.0, 1e300], [math.inf, -1e-9]),
        ("[0, inf]", [0.0, math.inf], [-math.inf]),
        ("[-inf, 0]", [-math.inf, 0.0], [1e-9, math.inf]),
        ("(-inf, 0]", [-1e300], [-math.inf]),
        ("[0, 2^32)", [2**32 - 1], [2**32, -1]),
        ("[1, 10,000]", [10_000], [10_001]),
    ],
)
def test_intervals_have_the_ends_that_their_brackets_say(interval, allowed, refused):
    for value in allowed:
        settings.require_range("share", float(value), interval)
    for value in [*refused, math.nan]:
        with pytest.raises(ValueError, match="share is") as error:
            settings.require_range("share", float(value), interval)
        assert str(error.value) == f"share is {value:g}: it must lie in {interval}"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"share": 1.0}, "share is 1: it must lie in [0, 1)"),
        ({"share": math.nan}, "share is nan: it must lie in [0, 1)"),
        ({"share": "0.5"}, "share is '0.5': it must be a number"),
        ({"share": None}, "share is None: it must be a number"),
        ({"count": 0}, "count is 0: it must be an integer in [1, 2^31)"),
        ({"count": 2**31}, "count is 2147483648: it must be an integer in [1, 2^31)"),
        ({"count": 2.0}, "count is 2.0: it must be an integer in [1, 2^31)"),
        ({"count": True}, "count is True: it must be an integer in [1, 2^31)"),
        ({"count": None}, "count is None: it must be an integer in [1, 2^31)"),
        ({"level": "middle"}, "level is 'middle': it must be one of low, high"),
        ({"level": 1}, "level is 1: it must be one of low, high"),
        ({"level": None}, "level is None: it must be one of low, high"),
        ({"limit": 0}, "limit is 0: it must be an integer in [1, 2^31)"),
        ({"widths": (8, 0)}, "widths is (8, 0): it must be a tuple of integers in [1, 2^31)"),
        ({"widths": 8}, "widths is 8: it must be a tuple of integers in [1, 2^31)"),
        ({"widths": (8, 2.0)}, "widths is (8, 2.0): it must be a tuple of integers in [1, 2^31)"),
        ({"verbose": 1}, "verbose is 1: it must be True or False"),
        ({"title": 5}, "title is 5: it must be text of at most 4096 characters"),
        ({"slack": "wide"}, "slack is 'wide': it must be a number"),
    ],
)
def test_every_kind_of_setting_is_refused_by_name_value_and_bound(changes, message):
    with pytest.raises(ValueError, match=" is ") as error:
        example(**changes)
    assert str(error.value) == message


@pytest.mark.parametrize(
    "changes",
    [
        {}, {"share": 0}, {"share": np.float32(0.25)}, {"count": np.int64(7)}, {"count": 2**31 - 1}, {"level": "high"},
        {"limit": None}, {"limit": 1}, {"widths": ()}, {"widths": [4]}, {"verbose": np.bool_(True)},
        {"slack": math.inf}, {"slack": math.nan}, {"plain": "anything"},
    ],
)  # fmt: skip
def test_every_kind_of_setting_takes_what_is_allowed(changes):
    """A setting without a range takes any number, and a field that is no setting is not checked."""
    example(**changes)


def test_the_declarations_stand_on_the_fields():
    declared = settings_of(Example)
    assert list(declared) == ["slack", "share", "count", "level", "limit", "widths", "verbose", "title"]
    assert declared["share"] == Setting(0.5, "share of the samples", range="[0, 1)", symbol="x")
    assert example().share == declared["share"].default == 0.5
    assert (declared["level"].earlier, declared["count"].earlier) == ("high", MISSING)
    with pytest.raises(TypeError, match="slack"):
        Example()  # the default of a traced setting is not that of the dataclass


def test_the_docstring_has_every_setting():
    assert Example.__doc__ == (
        "Settings of every kind.\n\n"
        "Attributes:\n"
        "  slack: slack of each constraint; one value, or one for each constraint\n"
        "  share: share of the samples; x in the paper; in [0, 1); default: 0.5\n"
        "  count: number of samples; default: 3\n"
        "  level: level of the noise; one of low, high; default: low\n"
        "  limit: limit on the samples; default: no limit\n"
        "  widths: widths of the layers; default: 8, 8\n"
        "  verbose: whether it prints; default: False\n"
        "  title: title of the figure; default: none\n"
    )


def test_the_table_has_every_setting():
    assert settings.table(Example).splitlines() == [
        "| setting | symbol | default | allowed | what it is |",
        "| --- | --- | --- | --- | --- |",
        "| `slack` | | none | | slack of each constraint; one for each constraint |",
        "| `share` | x | `0.5` | [0, 1) | share of the samples |",
        "| `count` | | `3` | | number of samples |",
        "| `level` | | `low` | `low`, `high` | level of the noise |",
        "| `limit` | | no limit | | limit on the samples |",
        "| `widths` | | `8, 8` | | widths of the layers |",
        "| `verbose` | | `False` | | whether it prints |",
        "| `title` | | none | | title of the figure |",
    ]


def test_a_name_stands_for_its_choice_and_no_other_name_does():
    assert choose("level", "high", LEVELS) == 2
    for unknown in ("typo", "High", "", None, 1, ["high"]):
        with pytest.raises(ValueError, match=r"level is .*: it must be one of low, high"):
            choose("level", unknown, LEVELS)


@pytest.mark.parametrize("cls", [Config, Hyperparams])
def test_every_field_of_the_settings_is_declared_and_documented(cls):
    declared = settings_of(cls)
    assert set(declared) == {field.name for field in dataclasses.fields(cls)}
    assert not {"", "."} & {setting.words[-1:] for setting in declared.values()}
    rows = settings.table(cls).splitlines()
    assert len(rows) == 2 + len(declared)
    for name in declared:
        assert f"  {name}: " in cls.__doc__
        assert any(row.startswith(f"| `{name}` |") for row in rows)


@pytest.mark.parametrize("cls", [Config, Hyperparams])
def test_every_default_is_allowed(cls):
    for name, declared in settings_of(cls).items():
        for value in (declared.default, declared.earlier):
            if value is not MISSING and value is not None:
                kind = Config.__annotations__[name] if cls is Config else float
                declared.check(name, value, kind)


@pytest.mark.parametrize("cls", [Config, Hyperparams])
def test_an_unknown_name_is_refused(cls):
    """By the dataclass itself, and by what takes flat settings with the name that was meant."""
    name = next(iter(settings_of(cls)))
    with pytest.raises(TypeError, match=f"{name}s"):
        cls(**{f"{name}s": 1})
    with pytest.raises(ValueError, match=rf"unknown setting '{name}s'; did you mean '{name}'\?"):
        presets.split({f"{name}s": 1})


@pytest.mark.parametrize(
    ("name", "choices"), [(name, d.choices) for name, d in settings_of(Config).items() if d.choices is not None]
)
def test_every_choice_of_a_config_is_accepted(name, choices):
    for choice in choices:
        assert getattr(Config(**{name: choice}), name) == choice
    with pytest.raises(ValueError, match=f"{name} is 'typo': it must be one of {', '.join(choices)}"):
        Config(**{name: "typo"})
