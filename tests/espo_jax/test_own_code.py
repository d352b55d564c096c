"""Code of the user's own by name: nothing is imported before it is allowed, and what is wrong is said in one line."""

import functools
import os
import shutil
import subprocess
import sys

import pytest

from espo_jax import own_code
from espo_jax.algorithms import RULES, find
from tests import own_module

MODULE = "tests.own_module"

pytestmark = pytest.mark.usefixtures("nothing_allowed")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("my_tasks:make_env", True),
        ("package.my_tasks:RULE", True),
        ("espo", False),
        ("64:64", False),
        ("a:b:c", False),
        ("../evil:make", False),
        ("os;evil:make", False),
        (None, False),
    ],
)
def test_names_of_own_code_have_one_form(name, expected):
    assert own_code.is_own(name) is expected


def test_a_name_is_refused_until_its_module_is_allowed():
    with pytest.raises(ValueError, match=r"give --allow-code tests\.own_module if you trust it"):
        own_code.find("task", f"{MODULE}:make_env")
    own_code.allow_named("espo", None, f"{MODULE}:make_env")
    assert own_code.find("task", f"{MODULE}:make_env") is own_module.make_env
    assert own_code.allowed() == (MODULE,)
    with pytest.raises(ValueError, match=r"own_module\.py has no make_it"):
        own_code.find("task", f"{MODULE}:make_it")


def test_only_what_the_module_defines_can_be_named(monkeypatch):
    own_code.allow(MODULE)
    monkeypatch.setattr(own_module, "system", os.system, raising=False)
    monkeypatch.setattr(own_module, "rmtree", shutil.rmtree, raising=False)
    monkeypatch.setattr(own_module, "partly", functools.partial(os.system, "true"), raising=False)
    monkeypatch.setattr(own_module, "fixed", functools.partial(own_module.make_env, 3.0), raising=False)
    for name in ("system", "rmtree", "partly"):
        with pytest.raises(ValueError, match="only what a module that you allow defines can be named"):
            own_code.find("task", f"{MODULE}:{name}")
    assert own_code.find("task", f"{MODULE}:fixed")().cost_limit == 3.0


def test_a_module_that_is_not_allowed_is_not_imported(tmp_path):
    (tmp_path / "evil.py").write_text("open('ran', 'w')")
    script = "from espo_jax import own_code\ntry: own_code.find('task', 'evil:make')\nexcept ValueError: pass"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "module broken cannot be imported: ModuleNotFoundError: No module named 'broken'"),
        ("import no_such_package", r"No module named 'no_such_package' \(.*broken.py, line 1\)"),
        ("x = 1\nx / 0", r"ZeroDivisionError: division by zero \(.*broken.py, line 2\)"),
    ],
)
def test_a_module_that_cannot_be_imported_is_named_with_the_line(tmp_path, monkeypatch, content, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    if content:
        (tmp_path / "broken.py").write_text(content)
    with pytest.raises(ValueError, match=message):
        own_code.allow("broken")
    with pytest.raises(ValueError, match="is not the name of a module"):
        own_code.allow("../broken")


def test_an_algorithm_is_found_by_its_name():
    own_code.allow(MODULE)
    assert find(f"{MODULE}:OURS") is own_module.OURS
    assert find("crpo") is RULES["crpo"]
    with pytest.raises(ValueError, match="NOT_A_RULE', which is int: it must be an UpdateRule"):
        find(f"{MODULE}:NOT_A_RULE")
    with pytest.raises(ValueError, match="must be one of espo, pcrpo"):
        find("ESPO")


def test_an_object_has_a_name_if_it_is_at_the_top_level_of_a_module():
    assert own_code.name_of("rule", own_module.half) == f"{MODULE}:half"
    assert own_code.find("sample_size_rule", f"{MODULE}:half") is own_module.half, "its module is allowed by that"
    nameless = lambda evidence: evidence.base  # noqa: E731
    with pytest.raises(ValueError, match="rule has no name by which a later process finds it"):
        own_code.name_of("rule", nameless)
