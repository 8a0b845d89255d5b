"""What a pool hands out after workers have died, without starting any."""

from types import SimpleNamespace
from typing import Any, cast

from autoseg.io.pool import AHEAD, _Pool


def test_after_two_deaths_the_earliest_case_is_next() -> None:
    pool = _Pool(cast(Any, None), list(range(8)), 2, str, "")
    pool.next, pool.waiting = 3, [7]  # 4 and 5 are ready, 3 and 6 in the hands of workers
    for number in (3, 6):
        pool._mourn(cast(Any, SimpleNamespace(exitcode=-9)), number)
    assert pool.most == 1
    assert pool.next + AHEAD * pool.most <= 6  # which is not for now, and must not stand before 3
    assert pool.waiting == [7, 6, 3]
