"""How wide an element of the sum is: 32 bits where it surely fits, else 64."""

from protocol.privacy.limits import largest_sum
from protocol.privacy.plan import compile_plan
from protocol.secagg.ring import Layout
from protocol.study.document import parse_study
from protocol.study.study import Study


def _bounded(rows: int | None, *, threshold: int = 3) -> Study:
    text = "" if rows is None else f"\n[unit]\nmax_rows_per_site = {rows}\n"
    cohort = f"[cohort]\nn_min = {threshold}\ntolerated_colluders = 0\nthreshold = {threshold}\n"
    return parse_study(f"""
format = "concause-study/1"
name = "widths"
title = "Widths"
author = "A"
description = "How wide an element is"
expires = 2030-12-31
{text}
[budget]
rho = 0.5
{cohort}
[trust]
aggregation = "masking"
[variables.a]
kind = "categorical"
levels = ["1", "2", "3", "4", "5"]
[variables.b]
kind = "categorical"
levels = ["1", "2", "3", "4", "5"]
[graph]
edges = ["a -> b"]
""")


def test_without_a_bound_on_rows_every_element_is_wide() -> None:
    assert compile_plan(_bounded(None)).layout.narrow == 0


def test_elements_that_are_surely_small_are_narrow() -> None:
    plan = compile_plan(_bounded(1000))
    assert plan.layout.narrow == plan.length


def test_the_width_is_chosen_block_by_block_and_the_narrow_come_last() -> None:
    plan = compile_plan(_bounded(2**26))
    assert [block.narrow for block in plan.blocks] == [False, True, True, True]
    assert [block.clique for block in plan.blocks] == [("a", "b"), (), ("a",), ("b",)]
    assert plan.layout == Layout(1 + 5 + 5 + 25, 11)
    assert [block.offset for block in plan.blocks] == [0, 25, 26, 31]


def test_a_block_is_narrow_up_to_the_very_bound() -> None:
    study = _bounded(2**26)
    (wide, *_) = compile_plan(study).blocks
    # Five sites can run it: 2t > n. A row adds at most 4 x 4 to an element of (a, b).
    noise = 64 * 3 * wide.site_scale  # sqrt(5) is below 3
    assert largest_sum(study, 16, wide.site_scale) == 5 * 2**26 * 16 + noise
    most = int((2**31 - noise) // 16 // 5)
    assert compile_plan(_bounded(most)).block(("a", "b")).narrow
    assert not compile_plan(_bounded(most + 1)).block(("a", "b")).narrow


def test_more_sites_need_more_room() -> None:
    rows = 2**23
    assert compile_plan(_bounded(rows)).block(("a", "b")).narrow
    assert not compile_plan(_bounded(rows, threshold=30)).block(("a", "b")).narrow
