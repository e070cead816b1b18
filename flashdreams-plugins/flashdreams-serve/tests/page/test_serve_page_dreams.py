"""A dream is begun, paused, kept, gone back to, saved, and begun otherwise."""

import numpy as np
from page_visits import IN_A_BROWSER, Visit, served

from flashdreams_serve.media.encoders import encoder_for

pytestmark = IN_A_BROWSER

GREY = np.full((64, 64, 3), 105, dtype=np.uint8)


def test_pause_restart_keep_and_save(browser, racer):
    with Visit(browser, racer) as visit:
        page = visit.page
        visit.is_live()
        page.keyboard.press("p")
        visit.until("now.state === 'paused'")
        page.wait_for_timeout(300)
        frames = visit.now("frames")
        page.wait_for_timeout(500)
        assert visit.now("frames") == frames
        page.get_by_role("button", name="Resume").click()
        visit.until(f"now.state === 'live' && now.frames > {frames}")

        page.get_by_role("button", name="Keep this moment").click()
        page.get_by_text("This moment is kept").wait_for()
        kept = visit.now("header")["chunk"]
        visit.until(f"now.header.chunk > {kept + 30}")
        page.get_by_role("button", name="Go back").click()
        visit.until(f"now.header.chunk < {kept + 20}")

        page.keyboard.press("r")
        visit.until(f"now.header.chunk < {min(kept, 15)}")

        page.keyboard.press("v")
        with page.expect_download() as download:
            page.get_by_role("link", name="Download").click()
        assert download.value.path().read_bytes()[4:8] == b"ftyp"


def test_another_beginning_is_chosen(browser, racer):
    with Visit(browser, racer) as visit:
        page = visit.page
        visit.is_live()
        page.keyboard.press("n")
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Hairpin").check(force=True)
        dialog.get_by_text("More", exact=True).click()
        dialog.get_by_label("Seed").fill("7")
        dialog.get_by_role("button", name="Dream", exact=True).click()
        visit.until("now.header.chunk < 10")
        assert dialog.is_hidden()

        visit.until("now.header.chunk > 15")
        page.get_by_role("button", name="New dream").click()
        dialog.get_by_label("An image of your own").set_input_files(
            {"name": "road.png", "mimeType": "image/png", "buffer": encoder_for("png").encode(GREY).data}
        )
        dialog.get_by_alt_text("The image that it begins with").wait_for()
        dialog.get_by_role("button", name="Dream", exact=True).click()
        visit.until("now.header.chunk < 10")


def test_it_begins_with_a_start_or_with_an_image_and_never_with_both(browser, racer):
    with Visit(browser, racer) as visit:
        page = visit.page
        visit.is_live()
        page.keyboard.press("n")
        dialog = page.get_by_role("dialog")
        file, image = dialog.get_by_label("An image of your own"), dialog.get_by_alt_text("The image that")
        chosen = dialog.locator("input[name=start]:checked")

        file.set_input_files({"name": "no.png", "mimeType": "image/png", "buffer": b"no image"})
        dialog.get_by_text("“no.png” is no image that can be read").wait_for()
        assert (image.is_hidden(), chosen.count()) == (True, 1)

        road = {"name": "road.png", "mimeType": "image/png", "buffer": encoder_for("png").encode(GREY).data}
        file.set_input_files(road)
        image.wait_for()
        assert chosen.count() == 0
        dialog.get_by_label("Hairpin").check(force=True)
        image.wait_for(state="hidden")
        file.set_input_files(road)
        image.wait_for()
        dialog.get_by_role("button", name="Dream", exact=True).click()
        page.get_by_text("Begun again from your image.").wait_for()


def test_a_model_with_a_prompt_asks_for_it(browser, tmp_path):
    with (
        served(tmp_path, slug="self-forcing-tiny") as address,
        Visit(browser, address) as visit,
    ):
        visit.until("now.state === 'choosing'")
        field = visit.page.get_by_label("Prompt", exact=True)
        assert field.evaluate("field => field === document.activeElement")
        dream = visit.page.get_by_role("button", name="Dream", exact=True)
        field.fill("a" * 2500)
        visit.page.get_by_text("2500 of 2000 characters").wait_for()
        assert dream.is_disabled()
        field.fill("a paper boat on a river")
        dream.click()
        visit.until("now.state === 'live' && now.frames > 0", 60)
