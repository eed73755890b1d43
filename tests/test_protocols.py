"""Results as dicts of monty, as tables of pandas and as HTML of notebooks."""

import dataclasses
import html.parser
import importlib.util
import json
import math
import subprocess
import sys

import numpy as np
import pytest
from monty.json import MontyDecoder, MontyEncoder, MSONable, jsanitize
from monty.serialization import dumpfn, loadfn
from test_alike import fcc, icosahedron

import diffpy_cbldm as cb
from diffpy_cbldm.output import notebook, views
from diffpy_cbldm.protocols import Stored
from diffpy_cbldm.solving.atom_range import AtomRange
from diffpy_cbldm.solving.groups import group
from diffpy_cbldm.solving.solution import FrontPoint
from diffpy_cbldm.state import State


@pytest.fixture(scope="module")
def solution():
    """Two refined candidates and one that was not, with all that can be."""
    truth = cb.Cluster("Pt", icosahedron(1))
    (pdf,) = cb.simulate([truth], rmax=12.0)
    pdf = dataclasses.replace(
        pdf, dg=np.full(len(pdf.r), 0.01), notes=("A note.",), source="a.gr"
    )
    refined = [
        cb.refine(
            cb.Candidate("Pt", x, structure_type=name, generator="library"),
            pdf,
            backend="torch",
        )
        for x, name in ((truth.positions, "ico"), (fcc(13), "fcc"))
    ]
    raw = cb.Candidate("Pt", fcc(19), rw_raw=0.9, notes=("kept",))
    return cb.Solution(
        candidates=[*refined, raw],
        rw_quick=[0.1, np.float64(0.1) + 0.2, math.inf],
        settings={"composition": "Pt", "rmin": 1.5, "rmax": 12.0, "qmin": 0.7}
        | {"qmax": 25.0, "qdamp": None, "backend": "torch"},
        timings={"total": 1.25},
        warnings=("A doubt about <this>.",),
        pdf=pdf,
        front=(
            FrontPoint(
                *("library", "ico", 13, 0.1, 7.5, 1.0),
                edits=("sites", "strain"),
                parameters=2.5,
                knee=True,
            ),
        ),
        groups=tuple(group(refined, 30)),
        atoms=AtomRange(13, 12, 15, 0.9, doubted=True),
    )


def assert_same(a, b):
    """Of one type and value, down to the last bit."""
    assert type(a) is type(b)
    if isinstance(a, np.ndarray):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    elif isinstance(a, Stored):
        for field in dataclasses.fields(a):
            here, there = (getattr(x, field.name) for x in (a, b))
            if field.name == "results":
                assert str(here) == str(there)
            else:
                assert_same(here, there)
    elif isinstance(a, dict):
        assert list(a) == list(b)
        for name in a:
            assert_same(a[name], b[name])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for here, there in zip(a, b):
            assert_same(here, there)
    else:
        assert a == b or a != a and b != b


@pytest.mark.parametrize("name", ["a.json", "a.json.gz", "a.yaml"])
def test_a_solution_goes_through_files(solution, tmp_path, name):
    if name.endswith("yaml"):  # slow: without the curves
        solution = dataclasses.replace(
            solution,
            candidates=[
                dataclasses.replace(c, results=None)
                for c in solution.candidates
            ],
        )
    dumpfn(solution, tmp_path / name)
    read = loadfn(tmp_path / name)
    assert isinstance(read, cb.Solution)
    quick = [float(x) for x in solution.rw_quick]  # NumPy's become Python's
    assert_same(read, dataclasses.replace(solution, rw_quick=quick))
    assert read.explain() == solution.explain()
    assert [str(g) for g in read.groups] == [str(g) for g in solution.groups]


