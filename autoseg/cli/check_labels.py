"""autoseg check --labels"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from autoseg.cli.progress import Bar, count

if TYPE_CHECKING:
    from autoseg.case import Dataset
    from autoseg.evaluate.label_check import Finding
    from autoseg.workspace import Workspace

#: Findings that are printed; the files hold all.
SHOWN = 25


def check_labels(place: Workspace, raw: Dataset, *, config: str | None, plan: str | None, trainer: str | None, workers: int | None) -> None:
    """Rank the training cases' labels by how strongly the out-of-fold predictions of a run contradict them; print and write the ranking."""
    from autoseg.evaluate.label_check import find_contradictions, weak_classes, weak_note
    from autoseg.evaluate.label_files import LabelCheck, write_label_check
    from autoseg.evaluate.out_of_fold import find_out_of_fold, weigh_cases
    from autoseg.fingerprint.hardware import count_cores
    from autoseg.infer.folds import find_run

    run = find_run(place.results(raw.name), plan=plan, config=config, trainer=trainer)
    found = find_out_of_fold(run)
    name = f"{run.parent.name}/{run.name}"
    click.echo(f"Labels against the out-of-fold predictions of {name}")
    with Bar("Comparing", "case") as bar:
        evidence, missing = weigh_cases(raw, found, workers=workers or count_cores(), progress=bar)
    if missing:
        click.echo(f"Not looked at: {count(len(missing), 'case')} that no finished fold has predicted; train all folds to see them")
    findings = find_contradictions(evidence, raw.classes)
    weak = weak_classes(evidence, raw.classes)
    check = LabelCheck(run=name, cases=len(evidence), not_looked_at=tuple(missing), weak_classes=weak, findings=tuple(findings))
    files = write_label_check(run, check, raw.train)
    if weak:
        click.echo(f"Warning: {weak_note(weak, len(raw.classes))}")
    say_findings(findings, len(evidence))
    click.echo(f"Written: {', '.join(map(str, files))}")


def say_findings(findings: Sequence[Finding], num_cases: int) -> None:
    """The first of them, a line each."""
    if not findings:
        click.echo(f"No label of {count(num_cases, 'case')} is contradicted.")
        return
    shown = findings[:SHOWN]
    of = f", the first {len(shown)} of {len(findings)}" if len(findings) > len(shown) else ""
    click.echo(f"Labels to look at, the most contradicted first{of} (strength: Dice below what is usual for so sure a prediction):")
    width = max(len(finding.case) for finding in shown)
    for rank, finding in enumerate(shown, start=1):
        click.echo(f"  {rank:2}  {finding.strength:.2f}  {finding.case:{width}}  {finding.reason}")
    click.echo("Wrong are labels or predictions: look before you mend. Then train again.")
