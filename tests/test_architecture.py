"""The house: wings above a small root, imports one way, short pieces."""

import ast
import functools
import importlib
import pathlib
import subprocess
import sys
import textwrap

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "diffpy_cbldm"
PAGE = ROOT / "docs" / "reference" / "architecture.md"

FLOORS = {
    0: {
        "root": "What everyone carries: errors, settings, PDFData, Cluster.",
    },
    1: {
        "crystals": "Ideal, random and cut clusters, in bond lengths, and "
        "what they measure.",
        "debye": "From atoms to G(r): the Debye equation, alone and in "
        "batches.",
    },
    2: {
        "fitting": "How well one structure fits a measured G(r).",
        "model": "The networks and the diffusion of CbLDM: Algorithms 1 to "
        "4.",
    },
    3: {
        "polishing": "Edits that lower Rw and keep a structure a plausible "
        "crystal.",
    },
    4: {
        "search": "Propose structures for a PDF, each generator in its own "
        "way.",
    },
    5: {
        "solving": "The main job: propose, refine, polish, rank, and say "
        "what is doubtful.",
    },
    6: {
        "series": "Many PDFs of one sample: an engine, a store, neighbours, "
        "a folder.",
    },
    7: {
        "output": "What people see: tables, files, pages, plots, databases.",
    },
    8: {
        "commands": "The commands ``cbldm`` and ``cbldm-simulate``.",
        "cmi": "What diffpy.cmi needs to install and copy, in the layout it "
        "expects.",
    },
}
"""The wings: each may import those on lower floors, and has one purpose.

A wing's docstring begins with its purpose, and the page of the documentation
shows this table.
"""

FLOOR = {wing: floor for floor, wings in FLOORS.items() for wing in wings}

TRAINING = ["", "baselines", "evaluation", "report"]
"""The rooms of ``training/``: each imports those before it alone."""

LINES, BODY, PARAMETERS = 450, 60, 8
"""The most lines of a module and of a function's body, and the most
parameters of a function."""

PUBLIC = {
    *(
        "diffpy_cbldm.debye.pure.debye_pdf",
        "diffpy_cbldm.debye.mixed.mixed_pdf",
    ),
    *("diffpy_cbldm.debye.simulation.simulate",),
    *("diffpy_cbldm.fitting.refinement.refine",),
    *(
        "diffpy_cbldm.solving.solver.solve",
        "diffpy_cbldm.search.generators.propose",
    ),
    # Fields of a dataclass, as keywords: Candidate.
    *("diffpy_cbldm.cluster.__init__",),
}
"""What users call with the quantities of their experiment by name."""


@functools.cache
def modules(package):
    """The modules of ``diffpy_cbldm`` or ``training`` by dotted names."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path
        for path in sorted((ROOT / package).rglob("*.py"))
        if path.name != "__main__.py"
        and "docs" not in path.relative_to(ROOT).parts
    }


@functools.cache
def tree_of(path):
    return ast.parse(path.read_text())


def imported(tree):
    """Dotted names that a tree imports, ``from a import b`` as ``a.b``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the package in full"
            yield from (f"{node.module}.{a.name}" for a in node.names)


@functools.cache
def graph(package):
    """Module: the modules of its package that it imports, also inside."""
    known = modules(package)
    return {
        module: {
            other
            for name in imported(tree_of(path))
            for other in (name, name.rpartition(".")[0])
            if other in known
        }
        for module, path in known.items()
    }


def wing_of(module):
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in FLOOR else "root"


def test_imports_run_downwards():
    for module, used in graph("diffpy_cbldm").items():
        if module == "diffpy_cbldm.__init__":  # hands on public names
            continue
        here = wing_of(module)
        for other in used:
            there = wing_of(other)
            assert there == here or FLOOR[there] < FLOOR[here], (
                f"{module} imports {other}: {here} may only import wings on "
                f"lower floors"
            )


@pytest.mark.parametrize("package", ["diffpy_cbldm", "training"])
def test_no_import_circles(package):
    assert circle(graph(package)) is None


def test_circles_are_found():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]


