"""The tutorial notebook runs, and lies in the repository without outputs."""

import json
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
TUTORIALS = ROOT / "docs" / "tutorials"
PAGE = TUTORIALS / "notebook.ipynb"


def cells(kind):
    content = json.loads(PAGE.read_text("utf-8"))
    return [c for c in content["cells"] if c["cell_type"] == kind]


def test_it_has_no_outputs():
    for cell in cells("code"):
        assert cell["outputs"] == [] and cell["execution_count"] is None


def test_it_is_a_page_of_the_documentation():
    first = "".join(cells("markdown")[0]["source"]).splitlines()
    assert first[0].startswith("# ") and first[2].startswith("This tutorial")
    names = {path.stem for path in TUTORIALS.iterdir()}
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    for name in names:
        assert f"tutorials/{name}\n" in index, name


def test_it_runs(tmp_path):
    """As a user runs it; each result is shown as HTML."""
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    book = nbformat.read(PAGE, as_version=4)
    where = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(book, timeout=300, resources=where).execute()
    outputs = [o for c in book.cells for o in c.get("outputs", ())]
    assert all(o.output_type in ("execute_result", "stream") for o in outputs)
    shown = [
        o.data["text/html"]
        for o in outputs
        if "text/html" in o.get("data", {})
    ]
    pictures = [text for text in shown if "data:image/png;base64," in text]
    assert len(pictures) == 3  # the solution, and two candidates
    assert all(len(text) < 1e5 for text in shown)
    printed = "".join(o.text for o in outputs if o.output_type == "stream")
    assert "RMSD 0.0000 A" in printed and "same structure: True" in printed
    assert list(tmp_path.iterdir()) == []
