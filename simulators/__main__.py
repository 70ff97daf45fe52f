"""`python -m simulators run SCENARIO`: a simulated network until it is ended."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import signal
import sys
from pathlib import Path
from typing import TextIO

from simulators.control import Control, listed
from simulators.reading import BadScenario, read
from simulators.replay import BadRecording
from simulators.scenario import Scenario, TrapTarget, seconds
from simulators.server import Server


def main() -> int:
    """Return the exit code: 0 ended as told, 2 a mistake in what was said, 1 cannot serve."""
    args = _arguments().parse_args()
    try:
        said = _altered(read(args.scenario), args)
        if args.command == "check":
            print(f"{args.scenario}: {len(said.device)} devices, {len(said.at)} events")
            _print_host_keys(said, args.scenario.parent)
            return 0
        return asyncio.run(_run(said, args))
    except (BadScenario, BadRecording) as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(f"cannot serve: {error}", file=sys.stderr)
        return 1


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m simulators", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="read a scenario and say whether it is right")
    run = commands.add_parser("run", help="serve a scenario's devices until ended")
    for command in (check, run):
        command.add_argument("scenario", type=Path)
        command.add_argument("--seed", type=int, help="instead of the scenario's")
        command.add_argument("--port", type=int, help="instead of the scenario's; 0 picks one")
        command.add_argument("--netconf-port", type=int, help="instead of the scenario's (TCP)")
        command.add_argument("--traps-to", metavar="ADDRESS:PORT", help="where every trap goes")
    run.add_argument("--for", dest="lasting", metavar="60s", help="end by itself after so long")
    run.add_argument("--truth", type=Path, metavar="FILE", help="append what happens, JSON lines")
    run.add_argument("--ready-file", type=Path, metavar="FILE", help="written once all is served")
    run.add_argument("--hold", action="store_true", help='begin the story at {"do":"begin"}')
    run.add_argument("--control", type=Path, metavar="SOCKET", help="Unix socket for commands")
    return parser


def _altered(said: Scenario, args: argparse.Namespace) -> Scenario:
    """Return the scenario with what the command line says instead."""
    chosen = {"seed": args.seed, "port": args.port, "netconf_port": args.netconf_port}
    update = {key: value for key, value in chosen.items() if value is not None}
    said = said.model_copy(update={"network": said.network.model_copy(update=update)})
    if not args.traps_to:
        return said
    address, _, port = args.traps_to.rpartition(":")
    if not address or not port.isdigit() or not 0 < int(port) < 65536:
        raise BadScenario([f"--traps-to: {args.traps_to}: write ADDRESS:PORT"])
    where = {"address": address, "port": int(port)}
    targets = said.traps or (TrapTarget(),)
    return said.model_copy(update={"traps": tuple(one.model_copy(update=where) for one in targets)})


def _print_host_keys(said: Scenario, folder: Path) -> None:
    """Print what one pins of each device that speaks NETCONF."""
    speaking = [device for device in said.device if device.netconf is not None]
    if speaking:
        from simulators.front import known_key  # loads the SSH server

        for device in speaking:
            line = known_key(said, device, folder).export_public_key("openssh").decode().strip()
            print(f"{device.name} {line}")


async def _run(said: Scenario, args: argparse.Namespace) -> int:
    try:
        lasting = float(str(seconds(args.lasting))) if args.lasting else None
    except ValueError as error:
        raise BadScenario([f"--for: {error}"]) from error
    with contextlib.ExitStack() as stack:
        log: TextIO | None = None
        if args.truth:
            log = stack.enter_context(args.truth.open("a", buffering=1, encoding="utf-8"))
        server = Server(said, args.scenario.parent, lambda line: log and log.write(line + "\n"))
        await _serve(server, said, args, lasting)
    return 0


async def _serve(
    server: Server, said: Scenario, args: argparse.Namespace, lasting: float | None
) -> None:
    control = Control(args.control, server, said) if args.control else None
    ended = control.ended if control else asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    try:
        await server.start(args.hold)
        gc.collect()
        gc.freeze()  # what stays for ever need not be looked at again and again
        if control:
            await control.start()
        if args.ready_file:
            _ready(args.ready_file, server, said, args.control)
        print(f"{len(said.device)} devices on port {server.port}", flush=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(lasting):
                await ended.wait()
    finally:
        if control:
            await control.close()
        await server.close()


def _ready(path: Path, server: Server, said: Scenario, control: Path | None) -> None:
    """Write the ready file whole, or not at all."""
    text = json.dumps(
        {
            "pid": os.getpid(),
            "port": server.port,
            "control": str(control) if control else None,
            "devices": listed(server, said),
        }
    )
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


if __name__ == "__main__":
    sys.exit(main())
