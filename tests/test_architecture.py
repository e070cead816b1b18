"""The rules of direction, checked by reading the code: who may import what, and who may touch what."""

import ast
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = ROOT / "flashdreams-core/src"
PLUGINS = {path.parent: path for path in sorted(ROOT.glob("flashdreams-plugins/*/pyproject.toml"))}
SOURCES = [CORE, *(folder / "src" for folder in PLUGINS)]
HEAVY = {"torch", "numpy"}

LAYERS = (
    ("errors", "environment", "deprecation"),
    ("core",),
    ("infra.config",),
    ("infra", "infra.conditions", "infra.state_tree", "infra.encoder", "infra.decoder", "infra.diffusion"),
    ("infra.pipeline",),
    ("engine", "io"),
    ("infra.runner",),
    ("plan",),
    ("plugins",),
    ("testing", "scaffold", "cli", "bench", "client", "__main__"),
)
"""Of core, lowest first: on import a module imports only what is in its own layer or below it."""

DISK_AND_NETWORK = {
    "flashdreams.infra.config.docs": "reads the docstrings of fields from the source of their class",
    "flashdreams.infra.config.file": "reads and writes config files",
    "flashdreams.infra.runner.run_record": "reads the versions of distributions",
    "flashdreams": "reads its own version from metadata",
    "flashdreams.plugins.catalogue": "reads the catalogue beside it",
    "flashdreams.plugins.installed": "reads the metadata of distributions",
    "flashdreams.plugins.resolution": "reads the requirements of distributions",
    "flashdreams.client.http": "asks a server",
    "flashdreams.client.decoding": "decodes pictures in memory",
    "flashdreams.client.pictures": "reads the image that is sent to a server",
    "flashdreams.client.plain": "opens sessions",
    "flashdreams.cli.console": "asks how wide the terminal is",
    "flashdreams.cli.main": "turns stdout to the null device when nobody reads it",
    "flashdreams.cli.pip": "hands pip the versions that were agreed, and reads its report",
    "flashdreams.cli.probes": "asks how much room is left",
    "flashdreams.scaffold.project": "reads its templates and writes a project",
    "flashdreams.testing.installed_plugin": "reads the metadata and the files of a distribution",
}
"""Modules of core outside io/ that may touch disk or network, and what for."""

NETWORK_OF_PLUGINS = {
    "flashdreams_serve.web.access": "reads cookies, as `http` does",
    "flashdreams_serve.web.login": "reads a form, as `urllib` does",
    "flashdreams_serve.web.server": "listens",
    "flashdreams_serve.web.rtc_seams": "finds the addresses of the name that the server listens at",
}
"""Modules of plugins that touch the network themselves, and what for."""

ENVIRONMENT = {
    "flashdreams.environment": "the one place",
    "flashdreams_pocket.train.world": "silences the banner of pygame, which can be told in no other way",
}
"""Modules that may touch environment variables, and what for."""

SIDE_EFFECTS = {
    "flashdreams.infra.config.yaml_text": "completes its own classes of PyYAML",
    "flashdreams_pocket.train.world": "silences the banner of pygame before importing it",
}
"""Modules that do more than define names when they are imported, and what for."""

SELF_CHANGES = {
    "Scheduler.set_timesteps": "called when a scheduler is built",
    "Scheduler._apply": "follows the model to another device",
    "UniPCScheduler.use_sigmas": "called when a scheduler is built",
}
"""Methods of torch modules beside __init__ that may bind attributes, and when they do."""

NETWORK_MODULES = {"urllib", "http", "socket", "ssl", "requests", "httpx", "httpx2", "huggingface_hub"}


# --- reading the code


@cache
def modules() -> dict[str, Path]:
    """Every module of core and plugins by its dotted name."""
    found = {}
    for source in SOURCES:
        for path in source.rglob("*.py"):
            parts = path.relative_to(source).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def tree(name: str) -> ast.Module:
    return ast.parse(modules()[name].read_text(encoding="utf-8"))


def core_modules() -> list[str]:
    return [name for name in modules() if name.partition(".")[0] == "flashdreams"]


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def on_import(node: ast.AST) -> Iterator[ast.AST]:
    """What runs when the module is imported: bodies of functions and of TYPE_CHECKING do not."""
    for child in ast.iter_child_nodes(node):
        if is_type_checking(child):
            yield from (inner for statement in child.orelse for inner in [statement, *on_import(statement)])
        elif not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from on_import(child)


