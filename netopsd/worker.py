"""Jobs done in a child process that may die of them.

What decodes untrusted octets with somebody else's code, or blocks, runs here: the child has limits
on memory, processor time and files; a job past its deadline ends the child, not the daemon; the job
it died of fails and is not tried again; the others are done by the next child.

`python -m netopsd.worker MODULE:FUNCTION LIMITS` is the child. FUNCTION(setup) returns the handler,
a callable from job to answer. Frames on its standard input and output are four octets of length
(big-endian) and JSON, or nothing, which says that the next job is begun. Secrets travel in the
first frame, never in arguments or environment.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import sys
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any, BinaryIO

from netopsd.errors import JobFailed
from netopsd.ports import Clock

_HEAD = 4
_BEGUN = bytes(_HEAD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one child may use. Sizes in octets, times in seconds."""

    memory: int = 512 * 2**20
    cpu_s: int = 5  # of one job
    deadline_s: float = 10.0  # of one job, from when the child begins with it
    start_s: float = 30.0
    frame: int = 2**20
    waiting: int = 2000  # jobs; more are refused
    ahead: int = 16  # jobs handed over before their answers are back
    jobs_each: int = 200_000  # then a fresh child takes over
    backoff_s: float = 0.1  # after a death; doubles up to backoff_most_s
    backoff_most_s: float = 30.0


@dataclass(slots=True, eq=False)
class _Job:
    frame: bytes
    answer: asyncio.Future[Mapping[str, Any]]
    begun: bool = False  # by the present child


class _Died(Exception):
    """The child is gone or must go; `str` says why."""


class _Patience:
    """Ends the child when the job it is at takes too long.

    What it answered before is read all the same; where there was such an answer, it was we who were
    late (a machine that stood still), and the job the child was at is to be tried again.
    """

    def __init__(self, process: asyncio.subprocess.Process, deadline_s: float) -> None:
        self._process = process
        self._deadline_s = deadline_s
        self._timer: asyncio.TimerHandle | None = None
        self.ended = False
        self.answers = 0  # read after the end

    def begin(self) -> None:
        """Give the job the child is at now its whole time."""
        self.rest()
        if not self.ended:
            self._timer = asyncio.get_running_loop().call_later(self._deadline_s, self._end)

    def rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def answered(self, busy: bool) -> None:
        """The child gave an answer, and has more to do where `busy`."""
        self.answers += self.ended
        self.begin() if busy else self.rest()

    def _end(self) -> None:
        self.ended = True
        with suppress(ProcessLookupError):
            self._process.kill()


