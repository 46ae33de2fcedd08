"""File, environment and flags → `Config`, or `ConfigError` with every problem."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from proxy.config.fields import fields_of
from proxy.config.reader import Reader
from proxy.config.records import DEFAULT_CLASSES, Config, FileSettings, Role, TrafficSettings
from proxy.config.rules import check_daemon, check_proxy, default_class
from proxy.config.sources import (
    Node,
    Origin,
    Override,
    Problem,
    overlay_environment,
    overlay_flags,
    read_file,
    read_yaml,
)
from proxy.config.values import Available
from proxy.errors import ConfigError

ROLES: tuple[Role, ...] = ("proxy", "daemon")


def load_config(
    path: Path | None,
    *,
    roles: Sequence[Role] = (),
    environment: Mapping[str, str] | None = None,
    overrides: Sequence[Override] = (),
    available: Available | None = None,
    check_files: bool = True,
) -> Config:
    """Read and check the configuration.

    `roles` are what this machine is to run: their sections must be there, and the files that they name must exist here.
    The other section is checked too, except for its files, which live on another machine; without roles, every section
    there counts. Without `check_files` no file needs to exist, for who only looks up an address. Raises `ConfigError`
    with a line for each problem.
    """
    problems: list[Problem] = []
    root = Node({}, Origin("no file")) if path is None else read_file(path, problems)
    _add_default_classes(root, problems)
    overlay_environment(root, environment or {}, [item.key for item in fields_of(FileSettings)], problems)
    overlay_flags(root, overrides, problems)
    assert isinstance(root.value, dict)  # noqa: S101 -- read_file answers with a mapping whatever the file holds
    roles = roles or [role for role in ROLES if _given(root.value.get(role))]
    for role in roles:
        if not _given(root.value.get(role)):
            root.value[role] = Node({}, root.origin)
    files_of = frozenset(roles) | {"telemetry"} if check_files else frozenset[str]()
    reader = Reader(available or Available(), files_of, problems, {"": root.origin})
    settings = reader.record(FileSettings, root)
    default = default_class(reader, settings)
    if settings.proxy is not None:
        check_proxy(reader, settings.proxy)
    if settings.daemon is not None:
        check_daemon(reader, settings.daemon)
    if not roles and not problems:
        reader.refuse("", "has no proxy and no daemon section", ", ".join(item.key for item in fields_of(FileSettings)))
    if problems:
        raise ConfigError([str(problem) for problem in sorted(problems, key=_place)])
    return _config(settings, default, reader)


def _add_default_classes(root: Node, problems: list[Problem]) -> None:
    if isinstance(root.value, dict) and not _given(root.value.get("classes")):
        classes = read_yaml(DEFAULT_CLASSES, Origin("default", typed=True, given=False), problems)
        root.value["classes"] = classes or Node({}, root.origin)


def _given(node: Node | None) -> bool:
    return node is not None and node.value is not None


def _place(problem: Problem) -> tuple[bool, int]:
    return _order(problem.origin)


def _order(origin: Origin) -> tuple[bool, int]:
    """What the file says by line, then the rest as it came."""
    return origin.line is None, origin.line or 0


def _config(settings: FileSettings, default: str, reader: Reader) -> Config:
    classes = {name: item.traffic_class() for name, item in settings.classes.items()}
    daemon = settings.daemon
    if daemon is not None and daemon.default is None:
        daemon = replace(daemon, default=next(iter(daemon.tritons)))
    return Config(
        traffic=TrafficSettings(MappingProxyType(classes), default, settings.unknown_class),
        scheduler=settings.scheduler,
        telemetry=settings.telemetry,
        proxy=settings.proxy,
        daemon=daemon,
        origins=MappingProxyType(dict(reader.origins)),
    )