def imported(nodes: Iterator[ast.AST]) -> set[str]:
    """Dotted names that import statements name; of `from a import b` both `a` and `a.b`."""
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def with_parents(name: str) -> set[str]:
    parts = name.split(".")
    return {".".join(parts[: n + 1]) for n in range(len(parts))}


@cache
def imports_on_import(name: str) -> frozenset[str]:
    """Our modules that importing this one imports directly, parents of each included."""
    direct = imported(on_import(tree(name)))
    ours = {parent for each in direct for parent in with_parents(each)} & modules().keys()
    return frozenset((ours | (with_parents(name) & modules().keys())) - {name})


@cache
def closure(name: str) -> frozenset[str]:
    """Every module of ours that importing this one imports."""
    seen, waiting = set(), [name]
    while waiting:
        if (module := waiting.pop()) not in seen:
            seen.add(module)
            waiting += imports_on_import(module)
    return frozenset(seen)


def third_party(name: str) -> set[str]:
    return {each.partition(".")[0] for each in imported(on_import(tree(name)))}


# --- what the code touches


def parsed(source: str) -> ast.Module:
    return ast.parse(textwrap.dedent(source))


def graph_names(node: ast.AST) -> set[str]:
    """Names of CUDA graphs."""
    attributes = [n for n in ast.walk(node) if isinstance(n, ast.Attribute)]
    named = {n.attr for n in attributes} | {n.name for n in ast.walk(node) if isinstance(n, ast.alias)}
    found = named & {"CUDAGraph", "make_graphed_callables", "graph_pool_handle"}
    return found | {n.attr for n in attributes if n.attr == "graph" and ast.unparse(n.value).endswith("cuda")}


DISK_MODULES = {
    *NETWORK_MODULES,
    *("shutil", "tempfile", "safetensors", "av", "imageio", "PIL", "zipfile", "tarfile", "sqlite3"),
    *("importlib.metadata", "importlib.resources", "linecache", "glob"),
}
DISK_METHODS = {
    *("read_text", "write_text", "read_bytes", "write_bytes", "mkdir", "makedirs", "unlink", "rmdir"),
    *("touch", "iterdir", "glob", "rglob", "exists", "is_file", "is_dir", "stat", "getsource", "open"),
}
DISK_CALLS = {f"{a}.{b}" for a in ("torch", "np", "numpy") for b in ("load", "save", "savez", "fromfile")}


def disk_names(node: ast.AST) -> set[str]:
    """What reaches for disk or network, as written."""
    found = {name for name in imported(ast.walk(node)) if with_parents(name) & DISK_MODULES}
    for call in (n.func for n in ast.walk(node) if isinstance(n, ast.Call)):
        if isinstance(call, ast.Attribute) and (call.attr in DISK_METHODS or ast.unparse(call) in DISK_CALLS):
            found.add(ast.unparse(call))
        elif isinstance(call, ast.Name) and call.id == "open":
            found.add("open")
    return found


def environment_names(node: ast.AST) -> set[str]:
    """What reaches for environment variables."""
    named = {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}
    named |= {n.name for n in ast.walk(node) if isinstance(n, ast.alias)}
    return named & {"environ", "environb", "getenv", "putenv", "unsetenv"}


def side_effects(node: ast.Module) -> list[str]:
    """Statements that do something on import beside defining names."""
    found = []
    for statement in node.body:
        docstring = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        script = isinstance(statement, ast.If) and "__name__" in ast.unparse(statement.test)
        functions = ast.FunctionDef | ast.AsyncFunctionDef
        defining = ast.Import | ast.ImportFrom | functions | ast.ClassDef | ast.Assign | ast.AnnAssign
        if not (docstring or script or is_type_checking(statement) or isinstance(statement, defining)):
            found.append(ast.unparse(statement).partition("\n")[0])
    return found


def changed_attributes(node: ast.Module, module_classes: set[str]) -> set[str]:
    """`Class.method` of each method of a torch module, other than __init__, that binds an attribute."""
    found = set()
    for cls in (n for n in ast.walk(node) if isinstance(n, ast.ClassDef) and n.name in module_classes):
        for method in (m for m in cls.body if isinstance(m, ast.FunctionDef) and m.name != "__init__"):
            for statement in ast.walk(method):
                for target in bound(statement):
                    if ast.unparse(target).startswith("self."):
                        found.add(f"{cls.name}.{method.name}")
    return found


