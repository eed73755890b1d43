"""The report page: what it says, that it is safe, and that it works."""

import dataclasses
import html.parser
import importlib.util
import json
import re
import shlex
import shutil

import numpy as np
import pytest
from test_front import ideal, pdf_of

import diffpy_cbldm as cb
from diffpy_cbldm.commands import cbldm
from diffpy_cbldm.output import results, views
from diffpy_cbldm.output.page import command, make_page, write_page
from diffpy_cbldm.solving.groups import group
from diffpy_cbldm.solving.solution import FrontPoint, Solution

HOSTILE = "</script><img src=x onerror=alert(1)>&'\"{{ 7*7 }}.gr"


def a_cube(n, step=2.8):
    axis = np.arange(n) * step
    return np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(-1, 3)


@pytest.fixture(scope="module")
def solution():
    """Cubes that are refined against the PDF of one of them, with noise."""
    right = cb.Cluster("Pt", a_cube(3))
    (pdf,) = cb.simulate([right], rmax=16.0, qmin=1.0, qmax=22.0, qdamp=0.04)
    noise = np.random.default_rng(0).normal(size=len(pdf.g))
    pdf = dataclasses.replace(
        pdf, composition="Pt", g=pdf.g + 0.2 * pdf.g.std() * noise
    )
    made = [
        ("sc", right.positions),
        ("dec", right.positions[:-1]),
        ("fcc", a_cube(2)),
    ]
    refined = [
        cb.refine(
            cb.Candidate("Pt", x, structure_type=kind, generator="library"),
            pdf,
            backend="torch",
            rmax=15.0,
        )
        for kind, x in made
    ]
    return Solution(
        candidates=refined,
        rw_quick=[c.rw for c in refined],
        settings={
            "version": cb.__version__,
            "composition": "Pt",
            "qmin": 1.0,
            "qmax": 22.0,
            "qdamp": 0.04,
            "stype": None,
            "count": 4,
            "refine": 3,
            "rmin": 1.5,
            "rmax": 15.0,
            "backend": "torch",
        },
        timings={"refine": 1.25, "total": 2.0},
        warnings=("A doubt about <this> & that.",),
        pdf=pdf,
        groups=tuple(group(refined, 30)),
    )


class Page(html.parser.HTMLParser):
    """Elements with their attributes and the text inside each id."""

    EMPTY = {"meta", "img", "link", "br", "input"}

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self.open = [], {}, []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append((tag, dict(attrs).get("id")))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        for tag, name in self.open:
            for key in {tag, name} - {None}:
                self.texts[key] = self.texts.get(key, "") + data


@pytest.fixture(scope="module")
def text(solution):
    return make_page(solution, HOSTILE)


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def test_curves_have_the_rw_of_their_candidates(solution):
    for c in solution.candidates:
        curve = views.calculated_curve(solution, c)
        assert curve.rw == pytest.approx(c.rw, abs=1e-3)


def test_curves_without_refinement_have_the_raw_rw(solution):
    raw = cb.Candidate("Pt", a_cube(3))
    curve = views.calculated_curve(solution, raw)
    rw = solution.candidates[0].rw_raw
    assert curve.rw == pytest.approx(rw, abs=1e-3)


def test_curves_after_moves_and_with_a_fitted_qdamp():
    cluster = cb.Cluster("Pt", a_cube(3) * [1, 1, 1.02])
    (pdf,) = cb.simulate([cluster], rmax=12.0, qmin=1.0, qmax=22.0)
    pdf = dataclasses.replace(
        pdf, qdamp=None, dg=np.linspace(1, 2, len(pdf.r))
    )
    found = cb.refine(cluster, pdf, rmax=11.0, moves=("strain",))
    assert "qdamp" in found.parameters
    solution = Solution(
        [found], [0.0], {"rmin": 1.5, "rmax": 11.0}, {}, (), pdf
    )
    curve = views.calculated_curve(solution, found)
    assert curve.rw == pytest.approx(found.rw, abs=1e-3)


