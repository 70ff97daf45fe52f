"""A worker process may die of a job; nobody else notices."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import uvloop

from netopsd.clock import SystemClock
from netopsd.errors import JobFailed
from netopsd.worker import Limits, Worker
from tests.patience import PatientLoop

HANDLER = "tests.app.worker_jobs:begin"
LONG_S = 1000.0  # a deadline that no machine is too slow for
Story = Callable[[Worker], Awaitable[Any]]


def with_worker(
    story: Story,
    setup: dict[str, Any] | None = None,
    loop: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop,  # the daemon's
    **limits: Any,
) -> Any:
    async def told() -> Any:
        worker = Worker(HANDLER, SystemClock(), Limits(**{"backoff_s": 0.01, **limits}))
        running = asyncio.create_task(worker.run(setup or {}))
        try:
            return await story(worker)
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(told())


async def handed(worker: Worker, jobs: int) -> None:
    """Wait until the child has so many jobs before it, or behind those."""
    while len(worker._flying) < jobs:  # noqa: ASYNC110
        await asyncio.sleep(0.001)


def skip(seconds: float) -> None:
    """Let time pass, and none of it be waited for."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, PatientLoop)
    loop.skip(seconds)


def made(path: Path) -> None:
    """Stand still, with the whole loop, until a child has made a file."""
    while not path.exists():
        time.sleep(0.005)


async def failure(worker: Worker, **job: Any) -> str:
    with pytest.raises(JobFailed) as caught:
        await worker.ask(job)
    return str(caught.value)


def test_answers_come_back_to_who_asked() -> None:
    async def story(worker: Worker) -> None:
        asked = [worker.ask({"do": "echo", "what": n}) for n in range(100)]
        assert [a["did"] for a in await asyncio.gather(*asked)] == list(range(100))
        assert worker.deaths == 0

    with_worker(story)


@pytest.mark.parametrize(
    ("what", "why"),
    [("raise", "KeyError"), ("nest", "RecursionError"), ("eat", "MemoryError"),
     ("large", "larger than a frame"), ("write", "File too large")],
)  # fmt: skip
def test_a_job_that_raises_fails_and_the_child_goes_on(what: str, why: str) -> None:
    async def story(worker: Worker) -> None:
        before = await worker.ask({"do": "echo"})
        assert why in await failure(worker, do=what)
        after = await worker.ask({"do": "echo"})
        assert after["pid"] == before["pid"]

    with_worker(story)


def test_the_job_the_child_died_of_fails_once_and_no_other_is_lost() -> None:
    async def story(worker: Worker) -> None:
        jobs = [{"do": "die" if n == 7 else "echo", "what": n} for n in range(30)]
        got = await asyncio.gather(*map(worker.ask, jobs), return_exceptions=True)
        failed = {n: str(answer) for n, answer in enumerate(got) if isinstance(answer, JobFailed)}
        assert failed.keys() == {7}, failed
        assert all(answer["did"] == n for n, answer in enumerate(got) if n != 7)  # type: ignore[index]
        assert worker.deaths == 1

    with_worker(story)


def test_a_job_past_its_deadline_is_ended_with_the_child() -> None:
    async def story(worker: Worker) -> None:
        slow = asyncio.create_task(failure(worker, do="sleep"))
        later = asyncio.create_task(worker.ask({"do": "echo", "what": "later"}))
        await handed(worker, 2)
        while not worker._flying[0].begun:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        skip(LONG_S + 1)
        assert "in time" in await slow
        assert (await later)["did"] == "later"

    with_worker(story, loop=PatientLoop, deadline_s=LONG_S)


def test_what_a_child_answered_before_it_went_counts_though_it_no_longer_listened(
    tmp_path: Path,
) -> None:
    """Handing the next job over fails first; the answers still to come are nobody's fault."""
    gate, told = tmp_path / "gate", tmp_path / "deaf"

    async def story(worker: Worker) -> None:
        jobs: list[dict[str, Any]] = [{"do": "gate", "path": str(gate)}]
        jobs += [{"do": "deaf", "told": str(told)}]
        jobs += [{"do": "rest", "s": 0.01}] * 10 + [{"do": "echo"}] * 20
        asked = asyncio.gather(*map(worker.ask, jobs))
        await handed(worker, Limits().ahead)
        gate.touch()
        made(told)  # and not one job more is handed over until then
        await asked
        assert worker.deaths == 1

    with_worker(story)


