"""One file, no network, no code but its own, whatever the cell types are called."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from pancyte.report import Colouring, Confusion, Provenance, Report, Scatter, render, write_report
from pancyte.report.columns import pack

HOSTILE = (
    "</script><script>document.title='owned'</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }} &amp; <!-- ",
)
VOID = {"meta", "link", "br", "img", "input", "hr"}
SHAPES = {"line", "path", "circle", "rect"}


class Page(HTMLParser):
    """Elements of a page with their attributes and text; complains where tags do not match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        assert len(attrs) == len(dict(attrs)), f"<{tag}> repeats an attribute"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert tag in SHAPES, f"<{tag}/> does not close itself in HTML"
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else "", data))

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    def text(self, tag):
        return ["".join(data for where, data in self.texts if where == tag)]


@pytest.fixture(scope="session")
def html(report) -> str:
    return render(report)


@pytest.fixture(scope="session")
def page(html) -> Page:
    return Page(html)


def element_text(html: str, opening: str) -> str:
    start = html.index(opening) + len(opening)
    return html[start : html.index("</", start)]


def test_policy_allows_exactly_this_script_and_this_style(html, page):
    (policy,) = (
        meta["content"]
        for meta in page.all("meta")
        if meta.get("http-equiv") == "Content-Security-Policy"
    )
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    for kind, opening in {"script-src": "<script>", "style-src": "<style>"}.items():
        text = html.split(opening)[1].split(f"</{opening[1:]}")[0]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[kind] == f"'sha256-{digest}'"
    assert html.index("Content-Security-Policy") < html.index("<style>") < html.index("<script>")


def test_nothing_points_out_of_the_file(html, page):
    assert "://" not in html
    assert not re.search(r"@import|url\(|\bfetch\(|XMLHttpRequest|import\(|\beval\(", html)
    for tag, attributes in page.elements:
        assert "src" not in attributes, tag
        link = attributes.get("href")
        assert link is None or link.startswith("#") or link == "data:,"


def test_no_inline_style_or_handler_that_the_policy_would_block(page):
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name == "style" or name.startswith("on")], tag


def test_ids_are_unique_and_links_lead_somewhere(page):
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {link["href"][1:] for link in page.all("a")} <= set(ids)


def test_page_is_readable_without_eyes(page):
    assert len(page.all("h1")) == len(page.all("main")) == len(page.all("nav")) == 1
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("caption")) == len(page.all("table"))
    assert all("scope" in attributes for attributes in page.all("th"))
    tops = [a for a in page.all("svg") if "x" not in a and a.get("aria-hidden") != "true"]
    charts = [a for a in tops if a.get("role") == "img" and a.get("aria-label")]
    inside_hidden_foot = len(page.all("tfoot"))
    assert len(charts) == len(tops) - inside_hidden_foot > 3


def test_every_chart_has_its_table(page):
    figures = len(page.all("figure"))
    assert len(page.all("details")) == figures + 1
    assert len(page.all("summary")) == figures + 1


def test_verdicts_come_before_everything_else(html, report):
    places = [html.index(verdict) for verdict in report.verdicts]
    assert places == sorted(places)
    assert places[-1] < html.index('id="cells"')


def test_scatter_data_survive_the_page(html, scatter):
    text = element_text(html, '<script type="application/json" id="scatter-data-1">')
    assert json.loads(text) == pack(scatter)


def test_the_same_report_gives_the_same_bytes(report, html, tmp_path):
    path = write_report(tmp_path / "report.html", report)
    assert path.read_text(encoding="utf-8") == html


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text(name):
    report = Report(
        title=name,
        summary=name,
        verdicts=[name],
        facts={name: name},
        scatters=[
            Scatter(name, {name: np.eye(2)}, [Colouring(name, [name, "T cell"])], [name, "b"])
        ],
        confusions=[Confusion(name, [name], [name], np.ones((1, 1), int))],
        provenance=Provenance([name], [name], {name: name}, found=[name], warnings=[name]),
    )
    html = render(report)
    page = Page(html)
    assert len(page.all("script")) == 2
    assert not page.all("img")
    assert sum(text.count(name) for where, text in page.texts if where == "h1") == 1
    assert [text for where, text in page.texts if where == "summary"]
    text = element_text(html, '<script type="application/json" id="scatter-data-1">')
    assert json.loads(text)["colourings"][0]["categories"] == sorted([name, "T cell"])
    assert "49" not in "".join(text for where, text in page.texts if where in ("h1", "li", "dd"))


def test_parts_left_out_are_left_out(report):
    page = Page(render(Report("Nothing yet")))
    assert [attributes["id"] for attributes in page.all("section")] == ["provenance"]
    assert {link["href"] for link in page.all("a")} == {"#main", "#top", "#provenance"}
    whole = {attributes.get("id") for attributes in Page(render(report)).all("section")}
    assert {"cells", "errors", "benchmark", "training", "provenance"} <= whole


def test_a_report_that_cannot_be_drawn_leaves_the_old_file(report, tmp_path):
    path = write_report(tmp_path / "report.html", report)
    before = path.read_bytes()
    bad = replace(report.training[0], log=report.training[0].log[["step"]])
    with pytest.raises(Exception, match="step"):
        write_report(path, replace(report, training=[bad]))
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["report.html"]


def test_forty_labels_fit(pancreas):
    truth = pancreas.obs["donor"].astype(str) + " " + pancreas.obs["cell_type"].astype(str)
    kept = truth[truth.isin(truth.value_counts().index[:40])]
    confusion = Confusion.from_labels("many", kept, kept)
    page = Page(render(Report("Many labels", confusions=[confusion])))
    tiles = [a for a in page.all("rect") if a["class"] == "tile"]
    assert len(tiles) == 40 * 40
    assert sum(float(tile["fill-opacity"]) for tile in tiles) == 40