def test_curves_of_displaced_atoms():
    """Their positions hold the displacements; no variable does."""
    x = ideal("fcc", 55)
    start = cb.Candidate("Pt", x, structure_type="fcc", generator="mine")
    away = np.random.default_rng(2).normal(0, 0.03, x.shape)
    pdf = pdf_of(x + away)
    first, *found = cb.polish(start, pdf, kinds=("displacements",))
    assert {c.edits for c in found} == {("displacements",)}
    used = {"composition": "Pt", "qmin": pdf.qmin, "qmax": pdf.qmax}
    used |= {"rmin": 1.5, "rmax": 30.0}
    ranked = [*found, first]
    solution = Solution(ranked, [c.rw for c in ranked], used, {}, (), pdf)
    rws = {}
    for c in solution.candidates:
        curve = views.calculated_curve(solution, c)
        assert curve.rw == pytest.approx(c.rw, abs=1e-4)
        rws[c.edits] = curve.rw
    assert rws["displacements",] < 0.8 * rws[()]

    # The page and the figure draw these curves.
    told = Page(make_page(solution, "a.gr")).texts
    assert "displacements" in told["candidates"]
    for c, drawn in zip(
        solution.candidates, json.loads(told["data"])["candidates"]
    ):
        curve = views.calculated_curve(solution, c)
        np.testing.assert_allclose(
            drawn["calculated"], curve.calculated, rtol=1e-4, atol=1e-6
        )
        np.testing.assert_allclose(drawn["positions"], c.positions, atol=1e-3)
    axes = cb.plot(solution, count=1).axes[0]
    curve = views.calculated_curve(solution, solution.candidates[0])
    np.testing.assert_allclose(
        axes.get_lines()[1].get_ydata(), curve.calculated
    )


def test_difference_is_in_the_unit_of_rw(solution):
    best, near, far = (
        views.calculated_curve(solution, c) for c in solution.candidates
    )
    assert views.difference(best, best) == 0
    assert 0 < views.difference(best, near) < views.difference(best, far)
    with pytest.raises(cb.CbldmError, match="one grid"):
        views.difference(best, dataclasses.replace(best, r=best.r[:-1]))


def test_page_tells_all(page, solution):
    for c in solution.candidates:
        assert f"{c.rw:.4f}" in page.texts["candidates"]
        assert c.structure_type in page.texts["candidates"]
        for value, esd in c.parameters.values():
            assert results.with_esd(value, esd) in page.texts["views"]
    assert "A doubt about <this> & that." in page.texts["body"]
    assert "backend" in page.texts["settings"]
    assert "1.2 s" in page.texts["timings"]
    assert "They differ in type, atoms" in page.texts["groups"]
    assert page.texts["command"] == command(solution, HOSTILE)


def test_command_repeats_the_run(solution):
    for source in (HOSTILE, "./-dash.gr", "plain.gr"):
        lines = command(solution, source).replace("\\\n", "")
        words = shlex.split(lines)
        assert words[0] == "cbldm"
        given = cbldm.make_parser().given(words[1:])
        assert given.pop("inputs") == [source]
        told = {k: v for k, v in solution.settings.items() if v is not None}
        del told["version"]
        assert given == told


def test_hostile_names_are_text(page):
    assert not any(tag == "img" for tag, _ in page.elements)
    assert page.texts["source"] == HOSTILE
    name = HOSTILE.split("/")[-1]
    assert page.texts["h1"] == name
    assert page.texts["title"].startswith(f"{name} - ")


def test_hostile_data_stay_data(solution):
    best = dataclasses.replace(
        solution.candidates[0],
        structure_type="</script><b>",
        flags=("<b>flag</b>",),
        generator='"><b>',
    )
    bad = dataclasses.replace(
        solution,
        candidates=[best],
        settings={**solution.settings, "<b>": "<b>"},
        timings={"<b>": 1.0},
        groups=(),
    )
    parsed = Page(make_page(bad, "a.gr"))
    assert not any(tag == "b" for tag, _ in parsed.elements)
    assert json.loads(parsed.texts["data"])


