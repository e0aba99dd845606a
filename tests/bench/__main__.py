"""``python -m tests.bench [name ...]``: all benchmarks, or those named."""

from __future__ import annotations

import sys
from importlib import import_module

from tests.bench.report import show

BENCHMARKS = {
    "sign-up": "web:run_sign_up",
    "page": "web:run_page",
    "check": "web:run_check",
    "sweep": "sweep:run_sweep",
    "sweep-idle": "sweep:run_idle",
    "mail": "mail:run_mail",
    "approve-to-mail": "mail:run_approve_to_mail",
    "dashboard": "dashboard:run_dashboard",
    "batch": "batch:run_batch",
    "start": "start:run_start",
    "neutral": "neutral:run_neutral",
}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        sys.stderr.write(f"No benchmark {', '.join(unknown)}. There are: {', '.join(BENCHMARKS)}\n")
        return 2
    for name in names or BENCHMARKS:
        module, _, function = BENCHMARKS[name].partition(":")
        show(getattr(import_module(f"tests.bench.{module}"), function)())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
