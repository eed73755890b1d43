"""The house: imports run one way, and training needs few libraries."""

import ast
import pathlib
import subprocess
import sys
import textwrap

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "diffpy_cbldm"

ROOMS = """
errors settings grfile pdfdata cluster checks pairgrid widths debye
histogram paircache scattering
mixed simulate lattices families symmetry hulls cuts laplacian model recover
score moves quickfit edits polish screening sitepairs
matching pool surfaces propose smallangles srfit doubts
polished groups atoms solve examples
results asefile views page plots database report command config inputs cli
simulate_cli cmi
""".split()
"""Each room may import those before it."""

MODEL = ["layers", "condition", "structure", "denoiser", "diffusion", "cbldm"]
"""The same inside ``model/``."""

HEAVY = {"ase", "diffpy", "pymatgen"}


def room_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def modules():
    return [
        path
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.name != "__main__.py" and path != PACKAGE / "__init__.py"
    ]


def imported(tree):
    """Dotted names that a tree imports, ``from a import b`` as ``a.b``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the package in full"
            yield from (f"{node.module}.{a.name}" for a in node.names)


def rooms_used(path):
    """The rooms of this package that a module imports."""
    for name in imported(ast.parse(path.read_text())):
        parts = name.split(".")
        if parts[0] != "diffpy_cbldm" or len(parts) < 2:
            continue
        if parts[1] in ROOMS:
            yield parts[1]
        else:
            assert parts[1] == "__version__", f"{path} imports {name}"


@pytest.mark.parametrize("path", modules(), ids=lambda p: p.stem)
def test_imports_run_one_way(path):
    room = room_of(path)
    assert room in ROOMS, f"give {room} a place in ROOMS"
    for used in rooms_used(path):
        if used == room == "model":
            continue
        assert ROOMS.index(used) < ROOMS.index(room), f"{room} uses {used}"


@pytest.mark.parametrize("name", MODEL)
def test_imports_inside_the_model_run_one_way(name):
    tree = ast.parse((PACKAGE / "model" / f"{name}.py").read_text())
    for used in imported(tree):
        parts = used.split(".")
        if parts[:2] == ["diffpy_cbldm", "model"] and len(parts) > 2:
            assert MODEL.index(parts[2]) < MODEL.index(name)


def test_the_package_never_imports_training():
    for path in modules():
        tree = ast.parse(path.read_text())
        assert not any(n.split(".")[0] == "training" for n in imported(tree))


def test_only_srfit_imports_srfit():
    for path in modules():
        names = imported(ast.parse(path.read_text()))
        if any(n.startswith(("diffpy.srfit", "diffpy.srreal")) for n in names):
            assert room_of(path) == "srfit"


def training_modules():
    """The modules of ``training/`` by their dotted names."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path
        for path in sorted((ROOT / "training").rglob("*.py"))
        if path.name != "__init__.py"
    }


def training_imports():
    """Module: the modules of ``training/`` that it imports, also inside."""
    known = training_modules()
    return {
        module: {
            other
            for name in imported(ast.parse(path.read_text()))
            for other in (name, name.rpartition(".")[0])
            if other in known
        }
        for module, path in known.items()
    }


def circle(graph):
    """A path of a graph that comes back to its start, or None."""
    done = set()

    def walk(node, path):
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return None
        for other in sorted(graph[node]):
            if found := walk(other, [*path, node]):
                return found
        done.add(node)
        return None

    return next(filter(None, (walk(node, []) for node in graph)), None)


def test_training_has_no_import_circles():
    graph = training_imports()
    assert "training.stream" in graph["training.trainer"]
    assert circle(graph) is None
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]


TRAINING = ["", "baselines", "evaluation", "report"]
"""The rooms of ``training/``: each imports those before it alone."""


def test_the_rooms_of_training_are_in_order():
    def room(module):
        parts = module.split(".")
        return TRAINING.index(parts[1] if len(parts) > 2 else "")

    for module, used in training_imports().items():
        for other in used:
            assert room(other) <= room(module), f"{module} imports {other}"


def test_modules_and_bodies_of_training_are_short():
    for module, path in training_modules().items():
        text = path.read_text()
        assert len(text.splitlines()) <= 450, module
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                first = node.body[ast.get_docstring(node) is not None :]
                lines = node.end_lineno - first[0].lineno + 1 if first else 0
                assert lines <= 60, f"{module}.{node.name}: {lines} lines"


def in_a_process(code, *words, cwd=ROOT, timeout=120):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_package_is_cheap():
    out = in_a_process("""
        import sys, diffpy_cbldm, diffpy_cbldm.cli
        heavy = {"torch", "numpy", "scipy", "matplotlib", "diffpy.srfit"}
        print(sorted(heavy & set(sys.modules)))
        """)
    assert out.strip() == "[]"


BLOCK = """
import importlib.abc, runpy, sys

class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"ase", "diffpy", "pymatgen"}:
            raise ModuleNotFoundError(f"{name} is blocked", name=name)

sys.meta_path.insert(0, Block())
"""


def test_training_imports_without_diffpy_ase_pymatgen():
    files = sorted((ROOT / "training").rglob("*.py"))
    names = [
        ".".join(f.relative_to(ROOT).with_suffix("").parts)
        for f in files
        if f.name not in ("__init__.py", "__main__.py")
    ]
    assert "training.train" in names
    out = in_a_process(
        BLOCK
        + "import importlib\n"
        + "for name in sys.argv[1:]:\n"
        + "    importlib.import_module(name)\n"
        + "print(sorted({'ase', 'diffpy', 'pymatgen'} & set(sys.modules)))\n",
        *names,
    )
    assert out.strip() == "[]"


def test_training_runs_without_diffpy_ase_pymatgen(tmp_path):
    """A few tiny steps, and what they leave behind."""
    words = ["--preset", "tiny", "--minutes", "0.05", "--threads", "1"]
    words += ["--out", str(tmp_path)]
    in_a_process(
        BLOCK
        + "sys.argv[0] = 'training.train'\n"
        + "runpy.run_module('training.train', run_name='__main__')\n",
        *words,
        timeout=300,
    )
    assert any(tmp_path.rglob("*.safetensors"))


def test_top_level_functions_stay_functions():
    """`solve` is a function, before and after its module is imported."""
    in_a_process("""
        import inspect, sys
        import diffpy_cbldm as cb

        import diffpy_cbldm.solve
        import diffpy_cbldm.propose
        from diffpy_cbldm.simulate import simulate
        from diffpy_cbldm.solve import Solution

        for name in ("solve", "propose", "simulate"):
            function = getattr(cb, name)
            assert inspect.isfunction(function), name
            home = sys.modules[f"diffpy_cbldm.{name}"]
            assert inspect.ismodule(home) and getattr(home, name) is function
        from diffpy_cbldm import solve
        assert inspect.isfunction(solve)
        assert cb.Solution is Solution
        assert inspect.ismodule(cb.debye)
        for name in cb.__all__:
            assert getattr(cb, name) is not None
        assert set(cb.__all__) <= set(dir(cb))
        try:
            cb.polonium
        except AttributeError as error:
            assert "polonium" in str(error)
        else:
            raise AssertionError
        """)
    in_a_process("import diffpy_cbldm as cb; assert callable(cb.solve)")


def test_missing_submodules_are_import_errors():
    with pytest.raises(ModuleNotFoundError):
        __import__("diffpy_cbldm.polonium")
