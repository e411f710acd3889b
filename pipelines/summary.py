"""The closing summary of a run: records, bytes, rejects by reason, time by stage."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from .recipe import Reject
from .rejects import reasons
from .run import Summary
from .settings import RunSettings

MOST_REASONS = 12


def stage_table(stages: dict[str, float], records: int) -> Table:
    """Seconds by stage, longest first, and milliseconds a record; stages within `read` are indented."""
    table = Table("stage", "seconds", "ms a record", title="time by stage (sum over workers)")
    for name, seconds in sorted(stages.items(), key=lambda item: -item[1]):
        if not name.startswith("read: "):
            table.add_row(name, f"{seconds:.2f}", f"{1000 * seconds / max(records, 1):.1f}")
            if name == "read":
                for part, inner in sorted(stages.items(), key=lambda item: -item[1]):
                    if part.startswith("read: "):
                        label = f"  {part.removeprefix('read: ')}"
                        table.add_row(label, f"{inner:.2f}", f"{1000 * inner / max(records, 1):.1f}")
    return table


def reject_table(rejects: Sequence[Reject]) -> Table:
    """Rejects by reason, most frequent first."""
    table = Table("rejected", "stage", "reason", title=f"{len(rejects)} left out (rejects.parquet)")
    kinds = reasons(rejects)
    for stage, reason, count in kinds[:MOST_REASONS]:
        table.add_row(str(count), stage, reason)
    if len(kinds) > MOST_REASONS:
        table.add_row(str(sum(count for _, _, count in kinds[MOST_REASONS:])), "", "other reasons")
    return table


def print_summary(summary: Summary, settings: RunSettings, console: Console) -> None:
    """Print what a run did, and what to do next where something is left."""
    if summary.built_groups == summary.sidecar_groups == 0 and summary.complete:
        what = f"label {summary.adding} is there, " if summary.adding else ""
        console.print(f"nothing to do: {what}{summary.records} records are up to date", highlight=False)
    else:
        worked = max(summary.seconds - summary.setup_seconds, 1e-9)
        console.print(stage_table(summary.stages, summary.built_records or summary.sidecar_records))
        reused = f", {summary.reused_records} of them copied" if summary.reused_records else ""
        built = f"built {summary.built_records} records{reused} in {summary.built_groups} of {summary.groups} groups"
        count = summary.built_records
        if summary.sidecar_groups:
            label, count = summary.adding or "added labels", count + summary.sidecar_records
            groups = f"{summary.sidecar_groups} group{'s' * (summary.sidecar_groups != 1)}"
            added = f"{label} for {summary.sidecar_records} records in {groups}"
            built = f"built {added}" if summary.adding else f"{built}, {added}"
        console.print(
            f"{built}: {worked:.1f} s, {count / worked:.2f} records/s "
            f"(start and stop {summary.setup_seconds:.1f} s), {summary.retries} retries",
            highlight=False, soft_wrap=True,
        )  # fmt: skip
    left = "raw files changed meanwhile, run it again" if settings.part is None else "other parts are still to run"
    left = "the rest is still to run, without --retry-failed" if settings.retry_failed else left
    state = "complete" if summary.complete else f"building: {left}"
    console.print(f"data set: {summary.records} records, {summary.bytes / 1e6:.1f} MB, {state}", highlight=False)
    lost = sum(1 for reject in summary.rejects if reject.key and reject.stage != "plan")
    if lost:
        share = lost / max(summary.records + lost, 1)
        console.print(f"{lost} records failed, {share:.1%} of those that were there", highlight=False)
    if summary.complete and not summary.records:
        console.print("the data set holds no record at all", highlight=False)
    if summary.rejects:
        console.print(reject_table(summary.rejects))
    if summary.lost_units > settings.max_reject * summary.units:
        console.print(
            f"more than --max-reject {settings.max_reject:g} of {summary.units} units were rejected; "
            "mend the raw data and run again", highlight=False, soft_wrap=True,
        )  # fmt: skip
