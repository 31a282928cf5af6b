"""orch doctor: what works here, what does not, and what to do about it."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

import click

from orchestrator.cli.output import answer, answer_json
from orchestrator.cli.where import where
from orchestrator.cluster import named
from orchestrator.cluster import target as targets
from orchestrator.errors import OrchError
from orchestrator.job.uri import masked

PACKAGES = ("torch", "ray", "mlflow", "pydantic", "boto3")
CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE")
SAMPLE_VIDEOS = "jobs/quickstart/videos"
FREE_GIB = 2


@dataclass(frozen=True)
class Finding:
    """The result of one check. advice: what to do when it is not ok."""

    check: str
    verdict: Literal["ok", "warn", "fail"]
    text: str
    advice: str = ""


@click.command()
@where
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def doctor(address: str | None, cluster: str | None, as_json: bool) -> None:
    """Report what works here and on a cluster, and what does not.

    \b
    Examples:
      orch doctor
      orch doctor --cluster lab
    """
    targets.chosen(address, cluster)  # a name that is wrong is no finding
    findings = [finding for check in CHECKS for finding in _looked_at(check)]
    broken = any(finding.verdict == "fail" for finding in findings)
    if as_json:
        answer_json({"ok": not broken, "checks": [asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            answer(f"{finding.verdict:<5} {finding.check:<11} {finding.text}")
            if finding.advice:
                answer(f"{'':<18}{finding.advice}")
    raise click.exceptions.Exit(int(broken))


def _looked_at(check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Yield what a check finds; an error that stops the check is a finding, too."""
    try:
        yield from check()
    except (OrchError, OSError) as error:
        yield Finding(check.__name__.strip("_"), "fail", masked(str(error)))


def _python() -> Iterator[Finding]:
    version = sys.version.split()[0]
    good = sys.version_info >= (3, 11)
    advice = "" if good else "orch needs Python 3.11 or later."
    yield Finding("python", "ok" if good else "fail", f"{version} ({sys.executable})", advice)


