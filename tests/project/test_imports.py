"""Imports run one way: mathematics -> algorithms -> training -> runs -> sweeps -> results -> command line."""

import ast
import functools
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = {"espo_jax": ROOT / "espo_jax", "safety_envs": ROOT / "envs" / "safety_envs"}
# Layers of espo_jax from below; every other module directly in espo_jax is mathematics, the lowest.
LAYERS = ("mathematics", "algorithms", "training", "runs", "sweeps", "results", "cli")
TRAINING = {f"espo_jax.{name}" for name in ("loop", "parallel", "environments", "evaluation", "presets", "reports")}
ABOVE_RUNS = {"espo_jax", "espo_jax.trainer", "espo_jax.train_arguments"}  # the package itself gathers the public names


def module_of(path, package):
    parts = path.relative_to(PACKAGES[package]).with_suffix("").parts
    return ".".join((package, *parts)).removesuffix(".__init__")


@functools.cache
def modules():
    """Name of every module of ours -> its path."""
    return {module_of(path, package): path for package, root in PACKAGES.items() for path in root.rglob("*.py")}


def is_package(module):
    return modules()[module].name == "__init__.py"


def imported(node, module):
    """The modules of ours that an import statement names; importing a module imports its packages too, see `edges`."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    else:
        base = node.module or ""
        if node.level:
            up = module.split(".") if is_package(module) else module.split(".")[:-1]
            base = ".".join(up[: len(up) - node.level + 1] + ([base] if base else []))
        # `from package import name`: the name is a module, or something that the package itself defines.
        names = [f"{base}.{alias.name}" if f"{base}.{alias.name}" in modules() else base for alias in node.names]
    return [name for name in names if name in modules()]


@functools.cache
def imports(module):
    """(imported module, whether inside of a function, line) of each import statement of a module."""
    found = []

    def visit(node, in_function):
        if isinstance(node, ast.Import | ast.ImportFrom):
            found.extend((name, in_function, node.lineno) for name in imported(node, module))
        inside = in_function or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            visit(child, inside)

    visit(ast.parse(modules()[module].read_text()), False)
    return found


def layer(module):
    """Index among LAYERS."""
    parts = module.split(".")
    if parts[0] == "safety_envs":
        return -1
    if module in ABOVE_RUNS:
        return LAYERS.index("runs")
    if module in TRAINING:
        return LAYERS.index("training")
    if module == "espo_jax.__main__":
        return LAYERS.index("cli")
    return LAYERS.index(parts[1]) if parts[1] in LAYERS else LAYERS.index("mathematics")


def statements(wrong):
    """Module -> the lines at which it imports what is wrong: wrong(module, name imported, whether in a function)."""
    found = {}
    for module in sorted(modules()):
        lines = [f"line {line}: {name}" for name, late, line in imports(module) if wrong(module, name, late)]
        found |= {module: lines} if lines else {}
    return found


def test_a_module_imports_only_what_is_below_it():
    assert statements(lambda module, name, late: layer(name) > layer(module)) == {}


def test_environments_import_nothing_of_the_algorithms():
    assert statements(lambda module, name, late: module.startswith("safety_envs") and name.startswith("espo")) == {}


def test_no_module_of_ours_is_imported_inside_of_a_function():
    assert statements(lambda module, name, late: late) == {}


def cycles(edges):
    """Groups of modules each of which imports, directly or not, all others (Tarjan's components of more than one)."""
    index, low, stack, found = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in edges[node]:
            if other not in index:
                visit(other)
            if other in stack:
                low[node] = min(low[node], low[other])
        if low[node] == index[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1 or node in edges[node]:
                found.append(sorted(group))

    for node in edges:
        if node not in index:
            visit(node)
    return found


def test_no_module_imports_itself_through_others():
    edges = {module: sorted({name for name, _, _ in imports(module)}) for module in modules()}
    assert cycles(edges) == []


def test_cycles_are_found():
    assert cycles({"a": ["b"], "b": ["c"], "c": ["b", "d"], "d": [], "e": ["e"]}) == [["b", "c"], ["e"]]


def test_every_kind_of_import_statement_is_read():
    def names(statement, module):
        return imported(ast.parse(statement).body[0], module)

    assert names("import espo_jax.gae as g, os", "espo_jax.loop") == ["espo_jax.gae"]
    assert names("from espo_jax import gae, Config", "espo_jax.loop") == ["espo_jax.gae", "espo_jax"]
    assert names("from espo_jax.gae import gae", "espo_jax.loop") == ["espo_jax.gae"]
    assert names("from . import gae", "espo_jax.loop") == ["espo_jax.gae"]
    assert names("from .. import gae", "espo_jax.algorithms.espo") == ["espo_jax.gae"]
    assert names("from ..gae import gae", "espo_jax.algorithms.espo") == ["espo_jax.gae"]
    assert names("from . import espo", "espo_jax.algorithms") == ["espo_jax.algorithms.espo"]
    assert names("import numpy", "espo_jax.loop") == []
