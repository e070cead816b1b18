"""Who asks too often is told to wait, and nobody else is."""

from __future__ import annotations

from pathlib import Path

import pytest
from security_clients import TOKEN, app_of, client_of, code_of

from flashdreams_serve.host.host import Host
from flashdreams_serve.web.rates import Bucket, Rates


def test_a_client_that_asks_too_often_is_told_to_wait_and_others_are_not(host: Host, tmp_path: Path) -> None:
    app = app_of(host, tmp_path, dict(requests_per_second=2.0))
    eager, calm = client_of(app, client=("10.0.0.1", 1)), client_of(app, client=("10.0.0.2", 1))
    answers = [eager.get("/v1/models") for _ in range(8)]
    assert [answer.status_code for answer in answers[:4]] == [200] * 4
    assert answers[-1].status_code == 429
    assert code_of(answers[-1]) == "too_many_requests"
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert calm.get("/v1/models").status_code == 200
    assert eager.get("/healthz").status_code == 200
    assert eager.get("/").status_code == 200  # the page is many files


def test_guessing_tokens_at_the_page_counts_too(host: Host, tmp_path: Path) -> None:
    client = client_of(app_of(host, tmp_path, dict(requests_per_second=2.0), token=TOKEN))
    statuses = [client.get("/", headers={"authorization": f"Bearer {i}"}).status_code for i in range(8)]
    assert statuses[:4] == [401] * 4
    assert statuses[-1] == 429


def test_a_bucket_lets_through_a_burst_and_then_its_rate() -> None:
    now = [0.0]
    bucket = Bucket(10.0, clock=lambda: now[0])
    assert sum(bucket.take() for _ in range(100)) == 20
    now[0] += 1.0
    assert sum(bucket.take() for _ in range(100)) == 10
    assert bucket.seconds_to_next == pytest.approx(0.1)


def test_only_so_many_addresses_are_remembered() -> None:
    rates = Rates(1.0, most=10)
    for number in range(100):
        rates.bucket(f"10.0.0.{number}")
    assert len(rates) == 10
