"""The report in a browser, as a reader has it: on a phone and on a desktop, in light and in dark, by mouse, finger and keys.

Needs Playwright and a Chromium of the system's (none is downloaded). Where they are missing the tests are skipped, but not where
CI is set.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from test_report import Page as Parsed
from test_report import written

from transfercli.report.page import html

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

SCREENS: dict[str, dict[str, Any]] = {
    "phone": {"viewport": {"width": 375, "height": 740}, "has_touch": True, "is_mobile": True},
    "desktop": {"viewport": {"width": 1280, "height": 900}},
}
CHART = ".panel .chart"
FIRST = f"#accuracy {CHART} >> nth=0"
Open = Callable[..., "Page"]


@pytest.fixture(scope="session")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of random and man-made/natural halves, both targets, in which a network diverged."""
    folder = tmp_path_factory.mktemp("browser")
    diverged = {"status": "diverged at step 7", "top1": None, "top5": None, "loss": None}
    study = written(folder / "study", ("random-0", "random-1", "man-made-natural"), "AB", changes={"A5B": diverged})
    path = folder / "report.html"
    path.write_text(html(study), encoding="utf-8")
    return path


@pytest.fixture
def open_page(browser: "Browser", file: Path) -> Iterator[Open]:
    """Open the report on a screen. In the end the console must have been silent, and nothing but the file loaded."""
    contexts, said, asked, loaded = [], [], [], set()

    def opened(screen: str = "desktop", scheme: str = "light", path: Path = file, **more: Any) -> "Page":
        context = browser.new_context(color_scheme=scheme, **{**SCREENS[screen], **more})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        loaded.add(path.as_uri())
        page.goto(path.as_uri())
        if more.get("java_script_enabled", True):
            page.wait_for_selector(f"{CHART} svg")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert said == []
    assert {url for url in asked if not url.startswith("data:")} <= loaded


def middle(point: "Locator") -> tuple[float, float]:
    """Where a point is on the screen, once it is in view."""
    point.scroll_into_view_if_needed()
    box = point.locator("path").bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def luminance(color: str) -> float:
    """Of a colour such as rgb(20, 23, 26), after the WCAG."""
    parts = [float(part) / 255 for part in color[color.index("(") + 1 : -1].split(",")[:3]]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def shown(page: "Page") -> str:
    return page.locator("#network .name").inner_text()