def circle(used):
    """A path of a graph that comes back to its start, or None."""
    done = set()

    def walk(node, path):
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return None
        for other in sorted(used[node]):
            if found := walk(other, [*path, node]):
                return found
        done.add(node)
        return None

    return next(filter(None, (walk(node, []) for node in used)), None)


def test_the_rooms_of_training_are_in_order():
    def room(module):
        parts = module.split(".")
        return TRAINING.index(parts[1] if len(parts) > 2 else "")

    for module, used in graph("training").items():
        for other in used:
            assert room(other) <= room(module), f"{module} imports {other}"


@pytest.mark.parametrize("wing", [w for w in FLOOR if w != "root"])
def test_wings_say_what_they_are_for_and_hand_on_names(wing):
    """Nothing else is in their ``__init__``; every name can be had."""
    path = PACKAGE / wing / "__init__.py"
    purpose = FLOORS[FLOOR[wing]][wing]
    assert ast.get_docstring(tree_of(path)).startswith(purpose)
    if wing == "cmi":  # a package of its own, with two functions
        return
    for node in tree_of(path).body[1:]:
        assert isinstance(node, (ast.Import, ast.Assign)), ast.unparse(node)
    module = importlib.import_module(f"diffpy_cbldm.{wing}")
    for name in getattr(module, "__all__", ()):
        assert getattr(module, name).__doc__, name


def test_the_page_shows_the_table():
    rows = [
        f"| {floor} | `{wing}` | {purpose.replace('``', '`')} |"
        for floor, wings in sorted(FLOORS.items(), reverse=True)
        for wing, purpose in wings.items()
    ]
    assert "\n".join(rows) in PAGE.read_text()


def test_the_package_never_imports_training():
    for path in modules("diffpy_cbldm").values():
        names = imported(tree_of(path))
        assert not any(name.split(".")[0] == "training" for name in names)


def test_only_fitting_imports_srfit():
    for module, path in modules("diffpy_cbldm").items():
        names = imported(tree_of(path))
        if any(n.startswith(("diffpy.srfit", "diffpy.srreal")) for n in names):
            assert wing_of(module) == "fitting"


def functions(package):
    """(dotted name, node) of every function."""
    for module, path in modules(package).items():
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef):
                yield f"{module}.{node.name}", node


def test_functions_take_few_parameters():
    for name, node in functions("diffpy_cbldm"):
        given = [
            a.arg
            for a in (
                *node.args.posonlyargs,
                *node.args.args,
                *node.args.kwonlyargs,
            )
            if a.arg not in ("self", "cls")
        ]
        if name not in PUBLIC:
            assert len(given) <= PARAMETERS, f"{name}: {', '.join(given)}"


@pytest.mark.parametrize("package", ["diffpy_cbldm", "training"])
def test_modules_and_bodies_are_short(package):
    for module, path in modules(package).items():
        lines = len(path.read_text().splitlines())
        assert lines <= LINES, f"{module} has {lines} lines"
    for name, node in functions(package):
        first = node.body[ast.get_docstring(node) is not None :]
        lines = node.end_lineno - first[0].lineno + 1 if first else 0
        assert lines <= BODY, f"{name}: {lines} lines"


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
        import sys, diffpy_cbldm, diffpy_cbldm.commands.cbldm
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


def test_public_names_are_there():
    """Each is found, and functions stay functions whatever is imported."""
    in_a_process("""
        import inspect
        import diffpy_cbldm as cb

        import diffpy_cbldm.solving.solver
        import diffpy_cbldm.search.generators

        functions = "bond_estimate polish propose refine rmsd"
        functions += " same_structure simulate solve"
        for name in functions.split():
            assert inspect.isfunction(getattr(cb, name)), name
        assert inspect.ismodule(cb.debye)
        assert inspect.isfunction(cb.debye.debye_pdf)
        assert inspect.isfunction(cb.debye.r_grid)
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


def test_missing_submodules_are_import_errors():
    with pytest.raises(ModuleNotFoundError):
        __import__("diffpy_cbldm.polonium")