def bound(statement: ast.AST) -> list[ast.expr]:
    targets = list(getattr(statement, "targets", []))
    if isinstance(statement, ast.AugAssign | ast.AnnAssign):
        targets.append(statement.target)
    return [inner for target in targets for inner in getattr(target, "elts", [target])]


def torch_module_classes() -> set[str]:
    """Names of all classes that derive from torch's Module, by the names of their bases."""
    bases = {
        cls.name: {ast.unparse(base).rpartition(".")[2] for base in cls.bases}
        for name in modules()
        for cls in ast.walk(tree(name))
        if isinstance(cls, ast.ClassDef)
    }
    found = {"Module"}
    while more := {name for name, parents in bases.items() if parents & found} - found:
        found |= more
    return found


# --- 1. whatever answers before work begins is light


def is_light(name: str) -> bool:
    last = name.rpartition(".")[2]
    top = name.split(".")[:2]
    inside = top[0] == "flashdreams" and top[-1] in ("flashdreams", "cli", "errors", "environment", "plugins")
    return (inside and name != "flashdreams.plugins.observers") or last in ("config", "plugin")


def test_light_modules_import_neither_torch_nor_numpy():
    light = [name for name in modules() if is_light(name)]
    assert {"flashdreams.cli.list_", "flashdreams.plugins.registry", "flashdreams.infra.encoder.config"} <= {
        *light
    }
    for name in light:
        heavy = {module: third_party(module) & HEAVY for module in closure(name)}
        assert not any(heavy.values()), (name, {module for module, found in heavy.items() if found})


def test_every_base_has_its_config_beside_it():
    for name in core_modules():
        package, _, last = name.rpartition(".")
        if last == "base" and package.startswith("flashdreams.infra."):
            classes = {n.name for n in ast.walk(tree(f"{package}.config")) if isinstance(n, ast.ClassDef)}
            exported = {
                alias for alias in imported(on_import(tree(name))) if alias.startswith(f"{package}.config.")
            }
            assert {alias.rpartition(".")[2] for alias in exported} & classes, f"{name} re-exports its config"


# --- 2. core knows no plugin; plugins use public names


def plugin_names() -> dict[str, set[str]]:
    """Distribution to every name of it that core must not know."""
    return {
        folder.name: {folder.name, *(path.name for path in (folder / "src").iterdir() if path.is_dir())}
        for folder in PLUGINS
    }


def test_core_names_no_plugin_but_in_the_catalogue():
    names = {name for each in plugin_names().values() for name in each}
    for path in (CORE / "flashdreams").rglob("*"):
        if path.suffix in (".py", ".json", ".md", ".tmpl") and path.name != "catalogue.json":
            text = path.read_text(encoding="utf-8")
            assert not [name for name in names if name in text], path


def test_plugins_use_public_names_and_the_plugins_that_they_depend_on():
    owners = {package: name for name, each in plugin_names().items() for package in each}
    for folder, project in PLUGINS.items():
        needed = tomllib.loads(project.read_text())["project"]["dependencies"]
        for name in (n for n, path in modules().items() if path.is_relative_to(folder)):
            for each in imported(ast.walk(tree(name))):
                top = each.partition(".")[0]
                if top == "flashdreams":
                    assert not [part for part in each.split(".") if part.startswith("_")], (name, each)
                elif owners.get(top, folder.name) != folder.name:
                    assert [need for need in needed if need.startswith(owners[top])], (name, each)


# --- 3. no cycles, and layers


def names_on_import(name: str) -> set[str]:
    """Our modules that this one itself names, without its own packages: those come first anyway."""
    return (imported(on_import(tree(name))) & modules().keys()) - with_parents(name)


def test_there_are_no_import_cycles():
    reached: dict[str, set[str]] = {}

    def reach(name: str, path: tuple[str, ...]) -> set[str]:
        assert name not in path, f"{' imports '.join((*path, name))}"
        if name not in reached:
            children = names_on_import(name)
            reached[name] = children.union(*(reach(child, (*path, name)) for child in children))
        return reached[name]

    for name in modules():
        reach(name, ())
    assert len(modules()) > 40


def layer(name: str) -> int:
    inner = name.removeprefix("flashdreams").removeprefix(".")
    fitting = [
        (len(prefix), index)
        for index, prefixes in enumerate(LAYERS)
        for prefix in prefixes
        if inner == prefix
        or inner.startswith((f"{prefix}.", prefix[:-1] if prefix[-1] == "*" else f"{prefix}."))
    ]
    return max(fitting)[1] if fitting else -1


