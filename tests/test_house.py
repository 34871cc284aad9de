"""The house: help for everything, a light start, one direction of imports, recipes that say what they are, a wheel that works."""

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import click
import pytest

import transfercli
from transfercli.cli import COMMANDS as MODULE_OF
from transfercli.cli import cli
from transfercli.recipe import reading as recipes

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "transfercli"

# The rooms. A module imports from its own room and from those above it; see docs/architecture.md.
ROOMS = (
    *("system", "paper", "plan", "recipe", "pictures", "networks", "study", "training", "analysis", "advice", "report", "cli"),
    *("transfercli", "__main__"),
)
LIGHT = (
    *("system.errors", "system.files", "paper", "plan.networks", "plan.splits", "recipe.schedules", "recipe.schema"),
    *("pictures.folder", "study.folder", "study.choosing", "study.settling", "study.splitting", "study.standing"),
)
HEAVY = {"torch", "torchvision", "pandas", "matplotlib"}


def commands(group: click.Group = cli, path: tuple[str, ...] = ("transfer",)) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command with its words, the groups too."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


COMMANDS = dict(commands())


def parse(line: str) -> None:
    """Read a command line as click does, without carrying it out. Raises where a word or flag is wrong."""
    words = tuple(shlex.split(line, comments=True))
    path = next(words[:length] for length in (3, 2) if words[:length] in COMMANDS)
    COMMANDS[path].make_context(" ".join(path), list(words[len(path) :]))


# -- commands


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_examples_that_work(path: tuple[str, ...]) -> None:
    command = COMMANDS[path]
    assert command.help and command.get_short_help_str()
    examples = re.findall(r"^ *(transfer .*)$", command.help, re.MULTILINE)
    assert any(example.split()[: len(path)] == list(path) for example in examples)
    for example in examples:
        parse(example)


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_option_has_help(path: tuple[str, ...]) -> None:
    for option in COMMANDS[path].params:
        if isinstance(option, click.Option):
            assert option.help and option.help.endswith((".", "!")), option.name


def test_the_readme_names_every_command_and_its_command_lines_work() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for path in COMMANDS:
        if len(path) == 2:
            assert " ".join(path) in readme
    lines = re.findall(r"^(transfer .*)$", readme, re.MULTILINE)
    assert len(lines) >= 4
    for line in lines:
        parse(line)


def test_help_of_the_program_names_the_four_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"], prog_name="transfer")
    said = capsys.readouterr().out
    assert re.findall(r"^ +transfer ([a-z-]+)", said, re.MULTILINE) == ["demo", "split", "train-base", "sweep", "plot"]
    for path in COMMANDS:
        assert len(path) > 2 or re.search(rf"^  {path[1]}  ", said, re.MULTILINE)


# -- a light start


def modules_after(code: str) -> set[str]:
    """The top-level modules that a fresh Python has loaded after running `code`."""
    code += "\nimport sys; print(); print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_help_loads_nothing_heavy() -> None:
    loaded = modules_after("from transfercli.cli import main; main(['--help'])")
    assert not loaded & (HEAVY | {"pydantic", "numpy", "PIL", "rich", "yaml"})


def test_light_modules_load_nothing_heavy() -> None:
    assert not modules_after("\n".join(f"import transfercli.{name}" for name in LIGHT)) & HEAVY


def test_a_study_is_shown_without_torch(tmp_path: Path) -> None:
    """Which takes seconds to load, where nothing is trained."""
    loaded = modules_after(f"""
import pathlib, warnings, zipfile, transfercli
warnings.simplefilter("ignore")
zipfile.ZipFile({str(ROOT / "tests/data/half-swept.zip")!r}).extractall({str(tmp_path)!r})
study = transfercli.Study(pathlib.Path({str(tmp_path / "half-swept")!r}))
transfercli.status(study), transfercli.analyze(study), transfercli.compare(study), transfercli.plot(study)
transfercli.write_report(study)
""")
    assert (tmp_path / "half-swept/report.html").exists() and not loaded & {"torch", "torchvision"}


def test_training_alone_loads_neither_ray_nor_tensorboard() -> None:
    loaded = modules_after("""
import transfercli.training.train, transfercli.cli.run
from transfercli.cli import progress
with progress.reporting("x"):
    pass
""")
    assert "torch" in loaded and not loaded & {"ray", "tensorboard"}


