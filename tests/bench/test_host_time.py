"""Host time is what passes between operators, whatever the operators themselves take."""

import time

import torch

from flashdreams.bench.host_time import host_time

SIZE = 400


def test_python_between_operators_counts_and_operators_do_not():
    square = torch.ones(SIZE, SIZE)

    def products():
        for _ in range(5):
            square @ square

    def slow_products():
        for _ in range(5):
            square @ square
            time.sleep(0.01)

    fast, slow = host_time(products), host_time(slow_products)
    assert slow.operators == fast.operators == 5  # what a product calls in turn is not counted
    assert slow.outside > 0.05 > fast.outside
    assert fast.inside > 0


def test_the_two_parts_make_up_the_whole():
    taken = host_time(lambda: torch.ones(3).add(1))
    assert taken.operators == 2
    assert taken.inside + taken.outside == taken.wall
