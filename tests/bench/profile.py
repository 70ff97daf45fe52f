"""Where the daemon's time goes while it polls: py-spy over the first row.

    python -m tests.bench.profile OUT.svg [--raw] [--devices N] [--title WORDS]

Draws a flame graph, or with `--raw` writes folded stacks.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench import daemon, farm
from tests.bench.__main__ import prepare


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--title", default="")
    parser.add_argument("--raw", action="store_true")
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=20)
    args = parser.parse_args()
    if not prepare(["poll"]):
        sys.exit(1)
    plan = daemon.Plan(devices=args.devices, interval_s=5)
    with (
        tempfile.TemporaryDirectory() as tmp,
        farm.agents(),
        daemon.running(daemon.write(Path(tmp), plan)) as ours,
    ):
        time.sleep(10)
        before = ours.cpu_s()
        words = ["-p", str(ours.pid), "-o", args.out, "-f", "raw" if args.raw else "flamegraph"]
        words += ["-r", "400", "-d", str(args.seconds), "--nonblocking"]
        subprocess.run([Path(sys.executable).with_name("py-spy"), "record", *words], check=True)
        cost = f"{(ours.cpu_s() - before) / args.seconds:.3f} CPU seconds a second"
    if not args.raw:
        title = f"{args.title or 'netopsd'}: {args.devices} devices every 5 s, {cost}"
        entitle(Path(args.out), title)
    print(cost)


def entitle(picture: Path, title: str) -> None:
    """Put `title` where py-spy writes its own command, with the paths of this machine."""
    text = picture.read_text(encoding="utf-8")
    text = re.sub(r'(<text id="title"[^>]*>)[^<]*', lambda m: m[1] + title, text, count=1)
    picture.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