def test_each_layer_imports_only_those_below_it():
    for name in core_modules():
        for other in imports_on_import(name):
            if other.startswith("flashdreams.") and not name.startswith(f"{other}."):
                assert layer(other) <= layer(name), f"{name} imports {other}"


def test_core_mathematics_knows_torch_and_errors_only():
    for name in core_modules():
        if name.startswith("flashdreams.core."):
            foreign = third_party(name) - {*sys.stdlib_module_names, "torch", "einops", "flashdreams"}
            ours = {n for n in imports_on_import(name) if not n.startswith("flashdreams.core")}
            assert not foreign, (name, foreign)
            assert ours <= {"flashdreams", "flashdreams.errors"}, (name, ours)


def test_model_code_does_not_know_the_engine():
    models = ("core", "infra.encoder", "infra.decoder", "infra.diffusion")
    for name in modules():
        inside = not name.startswith("flashdreams.") or name.startswith(
            tuple(f"flashdreams.{m}" for m in models)
        )
        if inside:
            engines = {n for n in imported(ast.walk(tree(name))) if n.startswith("flashdreams.engine")}
            assert not engines, (name, engines)


# --- 4. who touches graphs, disk, network and environment variables


def test_only_the_engine_touches_cuda_graphs():
    assert graph_names(parsed("g = torch.cuda.CUDAGraph()\nwith torch.cuda.graph(g): pass")) == {
        "CUDAGraph",
        "graph",
    }
    for name in modules():
        if not name.startswith("flashdreams.engine"):
            assert not graph_names(tree(name)), name


def test_only_io_touches_disk_and_network():
    code = "import urllib.request\nopen('x')\nPath('x').write_text('y')\ntorch.save(1, 'x')"
    assert disk_names(parsed(code)) == {"urllib.request", "open", "Path('x').write_text", "torch.save"}
    touching = {name for name in core_modules() if disk_names(tree(name))}
    outside = {name for name in touching if not name.startswith("flashdreams.io")}
    assert outside == {*DISK_AND_NETWORK}


def test_plugins_reach_the_network_through_core():
    reaching = set()
    for name in modules().keys() - {*core_modules()}:
        foreign = {each.partition(".")[0] for each in imported(ast.walk(tree(name)))}
        if foreign & NETWORK_MODULES:
            reaching.add(name)
    assert reaching == {*NETWORK_OF_PLUGINS}


def test_environment_variables_are_read_in_one_place():
    assert environment_names(parsed("import os\nos.environ['X']")) == {"environ"}
    assert environment_names(parsed("from os import getenv")) == {"getenv"}
    assert {name for name in modules() if environment_names(tree(name))} == {*ENVIRONMENT}


def test_importing_does_nothing_but_define():
    assert side_effects(parsed("'''Doc.'''\nimport os\nos.nice(1)\nx = 1\nfor i in x: pass")) == [
        "os.nice(1)",
        "for i in x:",
    ]
    effective = {name for name in modules() if side_effects(tree(name)) and not name.endswith("__main__")}
    assert effective == {*SIDE_EFFECTS}


# --- 5. Triton is never needed to import


def test_triton_is_imported_only_where_it_may_be_absent():
    for name in modules():
        unguarded = [node for node in tree(name).body if isinstance(node, ast.Import | ast.ImportFrom)]
        assert "triton" not in {each.partition(".")[0] for each in imported(iter(unguarded))}, name


# --- 6. what changes during a rollout is never on a module


def test_torch_modules_do_not_change_themselves():
    for statement in ("self.last = x", "self.count += 1", "self.cache[0], y = x, x"):
        assert changed_attributes(parsed(f"class M:\n def run(self, x):\n  {statement}"), {"M"}) == {"M.run"}
    assert not changed_attributes(parsed("class M:\n def run(self, x):\n  last = self.y"), {"M"})
    classes = torch_module_classes()
    assert {"StreamingEncoder", "Transformer", "StreamInferencePipeline"} <= classes
    changed = {change for name in modules() for change in changed_attributes(tree(name), classes)}
    assert changed == {*SELF_CHANGES}


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.parent.name)
def test_there_is_code_to_check(source):
    assert list(source.rglob("*.py"))