def test_names_that_are_not_text(solution, tmp_path):
    write_page(solution, tmp_path / "a.html", "bad\udcff.gr")
    assert "bad?.gr" in (tmp_path / "a.html").read_text(encoding="utf-8")


def test_nothing_is_loaded_from_elsewhere(page, text):
    loads = [
        attributes[key]
        for tag, attributes in page.elements
        if tag in ("script", "link", "img", "iframe", "object", "source")
        for key in ("src", "href", "data")
        if key in attributes
    ]
    assert loads == []
    style = re.search("<style>(.*?)</style>", text, re.DOTALL).group(1)
    assert "url(" not in style and "@import" not in style
    policy = [a["content"] for t, a in page.elements if "http-equiv" in a]
    assert len(policy) == 1
    assert "default-src 'none'" in policy[0] and "http" not in policy[0]


def test_plotly_is_embedded_once_and_the_page_has_the_stated_size(text):
    """About 5 MB, as the documentation says."""
    assert text.count("plotly.js v") == 1
    assert 4.5e6 < len(text.encode()) < 5.5e6


def test_every_picture_has_a_label(page):
    pictures = [a for _, a in page.elements if a.get("role") == "img"]
    assert len(pictures) == 6
    assert all(a["aria-label"] for a in pictures)


def test_nothing_refined_is_shown_as_such(solution):
    raw = [
        dataclasses.replace(c, rw=None, rw_heldout=None, parameters={})
        for c in solution.candidates
    ]
    parsed = Page(
        make_page(dataclasses.replace(solution, candidates=raw), "a.gr")
    )
    assert "only the scale fitted" in parsed.texts["views"]


@pytest.mark.parametrize(
    ("missing", "words"),
    [("plotly", ["-t", "html"]), ("matplotlib", ["-p", "png"])],
)
def test_missing_module(missing, words, tmp_path, monkeypatch, capfd):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == missing else found(name, *rest),
    )
    r = np.arange(0, 20, 0.01)
    np.savetxt(tmp_path / "a.gr", np.column_stack([r, np.sin(r)]))
    assert (
        cbldm.main([str(tmp_path / "a.gr"), "--composition=Pt", *words]) == 1
    )
    err = capfd.readouterr().err
    assert f"pip install {missing}" in err


@pytest.fixture(scope="module")
def browser():
    driver = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")
    with driver.sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=chromium,
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ],
        )
        yield browser
        browser.close()


def wait_for(view, expression):
    """As `wait_for_function`, which the page's own policy forbids."""
    for _ in range(300):
        if view.evaluate(expression):
            return
        view.wait_for_timeout(100)
    raise AssertionError(f"never true: {expression}")


def ranks(view):
    return view.locator("#candidates tbody td:first-child").all_inner_texts()


def test_in_a_browser(browser, text, tmp_path):
    (tmp_path / "a.html").write_text(text, encoding="utf-8")
    view = browser.new_page()
    wrong, asked = [], []
    view.on("pageerror", lambda error: wrong.append(str(error)))
    view.on(
        "console",
        lambda said: wrong.append(said.text) if said.type == "error" else None,
    )
    view.on("request", lambda request: asked.append(request.url))
    view.goto((tmp_path / "a.html").as_uri())
    wait_for(
        view, "document.querySelectorAll('.structure canvas').length >= 3"
    )
    assert view.locator(".curve .scatterlayer .trace").count() == 9

    assert ranks(view) == ["1", "2", "3"]
    view.get_by_role("button", name="atoms").click()
    assert ranks(view) == ["3", "2", "1"]
    view.get_by_role("button", name="atoms").click()
    assert ranks(view) == ["1", "2", "3"]
    view.get_by_role("button", name="type").click()
    assert ranks(view) == ["2", "3", "1"]
    head = view.locator("#candidates th[aria-sort]")
    assert head.get_attribute("aria-sort") == "ascending"
    assert head.inner_text() == "type"

    # Printers are given pictures: a WebGL canvas would come out empty.
    wait_for(
        view,
        "[...document.querySelectorAll('.still[src^=\"data:image\"]')]"
        ".filter(still => still.complete).length === 6",
    )
    assert not view.locator(".still").first.is_visible()
    view.emulate_media(media="print")
    assert view.locator(".still").first.is_visible()
    assert not view.locator(".live").first.is_visible()

    view.emulate_media(media="screen")
    for width in (1280, 1024):
        view.set_viewport_size({"width": width, "height": 720})
        wide = "document.documentElement.scrollWidth <= innerWidth"
        wait_for(view, wide)

    assert wrong == []
    assert [u for u in asked if not u.startswith(("file:", "blob:"))] == []


