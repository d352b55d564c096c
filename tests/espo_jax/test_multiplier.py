import jax.numpy as jnp
import numpy as np
import pytest

from espo_jax import multiplier
from tests import references

pytestmark = pytest.mark.usefixtures("strict_ranks")

VIOLATIONS = [[3.0, -1.0], [-0.5, 2.0], [-90.0, 0.0], [1.0, 1.0]]


def ascend(name, learning_rate, start=0.3, largest=jnp.inf):
    """Multipliers [steps, K] after each of the violations."""
    optimizer = multiplier.optimizer(name, learning_rate)
    state = multiplier.init(optimizer, start, num_constraints=2)
    values = []
    for violation in VIOLATIONS:
        state = multiplier.update(optimizer, state, jnp.array(violation), largest)
        values.append(np.asarray(state.value))
    return np.stack(values)


def test_sgd_is_the_papers_ascent():
    for constraint in range(2):
        expected = [
            references.multiplier_ascent(0.3, [v[constraint] for v in VIOLATIONS[: i + 1]], 0.07) for i in range(4)
        ]
        np.testing.assert_allclose(ascend("sgd", 0.07)[:, constraint], expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", multiplier.OPTIMIZERS)
def test_values_stay_between_0_and_the_largest(name):
    values = ascend(name, 0.5, largest=0.8)
    assert values.min() == 0.0
    assert values.max() == np.float32(0.8)


def test_the_first_step_of_adam_has_the_length_of_the_learning_rate_whatever_the_violation():
    np.testing.assert_allclose(ascend("adam", 0.07)[0], [0.37, 0.23], rtol=1e-5)


def test_all_start_at_one_value_or_at_one_each():
    optimizer = multiplier.optimizer("sgd", 0.1)
    np.testing.assert_array_equal(multiplier.init(optimizer, 0.5, 3).value, np.full(3, 0.5, np.float32))
    np.testing.assert_array_equal(multiplier.init(optimizer, jnp.array([1.0, 2.0]), 2).value, [1.0, 2.0])


def test_an_unknown_optimizer_is_refused():
    with pytest.raises(ValueError, match="multiplier_optimizer is 'rmsprop': it must be one of sgd, adam"):
        multiplier.optimizer("rmsprop", 0.1)