def test_answers_that_lay_there_while_we_stood_still_count(tmp_path: Path) -> None:
    gate, over, again = tmp_path / "gate", tmp_path / "over", tmp_path / "again"

    async def story(worker: Worker) -> None:
        jobs = [{"do": "gate", "path": str(gate)}, {"do": "echo"}]
        jobs += [{"do": "touch", "path": str(over)}, {"do": "gate", "path": str(again)}]
        asked = asyncio.gather(*map(worker.ask, jobs))
        await handed(worker, len(jobs))
        gate.touch()
        made(over)  # so there are two answers
        skip(LONG_S + 1)
        while not worker.deaths:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        again.touch()
        await asked
        assert worker.deaths == 1

    with_worker(story, loop=PatientLoop, deadline_s=LONG_S)


def test_an_idle_child_is_not_past_any_deadline() -> None:
    async def story(worker: Worker) -> None:
        first = await worker.ask({"do": "echo"})
        skip(LONG_S + 1)
        await asyncio.sleep(0.01)
        assert (await worker.ask({"do": "echo"}))["pid"] == first["pid"]

    with_worker(story, loop=PatientLoop, deadline_s=LONG_S)


def test_a_job_that_burns_the_processor_is_ended() -> None:
    async def story(worker: Worker) -> None:
        assert "SIGXCPU" in await failure(worker, do="burn")
        assert (await worker.ask({"do": "echo", "what": 1}))["did"] == 1

    with_worker(story, cpu_s=0, deadline_s=LONG_S)


def test_a_child_killed_from_outside_is_replaced() -> None:
    async def story(worker: Worker) -> None:
        before = await worker.ask({"do": "echo"})
        os.kill(before["pid"], 9)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with suppress(JobFailed):  # the one it was handed may be blamed
                if (await worker.ask({"do": "echo"}))["pid"] != before["pid"]:
                    return
        pytest.fail("no new child")

    with_worker(story)


def test_a_fresh_child_takes_over_after_its_share() -> None:
    async def story(worker: Worker) -> None:
        got = await asyncio.gather(*(worker.ask({"do": "echo", "what": n}) for n in range(10)))
        assert [a["did"] for a in got] == list(range(10))
        assert len({a["pid"] for a in got}) == 4
        assert worker.deaths == 0

    with_worker(story, jobs_each=3)


def test_what_a_library_prints_is_not_taken_for_an_answer() -> None:
    async def story(worker: Worker) -> None:
        assert (await worker.ask({"do": "chatter"}))["did"] == "quiet"
        assert (await worker.ask({"do": "echo", "what": 2}))["did"] == 2

    with_worker(story)


def test_secrets_are_neither_in_arguments_nor_in_the_environment() -> None:
    async def story(worker: Worker) -> None:
        answer = await worker.ask({"do": "look"})
        assert answer["secret"] == "canary-4711"
        assert "canary-4711" not in answer["did"]["seen"]
        assert answer["did"]["core"] == [0, 0]

    with_worker(story, setup={"secret": "canary-4711"})


def test_too_much_waiting_and_too_large_jobs_are_refused() -> None:
    async def story() -> None:
        worker = Worker(HANDLER, SystemClock(), Limits(waiting=2, frame=1000))
        kept = [asyncio.create_task(worker.ask({"do": "echo"})) for _ in range(2)]
        await asyncio.sleep(0)
        assert "too many" in await failure(worker, do="echo")
        assert "larger" in await failure(worker, what="x" * 1000)
        for task in kept:
            task.cancel()

    asyncio.run(story())


def test_a_child_that_cannot_begin_is_tried_again_and_again() -> None:
    async def story(worker: Worker) -> None:
        waiting = asyncio.create_task(worker.ask({"do": "echo"}))
        while worker.deaths < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert not waiting.done()
        waiting.cancel()

    with_worker(story, setup={"refuse": True})


def test_a_child_that_cannot_be_started_is_started_later() -> None:
    """No descriptor, no memory, no process left: for now."""

    async def story(worker: Worker) -> None:
        first = await worker.ask({"do": "echo"})
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (4, hard))  # what is open stays so
        try:
            os.kill(first["pid"], signal.SIGKILL)
            while worker.deaths < 3:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert (await worker.ask({"do": "echo", "what": 1}))["did"] == 1

    with_worker(story)


def test_stopping_fails_what_waits_and_leaves_no_child() -> None:
    async def story() -> None:
        worker = Worker(HANDLER, SystemClock())
        running = asyncio.create_task(worker.run({}))
        pid = (await worker.ask({"do": "echo"}))["pid"]
        waiting = asyncio.create_task(failure(worker, do="sleep"))
        await asyncio.sleep(0.05)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        assert "stopped" in await waiting
        async with asyncio.timeout(10):
            assert "stopped" in await failure(worker, do="echo")
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    asyncio.run(story())


def test_limits_travel_as_json() -> None:
    from dataclasses import asdict

    assert Limits(**json.loads(json.dumps(asdict(Limits(cpu_s=3))))) == Limits(cpu_s=3)
