"""Shows how processes died in a job."""

from typing import TYPE_CHECKING, Any

from rich.text import Text

from rxsql.cli import display

if TYPE_CHECKING:
    from rxsql.reports import Crash

MOST = 100  # in JSON
_SHOWN = 5
_STACK_LINES = 12


def fields(crashes: "list[Crash]") -> list[tuple[str, str | Text]]:
    """Return what `rxsql status` shows of crashes: each one's end, and the last one's last lines and stacks."""
    if not crashes:
        return []
    died = Text("\n").join(_end(crash) for crash in crashes[:_SHOWN])
    if len(crashes) > _SHOWN:
        died.append(f"\nand {len(crashes) - _SHOWN} more: rxsql status --json", "dim")
    last = crashes[-1]
    stacks = (last.stacks or "").strip().splitlines()[:_STACK_LINES]
    return [("died", died), ("last lines", last.last_lines or ""), ("stacks", "\n".join(stacks))]


def _end(crash: "Crash") -> Text:
    how = f"signal {crash.exit_signal}" if crash.exit_signal else f"exit code {crash.exit_code}"
    text = Text(f"run {crash.run}, attempt {crash.attempt}: ").append(how, "red")
    if crash.peak_kib is not None:
        text.append(f", took {crash.peak_kib // 1024:,} MB at most")
    return text


def rows(crashes: "list[Crash]") -> list[dict[str, Any]]:
    """Return crashes as JSON has them."""
    return [
        {
            "task": crash.task,
            "run": crash.run,
            "attempt": crash.attempt,
            "exit_code": crash.exit_code,
            "exit_signal": crash.exit_signal,
            "peak_kib": crash.peak_kib,
            "last_lines": crash.last_lines,
            "stacks": crash.stacks,
            "died_at": display.iso(crash.died_at),
        }
        for crash in crashes
    ]
