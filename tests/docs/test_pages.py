"""What the README and the documentation say is so: links lead somewhere, code runs, generated pages are up to date."""

import contextlib
import json
import re
import runpy
import shlex
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"(?:^<!-- not run: (?P<reason>.+) -->\n)?^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    language: str
    code: str


def blocks(page: Path, *languages: str) -> list[Block]:
    """The page's code, but for what says why it is not run."""
    found = BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [Block(m["language"], m["code"]) for m in found if m["language"] in languages and not m["reason"]]


def with_code(*languages: str) -> list[object]:
    pages = [page for page in PAGES if blocks(page, *languages)]
    return [pytest.param(page, id=str(page.relative_to(ROOT))) for page in pages]


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, with the few files of their own that the pages' readers are told to have."""
    monkeypatch.chdir(tmp_path)
    for name in ("notes.txt", "notes_test.txt"):
        documents = (
            f"{name}, page {page}: the keeper of the lighthouse counted ships. 灯塔立在岩石上。" * 8
            for page in range(30)
        )
        (tmp_path / name).write_text("\n\n".join(documents), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("page", with_code("python", "bash"))
def test_code_runs(page: Path, workplace: Path) -> None:
    names: dict[str, object] = {"__name__": "__main__"}
    for block in blocks(page, "python", "bash"):
        if block.language == "python":
            with contextlib.redirect_stdout(None):
                exec(compile(block.code, str(page), "exec"), names)
        else:
            for line in block.code.replace("\\\n", " ").splitlines():
                run(line)


def run(line: str) -> None:
    from typer.testing import CliRunner

    from howfar.cli import app

    for command in line.split("&&"):
        program, *arguments = shlex.split(command, comments=True) or ["true"]
        assert program in ("howfar", "true"), (
            f"the tests can only run howfar; say why not: <!-- not run: ... --> {line}"
        )
        if program == "howfar":
            result = CliRunner().invoke(app, arguments, catch_exceptions=False)
            assert result.exit_code == 0, f"{line}\n{result.output}"


@pytest.mark.parametrize("page", with_code("toml"))
def test_recipes_load(page: Path) -> None:
    from howfar.studies.specification import Specification
    from howfar.training.graft_recipe import GraftRecipe
    from howfar.training.recipe import Recipe

    for block in blocks(page, "toml"):
        values = tomllib.loads(block.code)
        if "grid" in values:
            Specification.from_dict(values)
            continue
        (GraftRecipe if "base" in values else Recipe).from_dict(values)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    prose = BLOCK.sub("", page.read_text(encoding="utf-8"))
    targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", prose)]
    missing = [target for target in targets if target and "://" not in target and not (page.parent / target).exists()]
    assert missing == []


@pytest.mark.parametrize("page", ["reference/commands.md", "reference/python.md", "reference/measures.md", "errors.md"])
def test_generated_pages_are_up_to_date(page: str) -> None:
    pages = runpy.run_path(str(ROOT / "docs" / "generate.py"))["PAGES"]
    wanted = pages[page]().rstrip() + "\n"
    assert (ROOT / "docs" / page).read_text(encoding="utf-8") == wanted, "run python docs/generate.py"


@pytest.mark.parametrize("notebook", sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_saved_notebooks_show_a_picture_without_a_network(notebook: Path) -> None:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    shown = [output["data"] for cell in cells for output in cell.get("outputs", []) if "data" in output]
    assert any("image/svg+xml" in data for data in shown)
    pages = ["".join(data.get("text/html", "")) for data in shown]
    assert not any(re.search(r"""(src|href)=["']https?:""", page) for page in pages)


def test_the_readme_starts_with_the_two_commands() -> None:
    first, second = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)[:2]
    assert first.startswith("pip install -c constraints.txt . && howfar show ")
    assert second.startswith('pip install -c constraints.txt -e ".[dev]" && pytest')


def test_every_requirement_has_a_tested_version() -> None:
    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    del extras["interop"]  # other tools, of which any version may be at hand
    lines = [*project["dependencies"], *(line for extra in extras.values() for line in extra)]
    tested = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            name, _, version = line.partition("==")
            tested[name.lower().replace("_", "-")] = version
    for requirement in map(Requirement, lines):
        if requirement.name != "howfar":
            assert requirement.specifier.contains(tested[requirement.name.lower().replace("_", "-")]), requirement


def test_the_repository_says_nothing_of_where_it_was_made() -> None:
    for page in PAGES:
        assert not re.search(r"(?<![\w.])/(root|work|tmp)/", page.read_text(encoding="utf-8")), page
