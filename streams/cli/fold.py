"""``currere fold``: fold the recorded log again: to check it, under other settings, or without somebody."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.errors import ConfigurationError, ModelRefused
from streams.cli.options import BlobStore, Json, Kafka, Tenant, broker_of, progress_bar, show_json, show_table
from streams.settings import Settings, load

if TYPE_CHECKING:
    from streams.compare import Compared, Way
    from streams.requests import Asked, OnProgress

Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="learning.NAME=VALUE", help="fold under this setting, too, and compare; repeatable"),
]
WithoutThem = Annotated[
    list[str] | None,
    typer.Option(
        "--without", metavar="learner:NAME", help="fold without them, too: learner:, rater:, event:; repeatable"
    ),
]
Out = Annotated[Path | None, typer.Option(help="write the snapshot that the changed fold comes to into this file")]
Limit = Annotated[int | None, typer.Option(min=1, help="only the first so many records, when comparing or saving")]
FromFile = Annotated[Path | None, typer.Option("--from", help="requests that --save wrote, in place of Kafka")]


def fold(
    check: Annotated[str, typer.Option(help="version to hold the fold against: LINEAGE:OFFSET, or latest")] = "latest",
    changes: Set = None,
    without: WithoutThem = None,
    out: Out = None,
    stop_early: Annotated[bool, typer.Option(help="end the other fold where it gains no more")] = False,
    limit: Limit = None,
    source: FromFile = None,
    save: Annotated[Path | None, typer.Option(help="write the requests to this file, .jsonl.gz")] = None,
    plots: Annotated[Path | None, typer.Option(help="write plots of the comparison into this folder, as SVG")] = None,
    kafka: Kafka = None,
    blobs: BlobStore = None,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Fold the train requests again from the genesis and compare with what was published; exit status 0 if equal.

    With --set or --stop-early: fold them under their own and under other settings, and compare how well each label is
    predicted before it is learned. With --without: fold them as if somebody had never been there, say how far
    predictions move, and see that nothing of theirs is left. Nothing is written to the log.

    Example: currere fold --set learning.replay=der++ --set learning.dim=32 --plots plots

    Example: currere fold --without learner:9f2c --out without.safetensors
    """
    settings = load(kafka=kafka, blobs=blobs, tenant=tenant)
    requests = _requests(settings, source, limit)
    if save is not None:
        _save(save, requests)
    if without:
        if changes or stop_early:
            raise ConfigurationError(
                "--without changes one thing; leave --set and --stop-early for a fold of their own"
            )
        _unlearn(requests, without, out, plots, as_json)
    elif changes or stop_early or plots:
        _compare(requests, changes or [], stop_early, out, plots, as_json)
    elif out is not None:
        raise ConfigurationError("--out writes what --set or --without comes to; a plain fold is what was published")
    elif save is None:
        if source is not None or limit is not None:
            raise ConfigurationError(
                "--check folds all of the log in Kafka; --from and --limit are for --set and --save"
            )
        _check(settings, check, as_json)


def _requests(settings: Settings, source: Path | None, limit: int | None) -> Callable[[OnProgress], Iterable[Asked]]:
    from itertools import islice

    from streams.requests import in_file, in_log

    def requests(on_progress: OnProgress) -> Iterable[Asked]:
        if source is not None:
            return islice(in_file(source), limit)
        found = in_log(broker_of(settings), settings.tenant, settings.model, on_progress=on_progress)
        return islice(found, limit)

    return requests


def _save(path: Path, requests: Callable[[OnProgress], Iterable[Asked]]) -> None:
    from streams.requests import save

    with progress_bar("records") as bar:
        task = bar.add_task("saving", total=None, note="")
        count = save(path, requests(lambda done, all: bar.update(task, completed=done, total=all)))
    typer.echo(f"wrote {count:,} requests to {path}", err=True)


