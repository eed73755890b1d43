"""The comparison scores alike, goes on after a stop, and its page holds."""

import dataclasses
import json
import re

import numpy as np
import pytest

from diffpy_cbldm.cluster import Candidate, Cluster
from diffpy_cbldm.crystals.table import load_table
from diffpy_cbldm.fitting.quickfit import quick_fit
from training.baselines import LEARNED
from training.baselines.train import SETTINGS as IN_USE
from training.evaluation.cases import (
    ROBUST,
    Conditions,
    cases,
    measured,
    target_of,
)
from training.evaluation.compare import (
    compare,
    generator,
    refusal,
    rwp,
)
from training.evaluation.compare import row as row_of
from training.evaluation.results import Results
from training.evaluation.systems import RESULTS, file_name
from training.report import page, rows, tables, words
from training.stream import held_out

SETTINGS = {"split": "geometry", "count": 4}


def made(system, index, rw, kind="fcc", **more):
    row = {"system": system, "index": index, "truth": kind, "rw": rw}
    row |= {"rwp": 2 * rw, "right_n": rw < 0.1, "solved": rw < 0.01}
    return row | {"rmsd": None, "seconds": 1.0} | more


ROWS = [
    made("cbldm", 0, 0.002),
    made("cbldm", 1, 0.004, "ico"),
    made("library", 0, 0.001),
    made("library", 1, 0.3, "ico"),
]


def test_rwp_of_the_truth_is_zero_and_nothing_is_fitted():
    (case,) = cases("geometry", 1)
    how = Conditions()
    pdf = measured(case, how, 0)
    truth = Cluster("Pt", case.positions)
    assert rwp(truth, case, pdf, how) < 1e-6
    longer = Cluster("Pt", 1.05 * case.positions)
    assert rwp(longer, case, pdf, how) > 0.5
    far = np.concatenate([case.positions, case.positions + [40, 0, 0]])
    assert rwp(Cluster("Pt", far), case, pdf, how) < 0.1  # G is for an atom


@pytest.mark.parametrize("told", ["as in the paper", "header Qmax 10 % high"])
def test_cases_are_fitted_under_the_conditions_they_were_drawn_in(told):
    how = ROBUST[told]
    case = dataclasses.replace(cases("geometry", 1)[0], qdamp=0.9)
    target = target_of(measured(case, how, 0), how)
    assert target.qmax == pytest.approx(how.qmax, rel=0.03)
    # Qdamp 0.09 is more than common instruments have.
    (own,) = quick_fit([case.positions], target)
    assert own.qdamp == pytest.approx(0.09, abs=0.005)
    assert own.rw < 0.01


def test_the_comparison_fits_qdamp_where_it_was_drawn():
    drawn = cases("geometry", 1)[0]
    case = dataclasses.replace(drawn, qdamp=0.9)
    truth = Candidate("Pt", case.positions, case.kind)
    told = row_of(
        "truth", lambda target, **words: [truth], 0, case, Conditions(), 1
    )
    # Up to 0.06, the limit of instruments, some per cent would be left.
    assert told["rw"] < 1e-3 and told["solved"]
    # The paper's measure is that of the whole PDF.
    assert told["rwp"] < 1e-6


def test_training_split_has_trained_geometries_only():
    table = load_table()
    hidden = held_out(table)
    sizes = {
        (g.structure_type, g.n_atoms)
        for g, out in zip(table.geometries, hidden)
        if not out
    }
    for case in cases("training", 14):
        assert (case.kind, len(case.positions)) in sizes


def test_library_is_mined_without_held_out_geometries():
    table = load_table()
    hidden = np.flatnonzero(held_out(table))
    sizes = [table.geometries[i].n_atoms for i in hidden]
    place = int(hidden[int(np.argmin(np.abs(np.array(sizes) - 60)))])
    truth = table.positions(place)
    (case,) = [c for c in cases("geometry", 1)]
    pdf = measured(
        type(case)("", 2.8 * truth, case.qdamp), Conditions(), seed=0
    )
    for found in generator("library")(pdf, count=8, seed=0):
        same = len(found) == len(truth) and np.allclose(
            np.sort(np.linalg.norm(found.positions, axis=1)) / 2.8,
            np.sort(np.linalg.norm(truth, axis=1)),
            atol=1e-2,
        )
        assert not same


def test_figures_are_written_at_once_and_kept(tmp_path):
    path = tmp_path / "geometry.json"
    first = Results(path, SETTINGS)
    first.use("cbldm", {"digest": "aa"})
    for row in ROWS[:2]:
        first.put(row)
    again = Results(path, SETTINGS)
    again.use("cbldm", {"digest": "aa"})
    assert again.rows == [{"commit": first.commit} | r for r in ROWS[:2]]
    again.use("library", {"digest": "bb"})
    for row in ROWS[2:]:
        again.put(row)
    assert [r["system"] for r in again.rows] == 2 * ["cbldm", "library"]
    assert json.loads(path.read_text())["settings"] == SETTINGS
    other = Results(path, SETTINGS)
    other.use("cbldm", {"digest": "new weights"})
    assert {r["system"] for r in other.rows} == {"library"}
    with pytest.raises(SystemExit, match="count 4, not 8"):
        Results(path, SETTINGS | {"count": 8})


def test_rows_of_another_commit_are_made_again(tmp_path):
    found = Results(tmp_path / "geometry.json", SETTINGS)
    found.put(ROWS[0] | {"commit": "0123abcd4"})
    found.put(ROWS[1])
    found.put(ROWS[2] | {"commit": "0123abcd4"})
    found.drop("cbldm")
    assert [(r["system"], r["index"]) for r in found.rows] == [
        ("library", 0),
        ("cbldm", 1),
    ]
    again = json.loads((tmp_path / "geometry.json").read_text())
    assert again["commits"] == sorted({"0123abcd4", found.commit})


