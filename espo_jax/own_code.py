"""Code of the user's own by name, `module:attribute`: it is imported only from modules that the user has allowed.

A run directory names such code too, and what is read from a disk must not run code. So a name is refused until its
module is allowed: by `allow`, for the command line by typing the name or by --allow-code. What is allowed is code that
is defined in the module's package, not what it imports from others.
"""

import functools
import importlib
import os
import re
import sys
import traceback
from typing import Any

_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_allowed: set[str] = set()


def is_own(name: Any) -> bool:
    """Whether a name has the form module:attribute."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def allow(module: str) -> None:
    """Import a module, and allow all names in it. The working directory is searched too.

    Raises:
      ValueError: there is no such module, or its import fails.
    """
    if not _MODULE.fullmatch(module):
        raise ValueError(f"{module!r} is not the name of a module: it must be one such as my_tasks or package.my_tasks")
    if (here := os.getcwd()) not in sys.path:
        sys.path.append(here)  # last, so that a file beside a run that somebody sent stands for no package
    try:
        importlib.import_module(module)
    except Exception as error:  # of the user's own code: any
        at = traceback.extract_tb(error.__traceback__)[-1]
        where = f" ({at.filename}, line {at.lineno})" if not at.filename.startswith("<frozen") else ""
        raise ValueError(f"module {module} cannot be imported: {type(error).__name__}: {error}{where}") from error
    _allowed.add(module)


def allow_named(*names: Any) -> None:
    """Allow the modules of those names of the user's own code among some names that the user gave.

    Raises:
      ValueError: a module cannot be imported.
    """
    for name in names:
        if is_own(name):
            allow(name.partition(":")[0])


def allowed() -> tuple[str, ...]:
    """Names of the modules that are allowed, sorted."""
    return tuple(sorted(_allowed))


def find(field: str, name: str) -> Any:
    """What a name module:attribute stands for.

    Args:
      field: the setting that holds the name, for messages.
      name: the name.

    Raises:
      ValueError: the module is not allowed, or has no such attribute.
    """
    module, _, attribute = name.partition(":")
    if module not in _allowed:
        raise ValueError(
            f"{field} is {name!r}, code of the module {module}, which is not run before you allow it: give "
            f"--allow-code {module} if you trust it (in Python: espo_jax.own_code.allow({module!r}))"
        )
    try:
        found = getattr(sys.modules[module], attribute)
    except AttributeError:
        raise ValueError(f"{field} is {name!r}: {sys.modules[module].__file__} has no {attribute}") from None
    function = found.func if isinstance(found, functools.partial) else found
    home = getattr(function, "__module__", None) or ""
    if callable(function) and home.partition(".")[0] != module.partition(".")[0]:
        raise ValueError(
            f"{field} is {name!r}, which {module} has from {home or 'elsewhere'}: only what a module that you allow "
            "defines can be named"
        )
    return found


def name_of(what: str, value: Any) -> str:
    """The name by which another process finds an object at the top level of a module; its module is allowed here.

    Args:
      what: what the object is, for messages.
      value: the object.

    Raises:
      ValueError: it is not at the top level of a module that can be imported.
    """
    # A module that imports another one is in the list before it.
    for module, holder in reversed(list(sys.modules.items())):
        for attribute, held in list(getattr(holder, "__dict__", {}).items()) if module != "__main__" else ():
            if held is value and is_own(name := f"{module}:{attribute}"):
                _allowed.add(module)
                return name
    raise ValueError(
        f"{what} has no name by which a later process finds it: a run directory needs one at the top level of a module "
        "that can be imported"
    )