class Worker:
    """One child at a time, doing the jobs of one handler (ports.Worker)."""

    def __init__(self, handler: str, clock: Clock, limits: Limits | None = None) -> None:
        self._handler = handler
        self._clock = clock
        self._limits = limits or Limits()
        self._queue: deque[_Job] = deque()
        self._flying: deque[_Job] = deque()
        self._moved = asyncio.Event()
        self._answered = 0  # by the present child
        self._stopped = False
        self.deaths = 0  # unplanned ends of a child, for the metrics
        self.pid: int | None = None

    async def ask(self, job: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the answer to `job`. Raises JobFailed: refused, failed, or the child died of it.

        Jobs asked while no child runs wait for one.
        """
        if self._stopped:
            raise JobFailed("the worker was stopped")
        frame = _frame(job)
        if len(frame) > self._limits.frame:
            raise JobFailed(f"a job of {len(frame)} octets is larger than a frame may be")
        if len(self._queue) >= self._limits.waiting:
            raise JobFailed("too many jobs are waiting")
        waiting = _Job(frame, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._moved.set()
        return await waiting.answer

    async def run(self, setup: Mapping[str, Any]) -> None:
        """Keep a child alive until cancelled; then end it, and fail what waits."""
        pause, self._stopped = self._limits.backoff_s, False
        try:
            while True:
                began, self._answered = self._clock.mono_s(), 0
                try:
                    why = await self._life(setup)
                except OSError as error:  # no process, memory or descriptor left for one just now
                    why = f"no worker process can be started: {error}"
                if why:
                    self.deaths += 1
                    self._blame(why)
                    lived = self._clock.mono_s() - began
                    well = self._answered >= 100 or lived >= self._limits.backoff_most_s
                    pause = self._limits.backoff_s if well else pause
                    await self._clock.sleep(pause)
                    pause = min(2 * pause, self._limits.backoff_most_s)
        finally:
            self._stopped = True
            for job in (*self._flying, *self._queue):
                if not job.answer.done():
                    job.answer.set_exception(JobFailed("the worker was stopped"))
            self._flying.clear()
            self._queue.clear()

    def _blame(self, why: str) -> None:
        """Fail the job the child was at; put the others back in their order."""
        if self._flying and self._flying[0].begun:
            head = self._flying.popleft()
            if not head.answer.done():
                head.answer.set_exception(JobFailed(why))
        self._put_back()

    def _put_back(self) -> None:
        for job in self._flying:
            job.begun = False
        self._queue.extendleft(reversed(self._flying))
        self._flying.clear()

    async def _life(self, setup: Mapping[str, Any]) -> str:
        """Run one child to its end; return "" where that was planned, else why."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "netopsd.worker",
            self._handler,
            json.dumps(asdict(self._limits)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={"PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "LANG": "C.UTF-8"},
        )
        self.pid = process.pid
        patience = _Patience(process, self._limits.deadline_s)
        try:
            await self._begin(process, setup)
            async with asyncio.TaskGroup() as both:
                writing = both.create_task(self._write(process, patience))
                await self._read(process, patience)
                writing.cancel()
        except TimeoutError:
            return "no answer from the worker process in time"
        except (_Died, ExceptionGroup) as error:
            if patience.ended:
                if patience.answers:
                    self._put_back()
                return "no answer from the worker process in time"
            return await self._post_mortem(process, error)
        finally:
            self.pid = None
            patience.rest()
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        return ""

    async def _post_mortem(self, process: asyncio.subprocess.Process, error: Exception) -> str:
        said = error.exceptions[0] if isinstance(error, ExceptionGroup) else error
        if not isinstance(said, _Died):
            raise error
        with suppress(TimeoutError):
            async with asyncio.timeout(0.2):
                await process.wait()
        code = process.returncode
        if code is not None and code < 0:
            return f"the worker process was ended by {signal.Signals(-code).name}"
        return str(said) or "the worker process is gone"

    async def _begin(self, process: asyncio.subprocess.Process, setup: Mapping[str, Any]) -> None:
        assert process.stdin is not None
        process.stdin.write(_frame(setup))
        try:
            await process.stdin.drain()
        except ConnectionError as error:
            raise _Died("the worker process ended before it began") from error
        async with asyncio.timeout(self._limits.start_s):
            ready = await self._frame_from(process)
        if ready is None:
            raise _Died("the worker process answered nonsense")
        if "failed" in ready:
            raise _Died(f"the worker process could not begin: {ready['failed']}")

    async def _write(self, process: asyncio.subprocess.Process, patience: _Patience) -> None:
        """Hand jobs over. Where the child no longer listens, leave the word to `_read`: what it
        answered before is still to be read, and only then is it known which job it was at."""
        assert process.stdin is not None
        handed = 0
        while handed < self._limits.jobs_each:
            if not self._queue or len(self._flying) >= self._limits.ahead:
                self._moved.clear()
                await self._moved.wait()
                continue
            job = self._queue.popleft()
            if job.answer.done():  # whoever asked is gone
                continue
            if not self._flying:
                patience.begin()
            self._flying.append(job)
            handed += 1
            try:
                process.stdin.write(job.frame)
                await process.stdin.drain()
            except (ConnectionError, RuntimeError):  # the latter is uvloop's word for a closed pipe
                return

    async def _read(self, process: asyncio.subprocess.Process, patience: _Patience) -> None:
        """Take answers until the child has done its share; each must come within the deadline."""
        while self._answered < self._limits.jobs_each:
            said = await self._frame_from(process)
            if not self._flying:
                raise _Died("the worker process answered unasked")
            if said is None:
                self._flying[0].begun = True
                continue
            job = self._flying.popleft()
            self._answered += 1
            self._moved.set()
            patience.answered(busy=bool(self._flying))
            if job.answer.done():
                continue
            if "failed" in said:
                job.answer.set_exception(JobFailed(str(said["failed"])))
            else:
                job.answer.set_result(said)

    async def _frame_from(self, process: asyncio.subprocess.Process) -> Mapping[str, Any] | None:
        """Return what the child says next, None where that is an empty frame."""
        assert process.stdout is not None
        try:
            size = int.from_bytes(await process.stdout.readexactly(_HEAD), "big")
            if size > self._limits.frame:
                raise _Died(f"the worker process answered {size} octets")
            said = json.loads(await process.stdout.readexactly(size)) if size else None
        except (asyncio.IncompleteReadError, ConnectionError, ValueError, RecursionError) as error:
            raise _Died("the worker process ended, or answered nonsense") from error
        if size and not isinstance(said, dict):
            raise _Died("the worker process answered nonsense")
        return said


def _frame(said: Mapping[str, Any]) -> bytes:
    body = json.dumps(said, separators=(",", ":")).encode()
    return len(body).to_bytes(_HEAD, "big") + body


def _serve(handler: str, limits: Limits, source: BinaryIO, sink: BinaryIO) -> None:
    """The child: do jobs until the input ends. Whatever a job raises is its answer."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory, limits.memory))
    answer: Any = None
    while head := source.read(_HEAD):
        body = source.read(int.from_bytes(head, "big"))
        if answer is not None:
            sink.write(_BEGUN)
            sink.flush()
        job = json.loads(body)
        _renew_processor_time(limits)
        try:
            if answer is None:
                module, _, function = handler.partition(":")
                answer = getattr(import_module(module), function)(job)
                resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
                said = _frame({"ready": True})
            else:
                said = _frame(answer(job))
            if len(said) - _HEAD > limits.frame:
                said = _frame({"failed": "the answer is larger than a frame may be"})
        except Exception as error:  # noqa: BLE001  decoders fail in undocumented ways: that is why they are here
            said = _frame({"failed": f"{type(error).__name__}: {error}"[:500]})
        sink.write(said)
        sink.flush()


def _renew_processor_time(limits: Limits) -> None:
    """Let the next job use `cpu_s` more, rounded up: SIGXCPU ends the child beyond that."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime) + 1 + limits.cpu_s
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))


def main(arguments: list[str]) -> None:
    """Be the child. Its standard output carries frames only, whatever a library prints."""
    handler, limits = arguments
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the daemon's: our input will end
    sink = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    with os.fdopen(0, "rb", closefd=False) as source, sink, suppress(BrokenPipeError):
        _serve(handler, Limits(**json.loads(limits)), source, sink)


if __name__ == "__main__":
    main(sys.argv[1:])