def _compare(
    requests: Callable[[OnProgress], Iterable[Asked]], changes: list[str], stop_early: bool, out: Path | None,
    plots: Path | None, as_json: bool,
) -> None:  # fmt: skip
    from learners.fingerprint import fix_threads
    from streams.changes import read_changes
    from streams.compare import compare
    from streams.contrast import to_json

    fix_threads()
    asked = read_changes(changes)
    with progress_bar("records") as bar:
        task = bar.add_task("folding twice", total=None, note="")
        found = compare(
            lambda: requests(lambda done, all: bar.update(task, completed=done, total=all)),
            asked,
            stop_early=stop_early,
        )
    _write(found, out, plots)
    if as_json:
        show_json(to_json(found))
    else:
        _show(found)


def _unlearn(
    requests: Callable[[OnProgress], Iterable[Asked]], named: list[str], out: Path | None, plots: Path | None,
    as_json: bool,
) -> None:  # fmt: skip
    from learners.fingerprint import fix_threads
    from streams.unlearn import lines_of, to_json, unlearn
    from streams.without import Someone

    those = [Someone.parse(text) for text in named]
    fix_threads()
    with progress_bar("records") as bar:
        task = bar.add_task("folding twice", total=None, note="")
        found = unlearn(lambda: requests(lambda done, all: bar.update(task, completed=done, total=all)), those)
    unknown = [name for name, examples in found.without.found.items() if not examples]
    _write(found.compared, out if found.is_clean and not unknown else None, plots)
    if as_json:
        show_json(to_json(found))
    else:
        _show(found.compared)
        rows = [(g, name, one.to_dict()) for g, tasks in found.moved.items() for name, one in tasks.items()]
        show_table(
            ("inputs of", "task", "inputs", "moved by", "at most", "other class"),
            [
                (g, name, f"{m['n']:,}", f"{m['mean']:.4f}", f"{m['largest']:.4f}", f"{m['changed']:.1%}")
                for g, name, m in rows
            ],
        )
        for line in lines_of(found):
            typer.echo(line)
    if not found.is_clean:
        raise ModelRefused(f"ids of {', '.join(named)} are left in the model: {dict(found.left)}")
    if out is not None and unknown:
        raise ConfigurationError(f"nothing was written: the log has no example of {', '.join(unknown)}; check the name")


def _write(found: Compared, out: Path | None, plots: Path | None) -> None:
    """Plots and the snapshot of the changed way, as far as they are asked for."""
    from streams.charts import figures
    from streams.contrast import drawn

    for path in figures(plots, drawn(found)):
        typer.echo(f"wrote {path}", err=True)
    if out is not None:
        _write_snapshot(found.ways[1], out)


def _write_snapshot(way: Way, out: Path) -> None:
    from learners.snapshot import snapshot

    if way.model is None:
        raise ModelRefused("the changed fold came to no model: there is nothing to write")
    out.write_bytes(snapshot(way.model))
    typer.echo(f"wrote {way.model.version} to {out}", err=True)


def _show(found: Compared) -> None:
    from streams.contrast import lines_of, probe_rows, task_rows, verdicts_of

    show_table(("task", "labels", "metric", "recorded", "changed", "difference", "95 % interval"), task_rows(found))
    if rows := probe_rows(found):
        show_table(("on the frozen probe", "recorded", "changed"), rows)
    for line in [*lines_of(found), *verdicts_of(found)]:
        typer.echo(line)


def _check(settings: Settings, version: str, as_json: bool) -> None:
    from streams.blobs import Blobs
    from streams.refold import check as check_fold

    with progress_bar("requests") as bar:
        task = bar.add_task("folding", total=None, note="")
        found = check_fold(
            broker_of(settings),
            Blobs(settings.blobs),
            settings.tenant,
            settings.model,
            version,
            lambda done, all: bar.update(task, completed=done, total=all),
        )
    result = {
        "version": found.version,
        "holds": found.holds,
        "requests": found.requests,
        "digest": found.served,
        "published_digest": found.published,
        "trained_digest": found.trained,
        "fingerprint": found.fingerprint,
    }
    if as_json:
        show_json(result)
    else:
        as_published = ", as published" if found.holds else ""
        typer.echo(f"{found.version}: {found.requests:,} requests fold to {found.served}{as_published}")
    if not found.holds:
        published = found.published_fingerprint
        other = f" under another fingerprint ({published})" if published not in (None, found.fingerprint) else ""
        raise ModelRefused(f"{found.version} was published as {found.published}{other}; this fold gives {found.served}")
