"""It can be read and fits, on screens of every size."""

import pytest
from page_visits import DESKTOP, IN_A_BROWSER, PHONE, Visit

pytestmark = IN_A_BROWSER

ON_ITS_SIDE = {"width": 844, "height": 390}
HAND_SIZES = [(375, 553), (360, 640), (320, 568), (500, 500), (390, 664), (390, 844), (844, 390), (667, 375)]
DESK_SIZES = [(1280, 800), (900, 700), (1000, 700)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE, ON_ITS_SIDE], ids=["desktop", "phone", "side"])
def test_it_can_be_read_and_fits(browser, racer, size, scheme):
    with Visit(browser, racer, size=size, scheme=scheme, touch=size is not DESKTOP) as visit:
        visit.is_live()
        assert visit.page.evaluate("probe.shifted()") < 0.1
        visit.page.keyboard.down("ArrowUp")
        for state in ("live", "paused", "ended"):
            visit.until(f"now.state === '{state}'")
            assert visit.page.evaluate("probe.nameless()") == []
            assert visit.page.evaluate("probe.faint()") == []
            assert visit.page.evaluate("probe.outside()") == []
            if state == "live":
                visit.page.keyboard.press("p")
            elif state == "paused":
                visit.leave()
        assert visit.page.get_by_role("button", name="Dream again").is_visible()


@pytest.mark.parametrize("size", HAND_SIZES + DESK_SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_nothing_lies_over_anything_else(browser, racer, size):
    size = dict(zip(("width", "height"), size, strict=True))
    with Visit(browser, racer, size=size, touch=tuple(size.values()) in HAND_SIZES) as visit:
        visit.is_live()
        assert visit.page.evaluate("probe.overlaps()") == []
        assert visit.page.evaluate("probe.outside()") == []
        heights = visit.page.eval_on_selector_all(".commands .word", "all => all.map(at => at.offsetHeight)")
        assert max(heights) < 30  # one line each
        assert visit.page.locator(".picture").bounding_box()["width"] >= 128