def test_many_structures_stay_within_what_browsers_keep(
    browser, solution, tmp_path
):
    many = dataclasses.replace(solution, candidates=solution.candidates * 4)
    write_page(many, tmp_path / "a.html")
    view = browser.new_page()
    view.goto((tmp_path / "a.html").as_uri())
    for rank in (12, 6, 1, 12):
        view.locator(f"#rank-{rank}").scroll_into_view_if_needed()
        view.wait_for_selector(f"#rank-{rank} .structure canvas")
        drawn = view.locator(".structure:has(canvas)").count()
        assert 1 <= drawn <= 8
        view.wait_for_selector(
            f"#rank-{rank} .structure .still", state="attached"
        )
        assert view.locator(f"#rank-{rank} .still").count() == 2
    assert view.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.fixture(scope="module")
def edited(solution):
    """With a front, whose middle point is as far as the data go."""
    steps = [
        (55, 7.5, 0.1534, (), False),
        (54, 8.0, 0.1234, ("sites",), True),
        (53, 9.5, 0.1200, ("sites", "strain"), False),
    ]
    points = tuple(
        FrontPoint("library", "fcc", n, rw, rough, 1.1, edits, 2.0, knee)
        for n, rough, rw, edits, knee in steps
    )
    best = dataclasses.replace(
        solution.candidates[0], flags=("polished: strain, surface",)
    )
    return dataclasses.replace(
        solution, candidates=[best], front=points, groups=()
    )


def test_front_and_edits_are_told(edited, page):
    assert "front" not in page.texts
    assert json.loads(page.texts["data"])["front"] == []
    assert "cbldm -c NAME.res" in page.texts["body"]
    told = Page(make_page(edited, "a.gr"))
    assert "strain, surface" in told.texts["candidates"]
    assert "0.1234" in told.texts["front"]
    assert told.texts["front"].count("sites as far as the data go") == 1
    (plot,) = (a for _, a in told.elements if a.get("id") == "front-plot")
    assert plot["role"] == "img"
    assert "fcc, 54 atoms, edited: sites" in plot["aria-label"]
    alone = dataclasses.replace(edited, front=edited.front[1:2])
    told = Page(make_page(alone, "a.gr"))
    assert "0.1234" in told.texts["front"]
    assert "front-plot" not in {a.get("id") for _, a in told.elements}


def test_front_is_drawn(browser, edited, tmp_path):
    write_page(edited, tmp_path / "a.html")
    view = browser.new_page()
    wrong = []
    view.on("pageerror", lambda error: wrong.append(str(error)))
    view.goto((tmp_path / "a.html").as_uri())
    wait_for(view, "document.querySelector('#front-plot .still')?.complete")
    points = view.locator("#front-plot .scatterlayer .trace")
    assert [t.locator(".point").count() for t in points.all()] == [0, 2, 1]
    legend = view.locator("#front-plot .legendtext").all_text_contents()
    assert legend == ["front", "structures", "as far as the data go"]
    # The one marked is told when the mouse is over it.
    points.nth(2).locator(".point").hover(force=True)
    said = view.locator("#front-plot .hoverlayer").text_content
    for _ in range(50):
        if said():
            break
        view.wait_for_timeout(100)
    assert "fcc, 54 atoms, edited: sites" in said()
    assert "roughness 8.0, Rw 0.1234" in said()
    assert wrong == []
