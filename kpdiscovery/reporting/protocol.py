"""How the figures of a run were measured: the split, the pictures, each protocol."""

from __future__ import annotations

import os
from typing import Any

from kpdiscovery import metrics
from kpdiscovery.reporting import logs
from kpdiscovery.reporting.page import Section, Table
from kpdiscovery.reporting.seen import Seen

_HEAD = ('protocol', 'what it is', 'not measured because')
_FACTS = {
    'split': 'split measured',
    'pictures': 'pictures measured',
    'learnt_from': 'of them in the training split',
    'rows': 'of the rows of the split',
    'evaluation_device': 'measured on',
    'evaluation_seconds': 'seconds of measuring',
    'config_hash': 'config',
    'version': 'kpdiscovery',
    'commit': 'commit',
}


def section(seen: Seen, workdir: str | os.PathLike) -> Section:
    """What was measured on what, and what each protocol means."""
    found = logs.read_metrics(workdir) or {}
    settings = seen.trained.config
    most = min(settings.evaluation.fit, settings.data.get('rows') or 10**9)
    fit = found.get('fit_pictures', f'at most {most}')
    facts = [(name, str(found[key])) for key, name in _FACTS.items() if found.get(key)]
    facts += [
        ('fits', f'on {fit} training pictures'),
        ('command', f'kpd evaluate --workdir={workdir}'),
    ]
    note = 'How the figures are measured.'
    if not found:
        note = 'Nothing is measured yet; this is what would be.'
    meanings = Table(_meanings(seen, found), _HEAD)
    return Section('Protocol', 'protocol', note, [Table(facts), meanings])


def _meanings(seen: Seen, found: dict[str, Any]) -> list[tuple[str, str, str]]:
    """A row a protocol of the method: its name, its first line, whether it was skipped."""
    skipped = found.get('skipped') or {}
    return [
        (name, _meaning(name), str(skipped.get(name, '')))
        for name in seen.trained.method.metrics
    ]


def _meaning(name: str) -> str:
    protocol = metrics.PROTOCOLS[name]
    first = (protocol.function.__doc__ or '').strip().split('\n\n')[0]
    return ' '.join(first.replace('`', '').split())