def test_it_is_plain_data(solution):
    """For databases: no encoder is needed, and none is missed."""
    made = solution.as_dict()
    assert json.loads(json.dumps(made)) == made
    assert jsanitize(solution, strict=True) == made
    assert made["@module"] == "diffpy_cbldm.solving.solution"
    assert made["@class"] == "Solution"
    assert made["@version"] == cb.__version__
    first = made["candidates"][0]
    assert first["@class"] == "Candidate"
    assert (
        first["positions"][3] == solution.candidates[0].positions[3].tolist()
    )


@dataclasses.dataclass
class Study(MSONable):
    """What users of pymatgen keep results in."""

    name: str
    best: cb.Candidate
    pdfs: list


def test_inside_what_others_write(solution):
    study = Study("one", solution.candidates[0], [solution.pdf])
    text = json.dumps({"studies": [study]}, cls=MontyEncoder)
    (read,) = json.loads(text, cls=MontyDecoder)["studies"]
    assert isinstance(read, Study)
    assert_same(read.best, study.best)
    assert_same(read.pdfs, study.pdfs)


def test_a_process_that_imported_nothing_reads_it(solution, tmp_path):
    dumpfn(solution, tmp_path / "a.json")
    code = (
        "import sys; from monty.serialization import loadfn; "
        "print(loadfn(sys.argv[1]).candidates[0].results)"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "a.json")]
    out = subprocess.run(words, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == str(solution.candidates[0].results).strip()


STATE = dict(
    notes=("free",),
    also_proposed_by=("screen",),
    edits=("sites", "strain"),
    edited_from=("fcc", 55),
    backend="torch",
    at_bounds=(("delta2", 0.1 + 0.2),),
    refined_moves=("strain",),
    not_determined=("strain_xy",),
    uneven_misfit=(1.5, 1 / 3),
    refused_edits=(0.1, 0.3),
    rw_of_each=(0.1, 1 / 3),
)


def test_a_candidate_keeps_its_state():
    """Flags would round some of it."""
    assert set(STATE) == {f.name for f in dataclasses.fields(State)}
    c = cb.Candidate(
        ["Pt", "D"],
        [[0, 0, 0.1], [0, 1 / 3, 2]],
        structure_type="fcc",
        rw=0.1 + 0.2,
        rw_heldout=math.nan,
        parameters={"scale": (1 / 3, math.nan), "qdamp": (0.0, 0.0)},
        **STATE,
    )
    read = cb.Candidate.from_dict(json.loads(json.dumps(c.as_dict())))
    assert_same(read, c)
    assert read.flags == c.flags


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"qmin": 1.0, "qdamp": 0.03, "stype": "N", "composition": "Pt"},
        {"dg": np.linspace(0.1, 0.2, 1000)},
    ],
)
def test_a_pdf_keeps_what_was_assumed(given):
    r = np.linspace(0, 20, 1000)
    g = np.sin(7 * r)
    g[0] = math.nan  # left out, with a note
    pdf = cb.PDFData(r, g, **given)
    read = cb.PDFData.from_dict(json.loads(pdf.to_json()))
    assert_same(read, pdf)
    assert read.warnings == pdf.warnings and read.known == pdf.known


def test_results_can_be_read_and_printed(solution):
    c = solution.candidates[1]
    results = cb.Candidate.from_dict(c.as_dict()).results
    assert str(results) == str(c.results)
    assert results.varnames == c.results.varnames
    for name in ("varvals", "varunc", "cov", "cumrw", "cumchi2"):
        np.testing.assert_array_equal(
            getattr(results, name), getattr(c.results, name)
        )
    (here,), (there,) = (
        list(x.conresults.values()) for x in (results, c.results)
    )
    for name in ("x", "y", "dy", "ycalc", "cumrw", "cumchi2", "chi2", "rw"):
        np.testing.assert_array_equal(
            getattr(here, name), getattr(there, name)
        )
    results.showcon = c.results.showcon = True
    assert str(results) == str(c.results)


