"""The deterministic policy of a run, with its normaliser, in files that run without espo_jax."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from espo_jax.algorithms.inference import inference_fn
from espo_jax.runs import files, policies

OPSET = 17


def stablehlo(run_dir: Path, *, best_safe: bool = False) -> bytes:
    """The policy as a serialised jax.export: observations [batch, O] float32 to actions [batch, A].

    jax.export.deserialize(bytearray(content)).call(observation) runs it, on CPU, CUDA or TPU, for any batch.

    Raises:
      DamagedError: the run cannot be read.
    """
    config, networks, params = policies.load(run_dir, best_safe=best_safe)
    act = inference_fn(networks, config)(params, True)
    shape = jax.export.symbolic_shape(f"batch, {params[0].mean.size}")
    program = jax.export.export(jax.jit(lambda observation: act(observation)[0]), platforms=("cpu", "cuda", "tpu"))
    return bytes(program(jax.ShapeDtypeStruct(shape, np.float32)).serialize())


def onnx(run_dir: Path, *, best_safe: bool = False) -> bytes:
    """The policy as ONNX: input "observation" [batch, O] float32, output "action" [batch, A].

    Raises:
      DamagedError: the run cannot be read.
      ValueError: the package onnx is not installed.
    """
    try:
        import onnx as library
        from onnx import TensorProto, helper, numpy_helper
    except ImportError:
        raise ValueError('format onnx needs the package onnx: pip install "espo_jax[onnx]"') from None
    config, _, (normalizer, policy, _) = policies.load(run_dir, best_safe=best_safe)
    constants: list[Any] = []
    nodes: list[Any] = []

    def constant(value: Any) -> str:
        constants.append(numpy_helper.from_array(np.asarray(value, np.float32), f"constant{len(constants)}"))
        return constants[-1].name

    def apply(operator: str, *inputs: str) -> str:
        nodes.append(helper.make_node(operator, list(inputs), [f"value{len(nodes)}"]))
        return nodes[-1].output[0]

    value = "observation"
    if config.normalize_observations:
        value = apply("Div", apply("Sub", value, constant(normalizer.mean)), constant(normalizer.std))
        value = apply("Clip", value, constant(-config.observation_clip), constant(config.observation_clip))
    layers = policy["params"]["MLP_0"]
    for i in range(len(layers)):
        layer = layers[f"Dense_{i}"]
        value = apply("Gemm", value, constant(layer["kernel"]), constant(layer["bias"]))
        # ONNX's operators have the names of policy.ACTIVATIONS with a capital; the checker refuses unknown ones.
        value = apply(config.activation.capitalize() if i < len(layers) - 1 else "Identity", value)
    nodes[-1].output[0] = "action"
    sizes = {"observation": normalizer.mean.size, "action": policy["params"]["log_std"].size}
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size]) for name, size in sizes.items()]
    graph = helper.make_graph(nodes, "policy", ends[:1], ends[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="espo_jax")
    model.ir_version = 8  # version of this opset; runtimes refuse newer versions than they know
    library.checker.check_model(model)
    return model.SerializeToString()


FORMATS: dict[str, Callable[..., bytes]] = {"stablehlo": stablehlo, "onnx": onnx}


def export(run_dir: Path, formats: list[str], *, best_safe: bool = False, output: Path | None = None) -> list[Path]:
    """Write the policy in each format: policy.stablehlo, policy.onnx.

    Args:
      run_dir: folder of the run.
      formats: names in FORMATS.
      best_safe: whether to write the best checkpoint within the limits instead of the last policy.
      output: folder for the files; None stands for the run directory.

    Raises:
      ValueError: a format is not known, or the run cannot be read; before anything is written.
      OSError: a file cannot be written.
    """
    for name in formats:
        if name not in FORMATS:
            raise ValueError(f"unknown format {name!r}; known formats: {', '.join(FORMATS)}")
    stem = "policy_best_safe" if best_safe else "policy"
    contents = {name: FORMATS[name](run_dir, best_safe=best_safe) for name in formats}
    paths = [(output or run_dir) / f"{stem}.{name}" for name in formats]
    for path, content in zip(paths, contents.values(), strict=True):
        files.write(path, content)
    return paths