def known(page: "Page") -> dict[str, str]:
    return dict(
        page.evaluate("[...document.querySelectorAll('.known div')].map((fact) => [...fact.children].map((e) => e.textContent))")
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", SCREENS)
def test_the_page_fits_its_screen_and_its_text_can_be_read(open_page: Open, screen: str, scheme: str) -> None:
    page = open_page(screen, scheme)
    width, inner = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert width <= inner
    sizes = page.evaluate(
        """[...document.querySelectorAll(".chart text")].map((text) => {
            const height = text.ownerSVGElement.getBoundingClientRect().height / text.ownerSVGElement.getAttribute("height");
            return parseFloat(getComputedStyle(text).fontSize) * height;
        })"""
    )
    assert len(sizes) > 50 and min(sizes) >= 11
    outside = page.evaluate(
        """[...document.querySelectorAll(".chart text")].filter((text) => {
            const [inner, outer] = [text, text.ownerSVGElement].map((each) => each.getBoundingClientRect());
            return inner.left < outer.left - 1 || inner.right > outer.right + 1;
        }).map((text) => text.textContent)"""
    )
    assert outside == []


@pytest.mark.parametrize("study", ["random", "named"])
@pytest.mark.parametrize("screen", SCREENS)
def test_the_first_screen_is_the_answer(open_page: Open, file: Path, tmp_path: Path, screen: str, study: str) -> None:
    """Three sentences and the figure of accuracies; of halves that are different tasks, where each has its own, most of it."""
    path = file
    if study == "named":
        path = tmp_path / "report.html"
        named = written(tmp_path / "study", ("pets",), "AB", names={"pets": ("cats that are rather small", "dogs")})
        path.write_text(html(named), encoding="utf-8")
    page = open_page(screen, path=path)
    sentences = page.locator("#answer p")
    assert sentences.count() == 3
    height = SCREENS[screen]["viewport"]["height"]
    last, chart = sentences.nth(2).bounding_box(), page.locator(f"{FIRST} >> svg").bounding_box()
    assert last is not None and chart is not None
    assert last["y"] + last["height"] <= chart["y"]
    seen = (height - chart["y"]) / chart["height"]
    assert seen >= (1 if study == "random" else 0.6)
    plot, *names = page.locator(FIRST).evaluate(
        "(box) => [box.querySelector('.grid'), ...box.querySelectorAll('.end')].map((each) => each.getBoundingClientRect().width)"
    )
    assert plot > 0.5 * chart["width"] and max(names) <= 0.31 * chart["width"]


def test_dark_is_dark_and_the_base_stands_out(open_page: Open) -> None:
    paper = {}
    for scheme in ("light", "dark"):
        page = open_page("desktop", scheme)
        paper[scheme], base, text, *treatments = page.evaluate(
            """["body", '.point[data-treatment="base"] path', "p",
                ...[...document.querySelectorAll(".legend .marker path")].map((path, i) => i)].map((what) => {
                const element = typeof what === "string" ? document.querySelector(what)
                    : document.querySelectorAll(".legend .marker path")[what];
                const style = getComputedStyle(element);
                const canvas = document.createElement("canvas").getContext("2d");
                canvas.fillStyle = what === "body" ? style.backgroundColor : what === "p" ? style.color : style.fill;
                canvas.fillRect(0, 0, 1, 1);
                return `rgb(${[...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).join(", ")})`;
            })"""
        )
        assert contrast(base, paper[scheme]) > 10
        assert contrast(text, paper[scheme]) > 4.5
        assert scheme == "light" or min(contrast(color, paper[scheme]) for color in treatments) > 3
    assert luminance(paper["light"]) > 0.9 and luminance(paper["dark"]) < 0.02


@pytest.mark.parametrize("screen", SCREENS)
def test_every_network_is_a_point(open_page: Open, file: Path, screen: str) -> None:
    page = open_page(screen)
    data = Parsed(file.read_text(encoding="utf-8")).data
    drawn = page.evaluate("[...document.querySelectorAll('#accuracy .point')].map((point) => Number(point.dataset.network))")
    assert sorted(drawn) == list(range(len(data["networks"])))
    gains = page.locator("#gain .point").count()
    assert gains == sum(network["treatment"] != "base" for network in data["networks"])
    crosses = page.locator("#accuracy .point.cross")
    assert [crosses.nth(i).get_attribute("aria-label").split(" of ")[0] for i in range(crosses.count())] == ["A5B"] * 3  # type: ignore[union-attr]


def test_the_mouse_shows_a_network_and_a_click_keeps_it(open_page: Open) -> None:
    page = open_page("desktop")
    point = page.locator(FIRST).locator('.point[aria-label^="R6B of random-1"]')
    page.mouse.move(*middle(point))
    assert shown(page) == "R6B random-1"
    facts = known(page)
    label = point.get_attribute("aria-label")
    assert label is not None and all(f"{what} {value}" in label for what, value in facts.items())
    assert set(facts) == {"top-1", "95% interval", "over baseB", "top-5", "ten best", "loss", "training", "status"}
    curve = page.locator("#network .curve")
    assert curve.locator("path.line").count() == 2
    assert curve.locator(".end").all_text_contents() == ["baseB", "R6B"]
    page.mouse.move(5, 5)
    assert shown(page) != "R6B random-1"
    page.mouse.click(*middle(point))
    page.mouse.move(5, 5)
    assert shown(page) == "R6B random-1"
    assert page.locator("#gain .point.shown").count() == 1  # the same network is marked in the other figure
    page.locator("#network .close").click()
    assert shown(page) != "R6B random-1"


def test_a_finger_opens_a_network_and_closes_it(open_page: Open) -> None:
    page = open_page("phone")
    panel = page.locator("#network")
    assert not panel.is_visible()
    point = page.locator(FIRST).locator('.point[aria-label^="R7A of random-0"]')
    page.touchscreen.tap(*middle(point))
    assert panel.is_visible() and shown(page) == "R7A random-0"
    assert page.locator("#network .curve path.line").count() == 2
    top = panel.bounding_box()
    assert top is not None and middle(point)[1] < top["y"]  # what was tapped stays in view above the panel
    page.locator("#network .close").tap()
    assert not panel.is_visible()


def test_keys_go_from_network_to_network(open_page: Open) -> None:
    page = open_page("desktop")
    page.locator("#accuracy .legend button").last.focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.matches('#accuracy .point')")
    seen = [shown(page)]
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft"):
        page.keyboard.press(key)
        seen.append(shown(page))
    assert len(set(seen)) == 3 and seen[3] == seen[1]
    page.keyboard.press("ArrowDown")
    below = shown(page)
    assert below != seen[3] and page.evaluate("document.activeElement.matches(':focus-visible')")
    page.keyboard.press("ArrowUp")
    assert shown(page) == seen[3]
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowRight")
    assert shown(page) == seen[2]
    page.evaluate("document.activeElement.blur()")
    assert shown(page) == seen[3]
    page.keyboard.press("Tab")
    page.keyboard.press("Escape")
    assert page.locator("#network .close").is_hidden()


def test_the_legend_hides_a_treatment_and_shows_it_again(open_page: Open) -> None:
    page = open_page("desktop")
    button = page.locator('#accuracy .legend [data-treatment="RnB"]').first
    everything = page.locator(".panel svg [data-treatment='RnB']").count()
    ticks = page.locator(FIRST).locator("text").all_text_contents()
    assert everything > 42
    button.click()
    assert page.locator(".panel svg [data-treatment='RnB']").count() == 0
    assert page.locator('.legend [data-treatment="RnB"][aria-pressed="false"]').count() == 2  # in both figures
    assert page.locator(FIRST).locator("text").all_text_contents() != ticks  # the others have the room
    button.click()
    assert page.locator(".panel svg [data-treatment='RnB']").count() == everything


def test_a_page_with_all_treatments_hidden_is_empty_and_whole(open_page: Open) -> None:
    page = open_page("desktop")
    buttons = page.locator("#accuracy .legend button")
    for i in range(buttons.count()):
        buttons.nth(i).click()
    assert page.locator(".point").count() == 0
    assert page.locator(f"{CHART} svg").count() == 4
    assert page.evaluate("!document.body.innerHTML.includes('NaN')")


def test_the_published_study_is_drawn_beside(open_page: Open) -> None:
    page = open_page("desktop")
    assert page.locator(".beside").count() == 0
    page.locator("#published").check()
    treatments = set(page.evaluate("[...document.querySelectorAll('#gain .beside')].map((line) => line.dataset.treatment)"))
    assert treatments == {"BnB", "BnB+", "AnB", "AnB+"}
    page.locator("#published").uncheck()
    assert page.locator(".beside").count() == 0


def wait_for(page: Any, expression: str) -> None:
    """Until it is true, at most ten seconds. Not wait_for_function, whose repeated checks the page's own policy forbids."""
    for _ in range(200):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise AssertionError(expression)


def test_a_redraw_leaves_the_keyboard_where_it_was(open_page: Open) -> None:
    page = open_page("desktop")
    page.locator("#accuracy .legend button").last.focus()
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    focused = "document.activeElement.dataset.network"
    before = page.evaluate(focused)
    page.evaluate("document.activeElement.closest('svg').dataset.old = 1")
    page.set_viewport_size({"width": 700, "height": 800})
    wait_for(page, "!document.querySelector('.panel .chart svg[data-old]')")
    assert before is not None and page.evaluate(focused) == before
    page.keyboard.press("ArrowRight")
    assert page.evaluate(focused) not in (None, before)


def test_a_network_that_failed_does_not_flatten_the_figure(open_page: Open) -> None:
    """A5B diverged and is shown at chance, 50 points below its base; without RnB no other network is 20 below."""
    page = open_page("desktop")
    page.locator('#gain .legend [data-treatment="RnB"]').first.click()
    chart = f"#gain {CHART} >> nth=0"
    ticks = page.locator(chart).locator("text[text-anchor=end]").all_text_contents()
    assert min(float(tick.replace("−", "-")) for tick in ticks) > -20
    crosses, others, axis = page.locator(chart).evaluate(
        """(box) => {
            const heights = (which) => [...box.querySelectorAll(which)].map((point) => point.getCTM().f);
            return [heights(".point.cross"), heights(".point:not(.cross)"), box.clientHeight - 44];
        }"""
    )
    assert crosses == pytest.approx([axis] * 2, abs=1) and len(others) == 110 and max(others) < axis


def test_bars_that_leave_the_panel_are_pale(open_page: Open, tmp_path: Path) -> None:
    """Of one pair each, by the pictures alone; without the steep lines some are far longer than all else. Two have none."""
    path = tmp_path / "report.html"
    path.write_text(html(written(tmp_path / "study", changes={"B4B": {"top1": 0.57}})), encoding="utf-8")
    page = open_page("desktop")
    assert page.locator(f"#gain {CHART} >> nth=0").locator(".bar").count() == 34  # of A5B two are left
    assert page.locator(f"#gain {CHART} >> nth=1").locator(".bar").count() == 1  # of A5B, which has one
    page = open_page("desktop", path=path)
    for treatment in ("AnB", "AnB+", "RnB"):
        page.locator(f'#gain .legend [data-treatment="{treatment}"]').first.click()
    bars = page.locator(f"#gain {CHART} >> nth=0").evaluate(
        """(box) => [...box.querySelectorAll(".bar")].map((bar) => {
            const ends = ["y1", "y2"].map((name) => Number(bar.getAttribute(name)));
            const pale = Number(getComputedStyle(bar).opacity) < 0.5;
            return [pale, ends.some((end) => end === 28 || end === box.clientHeight - 44)];
        })"""
    )
    assert all(pale == beyond for pale, beyond in bars)
    assert 0 < sum(pale for pale, _ in bars) < len(bars)


@pytest.mark.parametrize("screen", SCREENS)
def test_each_treatment_has_its_learning_curves(open_page: Open, screen: str) -> None:
    page = open_page(screen)
    wait_for(page, "document.querySelectorAll('.learning svg').length === 10")
    boxes = page.locator(".learning .chart")
    for i in range(10):
        assert boxes.nth(i).locator("path.line").count() == 8
        assert boxes.nth(i).locator(".end").all_text_contents() == ["base", *"1234567"]
    places = page.evaluate("[...document.querySelectorAll('.learning .chart')].map((box) => box.getBoundingClientRect().left)")
    assert len(set(places)) == (1 if screen == "phone" else 3)


def test_charts_are_drawn_anew_where_the_window_changes(open_page: Open) -> None:
    page = open_page("desktop")
    wide = page.locator(f"{FIRST} >> svg").get_attribute("width")
    page.set_viewport_size({"width": 600, "height": 800})
    wait_for(page, "document.querySelector('.panel .chart svg').getAttribute('width') < 600")
    assert wide is not None and int(wide) > 600
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_without_script_the_words_and_tables_are_there(open_page: Open) -> None:
    page = open_page("desktop", java_script_enabled=False)
    assert page.get_by_text("did not run").is_visible()
    assert page.locator(".stage").is_hidden()
    assert page.locator("#conclusion li").count() > 4
    assert page.get_by_role("table").count() >= 4