def test_what_is_not_the_dict_of_it(solution):
    made = cb.Cluster("Pt", fcc(13)).as_dict()
    with_key = made | {"_id": object()}  # as MongoDB returns it
    assert_same(cb.Cluster.from_dict(with_key), cb.Cluster.from_dict(made))
    with pytest.raises(cb.CbldmError, match="holds spin; expected elements"):
        cb.Cluster.from_dict(made | {"spin": 1})
    with pytest.raises(cb.CbldmError, match="'positions'"):
        cb.Cluster.from_dict({"elements": ["Pt"]})
    own = dataclasses.replace(solution.candidates[0], results=object())
    with pytest.raises(cb.CbldmError, match="results=None"):
        own.as_dict()


def test_the_table_of_pandas(solution):
    table = solution.to_dataframe()
    assert table.index.tolist() == [1, 2, 3]
    assert table.index.name == "rank"
    documented = cb.Solution.to_dataframe.__doc__
    for name in table.columns:
        plain = name.removesuffix("_esd").replace("Pt_", "<El>_")
        assert f"``{plain}``" in documented, name
    best, raw = solution.candidates[0], table.loc[3]
    assert table.rw[1] == best.rw and math.isnan(raw.rw)
    assert table.n_atoms.tolist() == [13, 13, 19]
    assert table.Pt_Uiso[1] == best.parameters["Pt_Uiso"][0]
    assert table.Pt_Uiso_esd[1] == best.parameters["Pt_Uiso"][1]
    assert table.attrs["units"]["Pt_Uiso_esd"] == "A^2"
    assert table["group"].isna().tolist() == [False, False, True]
    assert table.rw_quick[3] == math.inf and raw["flags"] == "kept"
    assert table.rw.dtype == np.float64


class Fragment(html.parser.HTMLParser):
    """Tags with their attributes, and the text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def test_a_notebook_shows_a_solution(solution):
    text = solution._repr_html_()
    shown = Fragment(text)
    for c in solution.refined:
        assert f"{c.rw:.4f}" in shown.text and c.structure_type in shown.text
    assert "A doubt about <this>." in shown.text
    assert "delta2" in shown.text and "Å²" in shown.text
    # Trusted or not, with a network or without: nothing runs, nothing loads.
    assert {tag for tag, _ in shown.tags} <= set(
        "div p strong ul li table thead tbody tr th td img code".split()
    )
    (image,) = (a for tag, a in shown.tags if tag == "img")
    assert image["src"].startswith("data:image/png;base64,iVBOR")
    assert "Measured and calculated G(r)" in image["alt"]
    assert 2e4 < len(text) < 1e5


def test_a_notebook_shows_candidates(solution, monkeypatch):
    best, _, raw = solution.candidates
    assert f"{best.rw:.4f}" in Fragment(best._repr_html_()).text
    image = [a for tag, a in Fragment(raw._repr_html_()).tags if tag == "img"]
    assert image[0]["alt"].startswith("structure of unnamed type, Pt19")
    hostile = cb.Candidate("Pt", fcc(13), generator="<script>")
    assert "<script>" not in hostile._repr_html_()
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: None if name == "jinja2" else found(name),
    )
    assert best._repr_html_() is None  # the text is shown


def test_the_curve_is_that_of_the_refinement(solution):
    best, _, raw = solution.candidates
    curve = views.refined_curve(best)
    again = views.calculated_curve(solution, best)
    np.testing.assert_allclose(
        curve.calculated, again.calculated, rtol=1e-6, atol=1e-8
    )
    assert curve.rw == pytest.approx(best.rw)
    assert views.refined_curve(raw) is None
    other = dataclasses.replace(best, rw=best.rw + 0.1)
    assert views.refined_curve(other) is None


def test_long_tables_say_what_they_leave_out(solution):
    many = dataclasses.replace(
        solution, candidates=solution.refined * 7, groups=()
    )
    text = Fragment(many._repr_html_()).text
    assert f"{14 - notebook.ROWS} more in to_dataframe()" in text