def test_help_answers_in_less_than_a_third_of_a_second() -> None:
    """Processor time, the best of three, so that a busy machine does not count."""

    def seconds() -> float:
        process = subprocess.Popen([sys.executable, "-m", "transfercli", "--help"], stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        assert status == 0
        return used.ru_utime + used.ru_stime

    assert min(seconds() for _ in range(3)) < 0.3


# -- modules


def name_of(path: Path) -> str:
    """transfercli/pictures/folder.py -> pictures.folder"""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").removesuffix(".") or "transfercli"


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imported(path: Path) -> set[str]:
    """The modules of this package that a file imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.partition(".")[0] == "transfercli"}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            module = node.module or ""
            if module.partition(".")[0] == "transfercli":
                inside = {f"{module}.{alias.name}" for alias in node.names}
                known = {name for name in inside if name.removeprefix("transfercli.") in MODULES}
                found |= known | ({module} if known != inside else set())
    return {name.removeprefix("transfercli.") for name in found}


def room(name: str) -> str:
    return name.partition(".")[0]


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_only_from_its_own_room_and_those_above(name: str) -> None:
    above = ROOMS[: ROOMS.index(room(name)) + 1]
    assert {room(other) for other in imported(MODULES[name])} <= {*above, "transfercli"}


def packages(name: str) -> set[str]:
    """Those that a module lies in, which Python imports before it."""
    parts = name.split(".")
    return {".".join(parts[:i]) for i in range(1, len(parts))}


def test_no_two_modules_import_each_other() -> None:
    needs = {name: imported(path) - {"transfercli", name} for name, path in MODULES.items()}
    before = {name: set().union(*map(packages, of)) - packages(name) - {name} for name, of in needs.items()}
    TopologicalSorter({name: needs[name] | before[name] for name in needs}).prepare()


def test_the_root_of_the_package_has_a_dozen_rooms() -> None:
    entries = {path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"}
    assert entries == {*ROOMS[:-2], "__init__.py", "__main__.py"}


def test_only_figures_knows_matplotlib() -> None:
    knowing = {
        name for name, path in MODULES.items() if re.search(r"^\s*(import|from) matplotlib", path.read_text(), re.MULTILINE)
    }
    assert {".".join(name.split(".")[:2]) for name in knowing} == {"report.figures"}


@pytest.mark.parametrize("name", sorted({f"cli.{module}" for module in MODULE_OF.values()}))
def test_a_command_is_words_and_flags(name: str) -> None:
    """Its work is a call of the library (test_library.py holds which): no work of its own to share, none of another's."""
    others = {f"cli.{module}" for module in MODULE_OF.values()} - {name}
    assert not imported(MODULES[name]) & others
    defined = {node.name for node in ast.walk(ast.parse(MODULES[name].read_text())) if isinstance(node, ast.FunctionDef)}
    assert "make" not in defined


EIGHT = r"range\(1, [89]\)|[=!<>]= ?8\b|\(1, 7\)|[\"']1-7[\"']|\b(LAYERS|DEPTH|LAYER_COUNT) = 8\b"


@pytest.mark.parametrize(
    ("pattern", "places"),
    [(EIGHT, {"recipe.schema", "networks.eight", "analysis.contrasts"}), (r"[\"']AB[\"']", {"plan.tasks"})],
    ids=["how many layers a network has", "which halves there are"],
)
def test_what_is_known_in_one_place(pattern: str, places: set[str]) -> None:
    assert {name for name, path in MODULES.items() if re.search(pattern, code_of(path))} <= places


def code_of(path: Path) -> str:
    """A module without comments and docstrings, which may give examples."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            node.body[0] = ast.Pass()
    return ast.unparse(tree)


@pytest.mark.parametrize("name", MODULES)
def test_modules_stay_small(name: str) -> None:
    assert len(MODULES[name].read_text(encoding="utf-8").splitlines()) <= 500


def test_the_table_of_benchmarks_names_every_script() -> None:
    page = (ROOT / "benchmarks/README.md").read_text(encoding="utf-8")
    scripts = {path.name for path in (ROOT / "benchmarks").glob("*.py") if '"__main__"' in path.read_text(encoding="utf-8")}
    named = re.findall(r"`(\w+\.py)`", "".join(line for line in page.splitlines(keepends=True) if line.startswith("| `")))
    assert scripts - {"peak.py"} <= {*named}  # which others call


# -- recipes


@pytest.mark.parametrize("name", recipes.names())
def test_a_recipe_opens_with_command_hardware_time_and_result(name: str) -> None:
    text = recipes.text(name)
    head = text[: re.search(r"^[^#]", text, re.MULTILINE).start()]  # type: ignore[union-attr]
    command = re.search(r"^#   (transfer .*?)(?:   .*)?$", head, re.MULTILINE)
    assert command and command[1].startswith((f"transfer run {name} DIR", f"transfer {name}"))
    parse(command[1])
    for fact in ("Hardware", "Time", "Expected"):
        assert re.search(rf"^# {fact} +\S", head, re.MULTILINE), fact
    recipe = recipes.find(name)
    assert recipe.name == name and recipe.about


# -- the wheel


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheel of this checkout is installed, alone."""
    # A copy, so that neither a stale build/ of the checkout comes in, nor a new one is left there.
    source = tmp_path_factory.mktemp("wheel") / "source"
    source.mkdir()
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("transfercli", "recipes"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    made = source.parent
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", made, source], check=True, timeout=120)
    (wheel,) = made.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", made / "site", wheel], check=True, timeout=120)
    return made / "site"


def from_wheel(installed: Path, folder: Path, *words: str) -> str:
    """What Python prints in an empty folder, the package taken from the wheel."""
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=200, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_the_recipes_and_the_papers_data(installed: Path, tmp_path: Path) -> None:
    code = "import json, transfercli.recipe.shipped as r; print(json.dumps([{n: r.text(n) for n in r.names()}, r.__file__]))"
    texts, file = json.loads(from_wheel(installed, tmp_path, "-c", code))
    assert Path(file).parent == installed / "transfercli/recipe"
    assert texts == {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "recipes").glob("*.yaml")}
    for path in (PACKAGE / "paper").iterdir():
        if path.is_file():
            assert (installed / "transfercli/paper" / path.name).read_bytes() == path.read_bytes()
    for path in (PACKAGE / "report/page").iterdir():
        if path.suffix in (".html", ".css", ".js"):
            assert (installed / "transfercli/report/page" / path.name).read_bytes() == path.read_bytes()
    assert {
        name_of(PACKAGE / path.relative_to(installed / "transfercli")) for path in installed.glob("transfercli/**/*.py")
    } == set(MODULES)


def test_the_wheel_runs_outside_the_repository(installed: Path, tmp_path: Path) -> None:
    listed = from_wheel(installed, tmp_path, "-m", "transfercli", "recipes")
    assert all(f"\n{name} " in listed for name in recipes.names())
    assert from_wheel(installed, tmp_path, "-m", "transfercli", "--version") == f"transfer, version {transfercli.__version__}\n"
    (metadata,) = installed.glob("*.dist-info")
    assert "transfer = transfercli.cli:main" in (metadata / "entry_points.txt").read_text()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_wheel_runs_the_smoke_demo(installed: Path, tmp_path: Path) -> None:
    said = from_wheel(installed, tmp_path, "-m", "transfercli", "demo", "--smoke")
    assert said.splitlines()[-1] == "Next: transfer analyze --smoke"
    assert (tmp_path / "results/study-smoke/figures/accuracy-vs-layer.png").exists()


def test_pages_lead_to_files_that_are_in_the_repository() -> None:
    """A file that git ignores is here, and nobody else has it."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("no checkout")
    tracked = {*listed.stdout.splitlines()}
    folders = {str(parent) for file in tracked for parent in Path(file).parents}
    pages = [name for name in tracked if name.endswith(".md")]
    links = [
        (page, os.path.normpath(Path(page).parent / target))
        for page in pages
        for target in re.findall(r"\]\(([^)#\s]+)", (ROOT / page).read_text(encoding="utf-8"))
        if "://" not in target
    ]
    assert len(links) > 50
    assert [(page, target) for page, target in links if target not in tracked | folders] == []
