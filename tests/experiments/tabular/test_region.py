import numpy as np
from tabular import region

from tests.experiments.tabular.test_batch import record_of


def test_only_what_follows_the_first_iterate_inside_counts():
    cost = np.array([[5.0, 0.5, 2.0, 0.5], [0.5, 1.0, 1.0, 0.0], [5.0, 4.0, 3.0, 2.0]])
    record = record_of(np.stack([np.zeros_like(cost), cost], axis=-1), np.ones_like(cost))
    found = region.outside(record, np.ones(3))
    np.testing.assert_array_equal(found["entered"], [True, True, False])
    np.testing.assert_array_equal(found["left"], [True, False, False])
    np.testing.assert_allclose(found["share"], [1 / 3, 0, 0])
    np.testing.assert_allclose(found["excess"], [1, 0, 0])


def test_the_iterations_that_follow_the_reward():
    weights = np.array([[1.0, 0.0, 0.0, 0.3, 0.3]])  # the third one is an aligned balance at x_r = 0
    record = record_of(np.zeros((1, 5, 2)), weights)._replace(mode=np.array([[0, 1, 2, 3, 3]]))
    assert {name: int(count[0]) for name, count in region.followed(record).items()} == {"any": 3, "only": 1}
