"""The page in a browser: a reader sees there what xframe found, on a screen and on a phone, by day and by night.

One Chromium serves all of it. Where there is none, these tests are skipped: test_page.py reads the same pages as text.
"""

import math
import shutil
from itertools import pairwise

import pytest

import xframe
from xframe.report.page.rendering import comparison_page
from xframe.report.view import View

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PLAN = xframe.TrainingPlan(batch_size=4, epochs=4, remainder="keep")
N = 22
HOSTILE = (
    "<script>window.taken=1</script><img src=x onerror=window.taken=1>\x00\u202e$\\frac{a}$ </style></svg>"
    "<a href='javascript:window.taken=1'>https://evil.example</a>"
)
# Of all texts that are shown the least contrast with what is behind them, and which that is.
LEAST_CONTRAST = """() => {
  const parts = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const linear = c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => [r, g, b].map(c => linear(c / 255))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  let least = [21, ""];
  for (const one of document.querySelectorAll("body *")) {
    const own = [...one.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    if (!own || one.closest("style, .skip") || !one.getClientRects().length) continue;
    const style = getComputedStyle(one);
    let behind = one, ground;
    do { ground = parts(getComputedStyle(behind).backgroundColor); behind = behind.parentElement; }
    while (behind && (ground.length < 3 || ground[3] === 0));
    const ink = parts(one instanceof SVGElement ? style.fill : style.color);
    const [a, b] = [light(ink), light(ground)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < least[0]) least = [ratio, one.outerHTML.slice(0, 120)];
  }
  return least;
}"""


@pytest.fixture(scope="module")
def browser():
    """A Chromium without a network."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def shown(browser, tmp_path):
    """Opens the page of a comparison; whatever the browser complains of, asks for or opens fails the test."""
    noticed, pages = [], []

    def shown(comparison):
        path = tmp_path / "page.html"
        path.write_text(comparison_page(comparison), encoding="utf-8")
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(5000)
        page.on("console", lambda message: noticed.append(message.text))
        page.on("pageerror", lambda error: noticed.append(str(error)))
        page.on("dialog", lambda dialog: noticed.append(dialog.message))
        page.on("request", lambda asked: asked.url == path.as_uri() or noticed.append(asked.url))
        page.goto(path.as_uri())
        pages.append(page)
        return page

    yield shown
    for page in pages:
        page.close()
    assert noticed == []


@pytest.fixture
def compared(runs):
    """The comparison of each case."""

    def trained(name, change=None, stop=None, **options):
        rows = runs.rows(PLAN, N)[:stop]
        for k, row in enumerate(rows):
            row.update(loss=2 * math.exp(-k / 9), lr=0.1 * 0.9**k, also={"gradient_norm": 1.0 + k % 3})
        if change:
            change(rows)
        return runs(rows, name, num_samples=N, **options)

    def shorter(rows):
        rows[8]["ids"] = rows[8]["ids"][:1]

    def louder(rows):
        rows[8]["loss"] += 1

    label = {"label": HOSTILE, "task": HOSTILE, "runtime": {"device": HOSTILE, "precision": HOSTILE}}
    cases = {
        "pass": lambda: (trained("a"), trained("b")),
        "fail": lambda: (trained("a", plan=PLAN), trained("b", shorter, plan=PLAN)),
        "lengths": lambda: (trained("a"), trained("b", stop=19)),
        "truncated": lambda: (trained("a"), trained("b", stop=19, cut=True)),
        "ten": lambda: [trained(f"run {i}", louder if i == 7 else None) for i in range(10)],
        "hostile": lambda: (trained("a", metadata=label), trained("b", louder, metadata={"label": "$x$ {{ 7 }}"})),
    }
    return lambda case: xframe.compare(*cases[case]())


@pytest.mark.parametrize("case", ["pass", "fail", "lengths", "truncated", "ten", "hostile"])
def test_what_is_read_is_what_was_found(compared, shown, case):
    comparison = compared(case)
    page, view = shown(comparison), View.of(comparison)
    assert page.inner_text("#verdict").upper() == view.verdict
    assert page.inner_text(".headline") == f"{view.headline}."
    results = {row[0]: row[1] for row in view.checks[1:]}
    cells = page.locator("#checks table.checks tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.cells].slice(0, 2).map(cell => cell.innerText.trim()))"
    )
    assert dict(cells) == results
    assert [result[:4] == "FAIL" for _, result in cells] == sorted(r[:4] == "FAIL" for r in results.values())[::-1]
    heads = page.locator("#difference h2")
    if view.first is None:
        assert "First difference" not in page.inner_text("body")
    else:
        assert heads.inner_text() == f"First difference: step {view.first.step}"
        assert page.locator(".around tr.first th").inner_text().startswith(str(view.first.step))
    for cause in view.causes:
        assert cause.sentence in page.inner_text("#difference")
    assert page.locator("figure svg").count() >= 5
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        least, where = page.evaluate(LEAST_CONTRAST)
        assert least >= 4.5, (scheme, where)
    assert page.evaluate("window.taken") is None
    assert page.locator("script, img, iframe, a[href^='javascript'], [onerror]").count() == 0


def test_a_page_is_read_by_keyboard_and_by_ear(compared, shown):
    page = shown(compared("fail"))
    for role in ("banner", "navigation", "main", "contentinfo"):
        assert page.get_by_role(role).count() == 1
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.innerText") == "Skip to the content"
    assert page.locator(".skip").is_visible()
    for image in page.get_by_role("img").all():
        assert len(image.get_attribute("aria-label")) > 10
    for table in page.get_by_role("table").all():
        assert table.locator("caption").count() == 1
    folded = page.locator("#losses details")
    assert not folded.locator("table").is_visible()
    folded.locator("summary").press("Enter")
    assert folded.locator("table").is_visible()
    levels = page.locator("h1, h2, h3").evaluate_all("all => all.map(one => Number(one.tagName[1]))")
    assert levels[0] == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))


def test_on_a_phone_a_table_that_goes_on_beyond_the_edge_says_so_and_is_reached_by_keyboard(compared, shown):
    page = shown(compared("fail"))
    page.set_viewport_size({"width": 390, "height": 844})
    page.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")
    regions = page.locator(".scroll").all()
    wide = [one for one in regions if one.evaluate("one => one.scrollWidth > one.clientWidth")]
    assert 0 < len(wide) < len(regions)
    for one in regions:
        said = one.evaluate("one => parseFloat(getComputedStyle(one, '::before').height)")
        assert (said > 10) == (one in wide)
        assert one.get_attribute("role") == "region"
        assert len(one.get_attribute("aria-label")) > 5
    wide[0].focus()
    assert wide[0].evaluate("one => document.activeElement === one")
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(300)  # it glides there
    assert wide[0].evaluate("one => one.scrollLeft") > 0


def test_on_paper_it_is_light_and_as_wide_as_the_paper(compared, shown):
    page = shown(compared("fail"))
    page.set_viewport_size({"width": 720, "height": 1000})  # A4 without its margins
    page.emulate_media(media="print", color_scheme="dark")
    assert not page.locator("nav").is_visible()
    assert page.locator("#losses svg").is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate(LEAST_CONTRAST)[0] >= 4.5
    assert page.evaluate("document.documentElement.scrollWidth") <= 720
