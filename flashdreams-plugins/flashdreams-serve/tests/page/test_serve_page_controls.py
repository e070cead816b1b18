"""Keys, buttons, fingers and gamepads steer, and are let go."""

from page_visits import IN_A_BROWSER, PHONE, Visit, served

pytestmark = IN_A_BROWSER


def test_everything_can_be_done_with_the_keyboard(browser, racer):
    with Visit(browser, racer) as visit:
        page = visit.page
        visit.is_live()
        reached = []
        for _ in range(16):
            page.keyboard.press("Tab")
            reached.append(page.evaluate("probe.focus()"))
        names = [name for name, _ in reached]
        for wanted in ("Steer down", "Steer up", "Gas", "Brake", "Pause", "Restart", "Save", "Full screen"):
            assert any(name.startswith(wanted) for name in names), (wanted, names)
        assert {outline for name, outline in reached if name} == {"solid"}

        page.get_by_role("button", name="Gas").focus()
        page.keyboard.down("Enter")
        visit.until("now.seq === 1 && now.header.seq === 1")
        page.keyboard.up("Enter")
        visit.until("now.header.seq === 2")
        page.get_by_role("button", name="Pause").focus()
        page.keyboard.press("Space")
        visit.until("now.state === 'paused'")


def test_keys_are_let_go_when_nobody_can_hold_them(browser, racer):
    with Visit(browser, racer) as visit:
        visit.is_live()
        visit.page.keyboard.down("ArrowUp")
        visit.until("now.header.seq === 1")
        assert visit.page.locator(".hold.lit").count() == 1
        visit.page.evaluate("dispatchEvent(new Event('blur'))")
        visit.until("now.header.seq === 2")
        assert visit.page.locator(".hold.lit").count() == 0


def test_a_button_that_loses_the_focus_is_let_go(browser, racer):
    with Visit(browser, racer) as visit:
        visit.is_live()
        visit.page.get_by_role("button", name="Gas").focus()
        visit.page.keyboard.down("Enter")
        visit.until("now.header.seq === 1")
        visit.page.keyboard.press("Tab")
        visit.until("now.header.seq === 2")
        assert visit.page.locator(".hold.lit").count() == 0


def test_what_is_held_counts_in_the_next_rollout(browser, racer):
    with Visit(browser, racer) as visit:
        visit.is_live()
        visit.page.keyboard.down("ArrowUp")
        visit.until("now.header.seq === 1")
        visit.page.keyboard.press("r")
        visit.until("now.seq === 2 && now.header.seq === 2")
        assert visit.page.locator(".hold.lit").count() == 1


def test_nothing_lights_up_while_nothing_obeys(browser, racer):
    with Visit(browser, racer) as visit:
        visit.is_live()
        visit.leave()
        visit.until("now.state === 'ended'")
        visit.page.keyboard.down("ArrowUp")
        assert visit.page.locator(".hold.lit").count() == 0
        assert visit.page.locator("#figures-button .summary").inner_text().startswith("\N{EN DASH} fps")


def test_controls_bear_the_time_at_which_they_were_wanted(browser, racer):
    with Visit(browser, racer) as visit:
        assert visit.page.evaluate("probe.stamps()") == [[1, 10], [0, 20]]


def test_fingers_drive(browser, racer):
    with Visit(browser, racer, size=PHONE, touch=True) as visit:
        visit.is_live()
        touch = visit.context.new_cdp_session(visit.page)
        buttons = [visit.page.locator(f".hold[aria-label^='{name}']") for name in ("Steer up", "Gas")]
        boxes = [button.bounding_box() for button in buttons]
        assert all(min(box["width"], box["height"]) >= 44 for box in boxes)
        points = [
            {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2, "id": number}
            for number, box in enumerate(boxes)
        ]
        touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": points})
        visit.until("now.seq >= 1 && now.header.seq === now.seq")
        assert visit.page.locator(".hold.lit").count() == 2
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        visit.until("now.seq >= 2 && now.header.seq === now.seq")
        assert visit.page.locator(".hold.lit").count() == 0


def test_a_gamepad_drives(browser, racer):
    with Visit(browser, racer) as visit:
        visit.is_live()
        visit.page.evaluate("probe.plugInGamepad()")
        visit.page.evaluate("probe.pad.axes[0] = -1, probe.pad.buttons[7].value = 0.5")
        visit.until("now.seq >= 1 && now.header.seq === now.seq")
        assert visit.page.evaluate("probe.gauges()") == ["0.0%", "43.0%", "0.0%"]
        seq = visit.now("seq")
        visit.page.evaluate("probe.pad.axes[0] = 0.05, probe.pad.buttons[7].value = 0")
        visit.until(f"now.seq > {seq} && now.header.seq === now.seq")


def test_a_server_that_keeps_no_snapshots_offers_none(browser, tmp_path):
    with served(tmp_path, "--snapshot-memory", "0") as address, Visit(browser, address) as visit:
        visit.is_live()
        assert visit.page.get_by_role("button", name="Keep").is_disabled()
        assert visit.page.get_by_role("button", name="Save").is_enabled()
