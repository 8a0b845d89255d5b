"""Who imports whom, read off the source: the material of test_imports.py and test_bare.py. Runs nothing of what it reads."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path

# Folder -> the name under which it is imported
HOMES = {
    "autoseg": "autoseg",
    "planners": "autoseg.planners",
    "trainers": "autoseg.trainers",
    "experiment_plans": "autoseg.experiment_plans",
}
OUTSIDE = {"tests", "benchmarks"}  # import anything, are imported by nothing
ONLY_ABOVE = {"demo": {"cli"}}  # who may import it at all; the tests besides


@dataclass(frozen=True, kw_only=True)
class Module:
    """A source file and the dotted name it is imported by."""

    name: str
    path: Path

    @property
    def package(self) -> str:
        """What relative imports in it start from."""
        return self.name if self.path.name == "__init__.py" else self.name.rpartition(".")[0]


@dataclass(frozen=True, kw_only=True)
class Import:
    """One name imported at one line. A name of autoseg's is the module that is meant, as far as the tree knows it."""

    target: str
    line: int


Layers = list[list[set[str]]]


def parse_order(order: str) -> Layers:
    """Layers from top to bottom, split at `>`; in each, the groups split at `|` may not import each other, names of one group may."""
    return [[set(group.split()) for group in layer.split("|")] for layer in order.split(">")]


def read_modules(root: Path) -> dict[str, Module]:
    """Every source file under the four folders by its dotted name; symlinks are not followed, so each file comes once."""
    found = {}
    for folder, home in HOMES.items():
        for path in sorted((root / folder).rglob("*.py")):
            steps = [*home.split("."), *path.relative_to(root / folder).with_suffix("").parts]
            name = ".".join(steps[:-1] if steps[-1] == "__init__" else steps)
            found[name] = Module(name=name, path=path)
    return found


def read_imports(module: Module, known: Mapping[str, Module]) -> Iterator[Import]:
    """Every import of the file: absolute, relative, inside functions, under TYPE_CHECKING, and import_module of a written name."""
    for node in ast.walk(ast.parse(module.path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(target=alias.name, line=node.lineno)
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), module.package)
            for alias in node.names:
                if (base, alias.name) != ("autoseg", "__version__"):  # a constant, open to all
                    deeper = f"{base}.{alias.name}"
                    yield Import(target=deeper if deeper in known else base, line=node.lineno)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if called in {"import_module", "__import__"} and isinstance(node.args[0].value, str):
                yield Import(target=resolve_name(node.args[0].value, module.package), line=node.lineno)


def house_name(dotted: str) -> str:
    """The name in the order that a module belongs to: autoseg.nets.unet -> nets, autoseg itself -> __init__."""
    return dotted.split(".")[1] if "." in dotted else "__init__"


def find_violations(root: Path, order: str) -> list[str]:
    """One line per import that points up or sideways, per module without a layer, and for a cycle of files."""
    layers, known = parse_order(order), read_modules(root)
    places = {name: (depth, k) for depth, layer in enumerate(layers) for k, group in enumerate(layer) for name in group}
    homeless = {name for module in known if (name := house_name(module)) not in places}
    found = [f"autoseg.{name} stands in no layer: add it to ORDER in tests/house/test_imports.py" for name in sorted(homeless)]
    edges: dict[str, set[str]] = {}
    for module in known.values():
        for imported in read_imports(module, known):
            where = f"{module.path.relative_to(root)}:{imported.line}"
            if wrong := _judge(house_name(module.name), imported.target, places):
                found.append(f"{where} {wrong}")
            if imported.target in known:
                edges.setdefault(module.name, set()).add(imported.target)
    return found + _find_cycle(edges)


def _judge(importer: str, target: str, places: Mapping[str, tuple[int, int]]) -> str:
    top = target.split(".")[0]
    if top in OUTSIDE:
        return f"imports {target}: nothing imports tests or benchmarks"
    if top in HOMES and top != "autoseg":
        return f"imports {target}: the package is autoseg.{top}"
    name = house_name(target)
    if top != "autoseg" or importer == name or importer not in places:
        return ""
    if name not in places:
        return f"imports {target}, which is in no layer"
    if name in ONLY_ABOVE and importer not in ONLY_ABOVE[name]:
        return f"imports {target}: only {' and '.join(ONLY_ABOVE[name])} and the tests may"
    (depth, group), (target_depth, target_group) = places[importer], places[name]
    if depth > target_depth:
        return f"imports {target}: {name} stands above {importer}"
    if depth == target_depth and group != target_group:
        return f"imports {target}: {name} stands beside {importer}, and they may not import each other"
    return ""


def _find_cycle(edges: Mapping[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        return [f"import cycle: {' < '.join(error.args[1])}"]
    return []
