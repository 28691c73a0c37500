"""What `preprocess build` promises at size: speed, memory, planning, and being killed.

    python -m tests.benchmarks.bench_build [speed] [memory] [plan] [kill] [--folder=DIR] [--json]

speed   variants a second of a local build with two workers, against twice what the plain function
        `build_image_shard` does in one process; the start of the workers excluded, and included.
        The sides in turn, medians. On a machine that others use, the figures by processor time
        say more: variants a second of one core's time, all processes added up.
memory  peak resident memory of the largest process, at 40,000 pictures against 5,000.
plan    seconds and memory of `preprocess plan` for a table of 500,000 rows.
kill    kill -9 at ten random moments of 5,000 pictures x 10 variants, started again each time: the
        digest of an undisturbed build, and no finished shard ever written again.

All of them by default, some ten minutes on two quiet cores.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks.build_runs import (
    COMMITTED,
    build_arguments,
    committed,
    face_set,
    linked_set,
    markers,
    plain_build,
    run,
    start,
    working_seconds,
)

VARIANTS = 10
WORKERS = 2
SPEED_BAR, MEMORY_BAR = 0.8, 1.2
PLAN_SECONDS_BAR, PLAN_BYTES_BAR = 60, 2e9


def speed(folder: Path, pictures: int = 6_300, rounds: int = 3) -> dict[str, Any]:
    """5,040 of 6,300 faces are training pictures: 50,400 variants."""
    arguments = build_arguments(face_set(folder / "faces", pictures), VARIANTS)
    rows = []
    for number in range(rounds):
        plain = plain_build(folder / f"plain-{number}", arguments)
        output = folder / f"build-{number}"
        built = run("build", *arguments, f"--output={output}", f"--workers={WORKERS}", "--json")
        variants = round(built.answer["variants_per_second"] * built.answer["building_seconds"])
        rows.append(
            {
                "plain": plain["variants"] / plain["seconds"],
                "plain_cpu": plain["variants"] / plain["cpu_seconds"],
                "build": variants / working_seconds(output),
                "with_start": variants / built.seconds,
                "build_cpu": variants / built.cpu_seconds,
            }
        )
    report: dict[str, Any] = {key: statistics.median(row[key] for row in rows) for key in rows[0]}

    def ratio(key: str, of: str, times: int) -> float:
        return statistics.median(row[key] / (row[of] * times) for row in rows)

    return {
        **report,
        "variants": variants,
        "rounds": rounds,
        "ratio": ratio("build", "plain", WORKERS),
        "ratio_with_start": ratio("with_start", "plain", WORKERS),
        "ratio_cpu": ratio("build_cpu", "plain_cpu", 1),
        "bar": SPEED_BAR,
        "ok": ratio("build", "plain", WORKERS) >= SPEED_BAR,
    }


def memory(folder: Path, few: int = 5_000, many: int = 40_000) -> dict[str, Any]:
    """Peaks of the largest process of a build of few and of many pictures."""
    peaks = {}
    for count in (few, many):
        flags = linked_set(folder / f"faces-{count}", pictures=count, rows=count)
        output = f"--output={folder}/dataset-{count}"
        # Processes for both, as the larger of the two would choose anyway.
        done = run(
            "build", *build_arguments(flags, VARIANTS), output, "--json",
            "--", "--direct_running_mode=multi_processing", f"--direct_num_workers={WORKERS}",
        )  # fmt: skip
        peaks[count] = done.peak_bytes
    ratio = peaks[many] / peaks[few]
    return {"peak_bytes": peaks, "ratio": ratio, "bar": MEMORY_BAR, "ok": ratio <= MEMORY_BAR}


def plan(folder: Path, rows: int = 500_000, pictures: int = 150_000) -> dict[str, Any]:
    """What planning takes, and whether it is within the bars."""
    arguments = build_arguments(linked_set(folder / "faces", pictures, rows), VARIANTS)
    done = run("plan", *arguments, f"--output={folder}/dataset", "--json")
    return {
        "rows": rows,
        "pictures": done.answer["pictures"],
        "seconds": done.seconds,
        "cpu_seconds": done.cpu_seconds,
        "peak_bytes": done.peak_bytes,
        "bar": [PLAN_SECONDS_BAR, PLAN_BYTES_BAR],
        "ok": done.seconds < PLAN_SECONDS_BAR and done.peak_bytes < PLAN_BYTES_BAR,
    }


def kill(
    folder: Path, pictures: int = 5_000, variants: int = VARIANTS, kills: int = 10, seed: int = 0
) -> dict[str, Any]:
    """Kills a build `kills` times, and compares what comes of it in the end."""
    chance = random.Random(seed)
    common = build_arguments(face_set(folder / "faces", pictures), variants)
    common += ["--shards=24", f"--workers={WORKERS}"]
    whole = run("build", *common, f"--output={folder}/whole", "--json")
    start_seconds = whole.seconds - whole.answer["building_seconds"]
    shards = len(markers(folder / "whole"))
    shard_seconds = whole.answer["building_seconds"] * WORKERS / shards
    output = folder / "killed"
    finished: dict[str, COMMITTED] = {}
    rewritten: set[str] = set()
    moments, killed = [], 0
    while killed < kills:
        # So many shards more and then somewhere in the next, or while it starts. On average, a
        # third of the shards is finished in between, and as many in the last moments.
        more = chance.randint(0, 2 * shards // (3 * kills))
        wanted = len(markers(output)) + more
        build = start("build", *common, f"--output={output}")
        while more and build.poll() is None and len(markers(output)) < wanted:
            time.sleep(0.01)
        try:
            build.wait(chance.uniform(0, shard_seconds if more else start_seconds))
            break  # it was faster than the kills, and the report says so
        except subprocess.TimeoutExpired:
            build.kill()
            build.wait()
            killed += 1
        now = committed(output)
        rewritten |= {name for name, state in finished.items() if now.get(name) != state}
        finished |= now
        moments.append(len(now))
    last = run("build", *common, f"--output={output}", "--json")
    now = committed(output)
    rewritten |= {name for name, state in finished.items() if now.get(name) != state}
    torn = [str(path) for path in output.rglob("*.tmp-*")]
    equal = last.answer["digest"] == whole.answer["digest"]
    return {
        "pictures": pictures,
        "variants": variants,
        "kills": killed,
        "files_finished_at_each_kill": moments,
        "digest_equal": equal,
        "rewritten": len(rewritten),
        "torn_files": len(torn),
        "ok": equal and not rewritten and not torn and killed == kills,
    }


MEASURES: dict[str, Callable[[Path], dict[str, Any]]] = {
    "speed": speed,
    "memory": memory,
    "plan": plan,
    "kill": kill,
}


def in_words(name: str, report: dict[str, Any]) -> str:
    """A line or two of a report for a person."""
    verdict = "ok" if report["ok"] else "MISSED"
    if name == "speed":
        return (
            f"speed   {report['variants']} variants, {WORKERS} workers: {report['build']:.0f} a "
            f"second, {report['with_start']:.0f} with the start; plain function "
            f"{report['plain']:.0f} on one core\n"
            f"        {report['ratio']:.2f} of twice that (bar {report['bar']}: {verdict}), "
            f"{report['ratio_with_start']:.2f} with the start, by processor time "
            f"{report['ratio_cpu']:.2f}"
        )
    if name == "memory":
        peaks = ", ".join(f"{n} pictures {b / 1e6:.0f} MB" for n, b in report["peak_bytes"].items())
        return f"memory  {peaks}: {report['ratio']:.2f} x (bar {report['bar']}: {verdict})"
    if name == "plan":
        return (
            f"plan    {report['rows']} rows, {report['pictures']} pictures: "
            f"{report['seconds']:.1f} s (of a processor {report['cpu_seconds']:.1f}), "
            f"{report['peak_bytes'] / 1e9:.2f} GB "
            f"(bars {PLAN_SECONDS_BAR} s, {PLAN_BYTES_BAR / 1e9:.0f} GB: {verdict})"
        )
    return (
        f"kill    {report['kills']} kills of {report['pictures']} pictures x {report['variants']}: "
        f"digest {'equal' if report['digest_equal'] else 'DIFFERS'}, {report['rewritten']} "
        f"finished files written again, {report['torn_files']} torn files left ({verdict})"
    )


def main() -> None:
    """Measure and print: lines, or one JSON object with --json."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("measures", nargs="*", choices=[[], *MEASURES], help="all by default")
    parser.add_argument("--folder", help="where to work; a temporary folder by default")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    arguments = parser.parse_args()
    reports = {}
    for name in arguments.measures or MEASURES:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            reports[name] = MEASURES[name](Path(folder))
        if not arguments.json:
            print(in_words(name, reports[name]), flush=True)
    if arguments.json:
        print(json.dumps(reports))
    sys.exit(0 if all(report["ok"] for report in reports.values()) else 1)


if __name__ == "__main__":
    main()
