"""What the pages name exists: files, commands, flags, modules and their attributes, sections of docs/paper.md.

Each check takes the text of a page and the page's folder, and returns what the page names and the repository lacks.
"""

import ast
import contextlib
import functools
import importlib.util
import io
import pkgutil
import re
from pathlib import Path

import pytest
import safety_envs

import espo_jax
from espo_jax.cli import main
from espo_jax.cli.commands import COMMANDS

ROOT = Path(__file__).parent.parent.parent
# Not CHANGELOG.md: it also names what a later version removed.
PATTERNS = ("README.md", "CONTRIBUTING.md", "docs/*.md", "docs/results/*.md", "experiments/README.md")
PAGES = sorted(str(path.relative_to(ROOT)) for pattern in PATTERNS for path in ROOT.glob(pattern))
FOLDERS = ("docs", "envs", "espo_jax", "experiments", "tests")
IGNORED = [line.lstrip("/") for line in (ROOT / ".gitignore").read_text().split() if line[0] != "*"]

BLOCK = re.compile(r"^ *```(\S*).*?\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
PATH = re.compile(r"[\w.-]+(/[\w.-]+)*/?")
FILE = re.compile(
    r"[\w.-]*\w\.(py|md|sh|ipynb|toml|txt|json|jsonl|npz|png|svg|html|stablehlo|onnx|mp4|gif|parquet)", re.I
)
FLAG = re.compile(r"(?<!\S)--[a-z][\w-]*")
SECTION = re.compile(r"paper\.md,[\s#]+sections?\s+(\d+(?:(?:, | and )\d+)*)")


@functools.cache
def repository():
    """Every file and folder of the repository; what git ignores is left out."""
    paths = [*ROOT.iterdir(), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*"))]
    return [path for path in paths if not ignored(str(path.relative_to(ROOT))) and "__pycache__" not in path.parts]


def ignored(name):
    return any(f"{name}/".startswith(line) or name == line for line in IGNORED)


@functools.cache
def written():
    """Every quoted word of the library's source: the names of the files that a run writes are among them."""
    return {word for path in (ROOT / "espo_jax").rglob("*.py") for word in re.findall(r'"([\w.]+)"', path.read_text())}


def code(text):
    """The code spans of a page, and the lines of its blocks of commands without their comments."""
    blocks = BLOCK.findall(text)
    lines = [line for language, block in blocks if language == "bash" for line in block.splitlines()]
    lines += [line for _, block in blocks for line in block.splitlines() if line.startswith(".venv/bin/")]
    spans = re.findall(r"`([^`]+)`", BLOCK.sub("", text)) + [line.split(" #")[0] for line in lines]
    return [" ".join(span.split()) for span in spans if span.strip()]


def command(span):
    """The words of a command after its environment variables; the program without its folder."""
    words = [word for word in span.split() if not re.match(r"[A-Z_]+=", word)] or [""]
    return [words[0].rsplit("/", 1)[-1], *words[1:]]


def missing_files(text, folder):
    """Paths and file names in code, unless they are arguments of `espo`, and the targets of links."""
    targets = re.findall(r"\]\(([^)\s#]+)[^)\s]*\)", BLOCK.sub("", text))
    missing = [link for link in targets if "://" not in link and not (folder / link).exists()]
    spans = [span for span in code(text) if command(span)[0] != "espo"]
    for name in (word for span in spans for word in span.split() if PATH.fullmatch(word) and "..." not in word):
        if "/" in name.rstrip("/"):
            found = (ROOT / name).exists() or (folder / name).exists()
        else:
            found = name.rstrip("/") in {path.name for path in repository()} | written()
        if not found and not ignored(name) and ("/" in name or FILE.fullmatch(name)):
            missing.append(name)
    return missing


@functools.cache
def espo_flags():
    """Command of `espo` -> its flags, from what the command prints for --help."""
    flags, of_all = {}, {"--allow-code"}
    for name in COMMANDS:
        with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.suppress(SystemExit):
            main([name, "--help"])
        rows = re.findall(r"^[ │|]*(-.*)$", printed.getvalue(), re.MULTILINE)
        flags[name] = {flag for row in rows for flag in FLAG.findall(row)} | of_all
    return flags


@functools.cache
def script_flags(path):
    """The flags of a script: the fields of its classes, which tyro reads, and what it adds to an argparse parser."""
    flags = {"--help"}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef):
            for field in (field for field in node.body if isinstance(field, ast.AnnAssign)):
                name = field.target.id.replace("_", "-")
                flags |= {f"--{name}", f"--no-{name}"} if ast.unparse(field.annotation) == "bool" else {f"--{name}"}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".add_argument"):
            flags |= {argument.value for argument in node.args if isinstance(argument, ast.Constant)}
    return flags


def unknown_commands(text, _folder):
    """Commands of `espo`, targets of make, and flags of `espo` and of our scripts; other programs are not looked at."""
    first_words = {"espo": espo_flags(), "make": re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)}
    scripts = [path for path in repository() if path.is_relative_to(ROOT / "experiments") and path.suffix == ".py"]
    unknown = []
    for span in code(text):
        program, *words = command(span)
        first = words[0] if words else ""
        known = given = set(FLAG.findall(span))
        if first[:1].islower() and first not in first_words.get(program, [first]):
            unknown.append(f"{program} {first}")
        elif program == "espo" and first in espo_flags():
            known = espo_flags()[first]
        elif program == "python" and ROOT / first in scripts:
            known = script_flags(ROOT / first)
        elif program.startswith("--"):  # the command that knows most of them
            known = max((*espo_flags().values(), *map(script_flags, scripts)), key=lambda flags: len(flags & given))
        unknown += sorted(given - known)
    return unknown