def _packages() -> Iterator[Finding]:
    for name in PACKAGES:
        try:
            yield Finding(name, "ok", metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Finding(
                name,
                "fail",
                "not installed",
                "Reinstall orch (make setup, or pip install its folder)",
            )


def _machine() -> Iterator[Finding]:
    from orchestrator.cluster import local

    cpus = local.num_cpus()
    try:
        memory = (
            f", {os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB memory"
        )
    except (ValueError, OSError):
        memory = ""
    yield Finding("machine", "ok", f"{cpus:g} CPUs{memory}")


def _gpu() -> Iterator[Finding]:
    try:
        import torch
    except ImportError as error:
        yield Finding("gpu", "fail", f"torch cannot be loaded ({error})", "Reinstall torch.")
        return
    if not torch.cuda.is_available():
        yield Finding("gpu", "ok", "none; jobs run on the CPU (cluster.gpus_per_worker: 0)")
        return
    names = (torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
    yield Finding("gpu", "ok", ", ".join(names))


def _precision() -> Iterator[Finding]:
    text = "float32 with TF32 off on GPUs, unless a job sets training.precision: tf32 or bfloat16"
    yield Finding("precision", "ok", text)


def _arithmetic() -> Iterator[Finding]:
    try:
        import torch

        from models.kernels import EXACT, has_bfloat16, kernel_for
    except ImportError:
        return  # the check of the GPU says so
    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        kernel = kernel_for(torch.device(device))
        backward = "bfloat16 or float32" if has_bfloat16(torch.device(device)) else "float32"
        if kernel is not None:
            text = f"{device}: integers ({kernel.name}) are {EXACT[kernel.sums]}"
            yield Finding("arithmetic", "ok", f"{text}; backward in {backward}")
        else:
            text = f"{device}: no kernel adds up integers exactly, jobs compute in floats"
            advice = "Leave training.arithmetic at auto; a job that says integer fails here."
            yield Finding("arithmetic", "warn", text, advice)


def _cluster() -> Iterator[Finding]:
    from orchestrator.cluster import local, versions

    options = click.get_current_context().params
    target = targets.configured(options["address"], options["cluster"])
    if target is None:
        yield Finding("cluster", "ok", "none configured (RAY_ADDRESS); submit starts a local one")
    else:
        warnings: list[str] = []
        try:
            client = target.client()
            versions.check(client, warnings.append, here=False)
            text = f"{client.url}: {versions.on(client)}, {client.capacity().sentence()}"
            yield Finding("cluster", "warn" if warnings else "ok", text, "".join(warnings))
        except OrchError as error:
            advice = f"Correct {target.by} (now {masked(target.address)!r}), or leave it out."
            yield Finding("cluster", "fail", str(error), advice)
    head = local.running()
    try:
        runs = head is not None and local.answers(head)
    except OrchError as error:
        yield Finding("local head", "fail", str(error))
        return
    found = f"runs at {head.url}, asks for the token in {head.token_file}" if head and runs else ""
    yield Finding("local head", "ok", found or "not running")


def _clusters() -> Iterator[Finding]:
    known = named.load()
    text = f"{', '.join(known)} in" if known else "none is named in"
    yield Finding("clusters", "ok", f"{text} {named.file()}")


def _tracking() -> Iterator[Finding]:
    from orchestrator.job.schema import Tracking
    from orchestrator.track.recorder import check_reachable, tracking_uri

    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        yield Finding("tracking", "ok", "a sqlite file in each job's output folder")
        return
    try:
        check_reachable(tracking_uri(None, "."), Tracking().experiment)
    except OrchError as error:
        advice = "Correct MLFLOW_TRACKING_URI or unset it."
        yield Finding("tracking", "fail", masked(str(error)), advice)
    else:
        yield Finding("tracking", "ok", f"{masked(uri)} answers")


def _home() -> Iterator[Finding]:
    from orchestrator.home import folder, orch_home

    try:
        probe = folder("runs") / f".probe.{os.getpid()}"
        probe.touch()
        probe.unlink()
    except (OrchError, OSError) as error:
        advice = "Set ORCH_HOME to a folder that you can write."
        yield Finding("orch home", "fail", str(error), advice)
        return
    free = shutil.disk_usage(orch_home()).free / 2**30
    advice = "" if free > FREE_GIB else "Checkpoints and Ray's own files need some GiB."
    verdict: Literal["ok", "warn"] = "ok" if free > FREE_GIB else "warn"
    yield Finding("orch home", verdict, f"{orch_home()}, {free:.0f} GiB free", advice)


def _video() -> Iterator[Finding]:
    try:
        from video.decode import frames, probe
    except ImportError as error:
        advice = "Install decord (x86-64) or decord2 (elsewhere)."
        yield Finding("decord", "fail", f"cannot be loaded ({error})", advice)
        return
    name = "decord" if _installed("decord") else "decord2"
    version = metadata.version(name) if _installed(name) else ""
    sample = next(iter(sorted(Path(SAMPLE_VIDEOS).glob("*.mp4"))), None)
    if sample is None:
        yield Finding("decord", "ok", f"{name} {version}, no sample video here to open")
        return
    try:
        index = probe(sample)
        frames(sample, index, [0])
    except (ValueError, OSError, ImportError) as error:
        yield Finding("decord", "fail", f"cannot open {sample} ({error})", "Reinstall decord.")
    else:
        yield Finding(
            "decord", "ok", f"{name} {version} opens {sample.name} ({index.frames} frames)"
        )


def _installed(package: str) -> bool:
    return bool(list(metadata.distributions(name=package)))


def _credentials() -> Iterator[Finding]:
    named = next((name for name in CREDENTIALS if os.environ.get(name)), None)
    given = os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")
    file = Path(os.path.expanduser(given))  # noqa: PTH111 - Path's raises where there is no home
    if named or os.access(file, os.R_OK):
        yield Finding("s3", "ok", f"credentials from {named or file}")
    else:
        yield Finding("s3", "ok", "no credentials; only needed for data or records on S3")


CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    _python,
    _packages,
    _machine,
    _gpu,
    _precision,
    _arithmetic,
    _cluster,
    _clusters,
    _tracking,
    _home,
    _video,
    _credentials,
)