def test_a_stopped_run_goes_on_to_the_same_rows(tmp_path):
    words = {"systems": ("library",), "count": 4}
    whole = compare("geometry", tmp_path / "a.json", structures=2, **words)
    compare("geometry", tmp_path / "b.json", structures=1, **words)
    parts = compare("geometry", tmp_path / "b.json", structures=2, **words)

    def timeless(rows):
        return [
            {
                k: v
                for k, v in r.items()
                if "seconds" not in k and k != "commit"
            }
            for r in rows
        ]

    assert timeless(parts) == timeless(whole)
    assert [r["index"] for r in whole] == [0, 1]


def test_a_known_table():
    text = tables.by_type(ROWS, "rw")
    assert text.splitlines() == [
        "| Rw, refined by SrFit | cbldm | library |",
        "| --- | --- | --- |",
        "| fcc | 0.0020 | **0.0010** |",
        "| ico | **0.0040** | 0.3000 |",
        "| total | **0.0030** | 0.1505 |",
    ]
    solved = tables.by_type(ROWS, "solved").splitlines()
    assert solved[-1] == "| total | **100%** | 50% |"


def test_the_page_says_where_cbldm_is_not_the_best():
    lost = tables.beaten(ROWS)
    assert all(line.startswith("library, fcc") for line in lost) and lost
    assert rows.share(ROWS, "cbldm", "library") == (0.5, 0.5)


def test_the_commands_of_the_figures_are_on_the_page():
    lines = page.commands({"geometry": ROWS}, {}, 14).splitlines()
    assert lines[0] == (
        "python -m training.evaluation.compare --split geometry "
        "--structures 2 --systems cbldm library"
    )
    assert lines[1:] == [
        "python -m training.evaluation.ablate --structures 14",
        "python -m training.report.page",
    ]


def test_trained_ablations_are_told_as_far_as_they_were_run():
    own = {"rw": 0.9, "n_error": 0.1, "right_n": 0.5, "rmsd": None}
    row = {"output": "laplacian", "steps": 9}
    row |= {"geometry": own, "nolibrary": own | {"rw": 0.8, "rmsd": 1.0}}
    other = row | {"output": "distances"}
    assert tables.outputs([row]).splitlines()[-1] == (
        "| Laplacian, dense | 9 | 0.900 | 10% | 50% | - "
        "| 0.800 | 10% | 50% | 1.00 |"
    )
    text = " ".join(page.outputs_worth([row, other]).split())
    assert "Rw 0.900 against 0.900 on held-out geometries" in text
    assert text.count("not run yet") == 3


def test_the_best_setting_of_a_row_is_bold():
    rate, batch = IN_USE["cnn"]
    trials = [
        {"system": "cnn", "rate": k, "batch": 64, "validation": loss}
        for k, loss in ((5e-4, 9.0), (1.5e-3, 7.5), (4.5e-3, None))
    ]
    assert tables.tuning(trials).splitlines()[-1] == (
        f"| cnn | 9.00 | **7.50** | - | {rate:g}, {batch} |"
    )


def test_the_papers_table_is_as_printed():
    paper = tables.published(RESULTS)
    assert "2509.01370" in paper["source"]
    totals = dict(zip(paper["systems"], paper["rows"]["total"]))
    assert set(totals) == {*LEARNED, "cbldm"}
    assert {len(row) for row in paper["rows"].values()} == {len(totals)}
    assert totals["cbldm"] == min(totals.values()) == 0.380
    assert sorted(totals.values())[1] == totals["mining"] == 1.103


def test_the_page_is_that_of_its_figures():
    kept = RESULTS.parent / "benchmarks.md"
    assert kept.read_text() == page.page(RESULTS)
    for name in rows.load(RESULTS):
        assert (RESULTS / name).is_file()


def test_no_figure_is_typed_in_the_prose():
    """Digits stand for names alone: those of the paper's tables, a scale."""
    names = r"Table \d|N\(0, I\)|a scale of 0|above\s+1,|as 1 \("
    texts = [value for name, value in vars(words).items() if name.isupper()]
    texts = [t for t in texts if isinstance(t, str) and t.startswith("\n")]
    texts += words.WHY.values()
    assert len(texts) > 10
    for text in texts:
        left = re.sub(names + r"|\{[^}]*\}", "", text)
        left = re.sub(r"delta2|c_0|G\(r\)", "", left)
        assert not re.search(r"\d", left), text
        spelt = r"\b(two|three|four|five|six|seven|eight|nine|ten|eleven)\b"
        assert not re.search(rf"{spelt} (min|h|s|PDF|system|seed|times)", left)


def test_a_figure_of_the_prose_follows_its_file():
    files = rows.load(RESULTS)
    known = words.figures(files)
    text = words.prose(words.TUNING_WORDS, known)
    assert f"tried for {known['trial']:g} s of" in text
    files["tuning.json"]["settings"]["seconds"] = 77.0
    text = words.prose(words.TUNING_WORDS, words.figures(files))
    assert "tried for 77 s of" in text
    assert max(map(len, text.splitlines())) <= 79


def test_conditions_have_files_of_their_own():
    names = {file_name("geometry", c) for c in ROBUST}
    assert len(names) == len(ROBUST)
    assert file_name("geometry", "noise 1 %") == "geometry-noise-1.json"


def test_what_is_no_crystal_is_not_polished():
    assert refusal(1.0) is None
    assert "0.50 of the usual" in refusal(0.5)["refused"]
