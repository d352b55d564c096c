"""A policy.npz that is damaged or made to harm: one clear error, no memory taken, nothing run."""

import os
import zipfile

import numpy as np
import pytest

from espo_jax import load_policy
from tests.espo_jax.runs.damage import MOST_MEMORY, cut, field, flipped, most_memory, rewritten, text


def arrays(change):
    def damage(path):
        with np.load(path / "policy.npz") as content:
            values = dict(content)
        change(values)
        np.savez(path / "policy.npz", **values)

    return damage


def put(name, value):
    return arrays(lambda values: values.__setitem__(name, value))


class Evil:
    def __reduce__(self):
        return os.abort, ()


def header(shape):
    """An npz whose only array claims a shape that is not there."""

    def damage(path):
        content = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little")
        content += f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
        with zipfile.ZipFile(path / "policy.npz", "w") as archive:
            archive.writestr("policy/params/log_std.npy", content + b"1234")

    return damage


def bomb(path):
    with zipfile.ZipFile(path / "policy.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("normalizer/mean.npy", bytes(2**28))


POLICIES = {
    "missing": (lambda path: (path / "policy.npz").unlink(), "No such file"),
    "empty": (text("policy.npz", ""), "not a zip file"),
    "truncated": (cut("policy.npz"), "not a zip file"),
    "bit flipped": (lambda path: rewritten(flipped)(path / "policy.npz"), "policy.npz"),
    "pickle": (put("policy/params/log_std", np.array([Evil()], object)), "an array of object is not one of numbers"),
    "text": (put("policy/params/log_std", np.array(["x"])), "is not one of numbers"),
    "terabytes claimed": (header("(1000000000000,)"), "an array claims shape (1000000000000,) with 1 numbers"),
    "negative shape": (header("(-1,)"), "an array claims shape (-1,)"),
    "code in a header": (header("__import__('os').abort()"), "malformed node or string"),
    "bomb": (bomb, "it claims 268435456 bytes of arrays in"),
    "lacks": (
        arrays(lambda values: values.pop("policy/params/log_std")),
        "do not describe a policy: 'policy/params/log",
    ),
    "lacks a layer": (arrays(lambda values: values.pop("policy/params/MLP_0/Dense_0/bias")), "lacks array policy"),
    "path": (put("../../../evil", np.ones(2)), "has an unknown array ../../../evil"),
    "wrong shape": (put("policy/params/MLP_0/Dense_0/bias", np.ones(3, np.float32)), "is float32[3], not float32[8]"),
    "wrong type": (put("policy/params/MLP_0/Dense_0/bias", np.ones(8)), "is float64[8], not float32[8]"),
    "nan": (put("policy/params/log_std", np.float32([np.nan])), "policy/params/log_std holds nan or infinity"),
    "networks of terabytes": (field("config", "policy_hidden_sizes", value=[10**6, 10**6]), "not float32[1000000"),
    "no config": (lambda path: (path / "config.json").unlink(), "config.json cannot be read"),
}


@pytest.mark.parametrize("case", POLICIES)
def test_is_one_error(case, victim):
    damage, message = POLICIES[case]
    damage(victim)
    before = most_memory()
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the message is checked below
        load_policy(victim)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    assert most_memory() - before < MOST_MEMORY
    assert not isinstance(refused.value, UnicodeError)
