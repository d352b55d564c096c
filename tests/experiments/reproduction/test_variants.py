"""The manifest of the reproduction, and the random rule that is its control."""

import dataclasses

import jax
import numpy as np
import pytest
from reproduction import random_sizes, sections, training, variants


def test_every_variant_is_a_lane_of_its_own_with_the_settings_of_the_paper():
    names = [variant.name for variant in variants.VARIANTS]
    assert len(set(names)) == len(names)
    asked = [variants.Cell(variant, 0) for variant in variants.VARIANTS]
    lanes = training.lanes(asked, "mujoco")
    assert len({lane.hash for lane in lanes.values()}) == len(names)
    configs = [lane.config for lane in lanes.values()]
    fixed = {config.hyperparams["num_iterations"] * config.config["base_sample_size"] for config in configs}
    assert fixed == {8_000_000, 10_000_000}  # 500 iterations of X, or twice as many of X/2
    assert lanes["walker2d-espo-cost_limit=30.0/0"].config.hyperparams["cost_limit"] == 30.0
    assert lanes["walker2d-crpo/0"].config.config["sample_size_rule"] == "fixed"
    assert lanes["walker2d-espo/0"].config.config["time_limit"] == "termination"


def test_cells_are_asked_for_by_part_and_the_first_seeds_come_first():
    asked = variants.chosen(["table 1"])
    assert [cell.seed for cell in asked] == sorted(cell.seed for cell in asked)
    assert len(asked) == 3 * (10 + 5 + 5)
    assert len(variants.chosen(["table 2"], [7, 8])) == 2 * 4 * 2
    assert variants.chosen(["figure 2"]) == variants.chosen(["figure 5"]) == variants.chosen(["curves"])
    assert {cell.variant.task for cell in variants.chosen(["table 2"], tasks=["ant_velocity"])} == {"ant_velocity"}
    with pytest.raises(ValueError, match="part is 'table 9': it must be one of table 1"):
        variants.chosen(["table 9"])
    with pytest.raises(ValueError, match="task is 'ant': it must be one of reacher"):
        variants.chosen(tasks=["ant"])
    one = variants.chosen(seeds=[2], names=["walker2d-crpo"])
    assert [cell.name for cell in one] == ["walker2d-crpo/2"]
    with pytest.raises(ValueError, match="variant is 'walker2d': it must be one of reacher-espo, reacher-crpo, "):
        variants.chosen(names=["walker2d"])
    with pytest.raises(ValueError, match="no variant is in all of table 2, walker2d-crpo: give "):
        variants.chosen(["table 2"], names=["walker2d-crpo"])


def test_the_other_reading_of_the_time_limit_is_compared_with_the_first_and_with_its_rivals():
    pairs = [(ours.name, theirs.name) for ours, theirs in sections.compared("time limit")]
    assert ("reacher-espo-time_limit=truncation", "reacher-espo") in pairs
    assert ("reacher-espo-time_limit=truncation", "reacher-crpo-time_limit=truncation") in pairs
    assert {name for pair in pairs for name in pair} <= {variant.name for variant in variants.VARIANTS}


def test_random_sizes_come_as_often_as_their_name_says():
    rule = random_sizes.random_27

    def size(key):
        return rule.size(evidence(key=key, base=1000, zeta_positive=0.5, zeta_negative=-0.5))

    sizes = np.asarray(jax.vmap(size)(jax.random.split(jax.random.key(0), 10_000)))
    assert set(sizes.tolist()) == {500.0, 1500.0}
    assert np.mean(sizes == 1500.0) == pytest.approx(0.27, abs=0.015)
    with pytest.raises(AttributeError, match="random_many"):
        _ = random_sizes.random_many


def evidence(**given):
    return dataclasses.make_dataclass("Evidence", list(given))(**given)