@functools.cache
def modules():
    packages = (espo_jax, safety_envs)
    below = (pkgutil.walk_packages(package.__path__, f"{package.__name__}.") for package in packages)
    return ["espo_jax", "safety_envs", *(module.name for found in below for module in found)]


def resolves(name):
    """Whether a module of ours, or its attribute, exists; the module is named by its last part or in full."""
    first, _, rest = name.partition(".")
    if first in espo_jax.__all__ and rest and hasattr(getattr(espo_jax, first), rest):  # espo.train, of a Trainer
        return True
    for module in (module for module in modules() if module.rsplit(".", 1)[-1] == first):
        with contextlib.suppress(ImportError, AttributeError):
            pkgutil.resolve_name(f"{module}.{rest}".rstrip("."))
            return True
    return False


def unknown_names(text, _folder):
    """Dotted names that code begins with, if the first part is a module of ours, and what the API page documents."""
    begins = [match[0] for span in code(text) if (match := re.match(r"[a-z_]\w*(\.\w+)+", span))]
    ours = {module.rsplit(".", 1)[-1] for module in modules()}
    names = [name for name in begins if name.split(".")[0] in ours and not FILE.fullmatch(name)]
    for name, members in re.findall(r"^\.\. auto\w+:: (\S+)(?:\n +:members: (.+))?", text, re.MULTILINE):
        names += [name, *(f"{name}.{member}" for member in members.replace(",", " ").split())]
    return [name for name in names if not resolves(name)]


def unknown_sections(text, _folder):
    """Sections of docs/paper.md that are cited, and the page's old name, which was never in the repository."""
    sections = re.findall(r"^## (\d+)\. ", (ROOT / "docs" / "paper.md").read_text(), re.MULTILINE)
    cited = [number for citation in SECTION.findall(text) for number in re.findall(r"\d+", citation)]
    return [f"section {number}" for number in cited if number not in sections] + re.findall(r"PAPER\.md", text)


@pytest.mark.parametrize("check", [missing_files, unknown_commands, unknown_names])
@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_names_exists(page, check):
    wrong = check((ROOT / page).read_text(), (ROOT / page).parent)
    assert not wrong, f"{page} names {', '.join(wrong)}"


def test_cited_sections_of_the_paper_exist():
    kinds = (".py", ".md", ".ipynb", ".toml", ".html")
    texts = {path: path.read_text() for path in repository() if path.suffix in kinds and path != Path(__file__)}
    assert sum(bool(SECTION.search(text)) for text in texts.values()) > 10, "the code cites the page"
    assert {str(path): wrong for path, text in texts.items() if (wrong := unknown_sections(text, ROOT))} == {}


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (missing_files, "`espo_jax/gae.py` `throughput.py` `runs/mine` `result.json` `tests/` `1/...`", "`tpu.sh`"),
        (missing_files, "[a](docs/tasks.md#the-tasks) [b](https://x.y/z)", "[c](docs/gone.md)"),
        (missing_files, "```bash\npython experiments/paper.py plan  # a.py\n```", "`python experiments/a.py`"),
        (missing_files, "`espo plot a/b --output c/d.svg` `checkpoints/` `policy.npz`", "`gone/`"),
        (unknown_commands, "`espo` `espo tasks` `make test` `kill -9` `pytest --flag`", "`espo fly`"),
        (unknown_commands, "`--best-safe` `--rounds 3`", "`--best-safe --rounds 3`"),
        (unknown_commands, "```bash\nA=b espo eval a --best-safe  # --fly\n```", "`espo eval a --cost-limit 1`"),
        (unknown_commands, "`python experiments/soak.py --rounds 1`", "`make hay`"),
        (unknown_commands, "`python experiments/paper.py run --seeds 1-2`", "`python experiments/paper.py --fly`"),
        (unknown_commands, "```text\nespo on a task\n```", "```text\n.venv/bin/espo train --fly\n```"),
        (unknown_names, "`gae.gae(r, v)` `policy.npz` `jax.fly` `espo_jax.load_policy`", "`gae.fly`"),
        (unknown_names, "`algorithms.metrics.Metrics` `espo.train` `safety_envs.make`", "`espo_jax.fly(x)`"),
        (unknown_names, ".. automodule:: espo_jax.gae\n   :members: gae\n", ".. autoclass:: espo_jax.Fly"),
        (unknown_sections, "docs/paper.md, sections 6 and 10: 25", "docs/paper.md, section 99"),
        (unknown_sections, "`paper.md`", "PAPER" + ".md"),
    ],
)  # fmt: skip
def test_checks_find_what_is_wrong(check, right, wrong):
    assert check(right, ROOT) == []
    assert len(check(f"{right}\n{wrong}", ROOT)) == 1


def test_the_table_of_settings_is_that_of_the_code():
    spec = importlib.util.spec_from_file_location("write_settings", ROOT / "docs" / "write_settings.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.PAGE.read_text(encoding="utf-8") == script.page(), "run: python docs/write_settings.py"


@pytest.mark.parametrize("page", PAGES)
def test_no_line_of_prose_is_wider_than_120_columns(page):
    text = re.sub(r"^```.*?^```$", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    wide = [line for line in text.splitlines() if len(line) > 120 and not line.lstrip().startswith("|")]
    assert [line for line in wide if not re.search(r"https?://", line)] == []
