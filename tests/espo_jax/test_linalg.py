import jax
import jax.numpy as jnp
import numpy as np
import pytest

from espo_jax.linalg import combine, dot

pytestmark = pytest.mark.usefixtures("strict_ranks")


@pytest.mark.parametrize("shape", [(), (2,), (2, 3)])
def test_equal_the_sums_of_products(shape, x64):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, *shape, 7))
    np.testing.assert_allclose(dot(jnp.asarray(x), jnp.asarray(y)), np.sum(x * y, axis=-1), rtol=1e-12)
    weight, vectors = rng.normal(size=(*shape, 4)), rng.normal(size=(4, 7))
    np.testing.assert_allclose(combine(jnp.asarray(weight), jnp.asarray(vectors)), weight @ vectors, rtol=1e-12)


@pytest.mark.parametrize(("fn", "shapes"), [(dot, [(3, 7), (3, 7)]), (combine, [(2, 3), (3, 7)])])
def test_products_are_not_of_reduced_precision_on_any_device(fn, shapes):
    """TF32 or bfloat16, which accelerators take by default, would ruin conjugate gradients."""
    program = jax.make_jaxpr(fn)(*(jnp.ones(shape) for shape in shapes))
    products = [eqn for eqn in program.eqns if eqn.primitive.name == "dot_general"]
    assert products, "products are one dot_general"
    for eqn in products:
        assert set(eqn.params["precision"]) == {jax.lax.Precision.HIGHEST}
