"""What takes more than one key to see. Each rule looks only at values that could be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from policies.profile_file import read_profile
from policies.simulation.keys import WorkloadError
from proxy.config.reader import Reader
from proxy.config.records import CandidateSettings, DaemonSettings, FileSettings, ProxySettings, RouteSettings
from proxy.config.sources import nearest
from proxy.config.tokens import read_tokens

FALLBACK_CLASS = "standard"
"""The class of a request that names none, where the file has a class of that name and no `default_class`."""


def default_class(reader: Reader, settings: FileSettings) -> str:
    """The class of requests that name none."""
    classes = settings.classes
    if not reader.fine("classes", inside=False) or not reader.fine("default_class"):
        return ""
    if settings.default_class is None:
        if FALLBACK_CLASS in classes:
            return FALLBACK_CLASS
        if len(classes) == 1:
            return next(iter(classes))
        reader.refuse("default_class", "is missing", ", ".join(classes))
        return ""
    _exists(reader, "default_class", settings.default_class, classes, "class")
    return settings.default_class


def check_proxy(reader: Reader, proxy: ProxySettings) -> None:
    """Certificates in pairs, daemons named once, control on loopback or by certificate, a token in the token's file."""
    for one, other in (("client_cert", "client_key"), ("client_key", "client_cert")):
        keys = f"proxy.{one}", f"proxy.{other}"
        if reader.fine(*keys) and getattr(proxy, one) is not None and getattr(proxy, other) is None:
            reader.refuse(keys[0], f"needs {other} beside it")
    if reader.fine("proxy.daemons"):
        _once(reader, "proxy.daemons", proxy.daemons)
    _check_ports(reader, "proxy", proxy)
    _check_control(reader, "proxy", proxy)
    _check_tokens(reader, "proxy", proxy.token_file)


def check_daemon(reader: Reader, daemon: DaemonSettings) -> None:
    """A token beyond loopback, for control a certificate; routes and the default name what exists."""
    if (
        reader.fine("daemon.listen", "daemon.token_file")
        and daemon.token_file is None
        and not daemon.listen.is_loopback
    ):
        reader.refuse(
            "daemon.listen",
            f"{daemon.listen} is open to other machines, and there is no daemon.token_file that says whom to let in",
            "an address on loopback, or a token_file (`headway certs` makes one)",
        )
    _check_ports(reader, "daemon", daemon)
    _check_control(reader, "daemon", daemon)
    _check_tokens(reader, "daemon", daemon.token_file)
    if not reader.fine("daemon.tritons", inside=False):
        return
    if daemon.default is None:
        if len(daemon.tritons) > 1 and reader.fine("daemon.default"):
            what = "is missing: calls that no route claims go to one of several tritons"
            reader.refuse("daemon.default", what, ", ".join(daemon.tritons))
    elif reader.fine("daemon.default"):
        _exists(reader, "daemon.default", daemon.default, daemon.tritons, "triton")
    for name, route in daemon.routes.items():
        _check_route(reader, f"daemon.routes.{name}", route, daemon)
    _check_profiles(reader, daemon)


def _check_route(reader: Reader, key: str, route: RouteSettings, daemon: DaemonSettings) -> None:
    if not reader.fine(f"{key}.candidates", inside=False):
        return
    for index, candidate in enumerate(route.candidates):
        if reader.fine(f"{key}.candidates[{index}].triton"):
            _exists(reader, f"{key}.candidates[{index}].triton", candidate.triton, daemon.tritons, "triton")
    if not reader.fine(f"{key}.candidates"):
        return
    _once(reader, f"{key}.candidates", [f"{candidate.model} on {candidate.triton}" for candidate in route.candidates])
    if reader.fine(f"{key}.policy"):
        name, _, model = route.policy.partition(":")
        models = list(dict.fromkeys(candidate.model for candidate in route.candidates))
        if name == "static" and model not in models:
            allowed = ", ".join(f"static:{model}" for model in models)
            reader.refuse(f"{key}.policy", f"'{model}' is none of the candidates", allowed)


def _check_profiles(reader: Reader, daemon: DaemonSettings) -> None:
    """Files that can be read, and for each model of a Triton one at most."""
    first: dict[tuple[str, str], tuple[str, Path]] = {}
    for name, route in daemon.routes.items():
        if not reader.fine(f"daemon.routes.{name}.candidates"):
            continue
        for index, candidate in enumerate(route.candidates):
            if candidate.profile is None:
                continue
            key = f"daemon.routes.{name}.candidates[{index}].profile"
            if "daemon" in reader.files_of:
                _check_profile(reader, key, candidate.profile, candidate)
            other, path = first.setdefault((candidate.triton, candidate.model), (key, candidate.profile))
            if path != candidate.profile:
                what = f"{candidate.model} on {candidate.triton} has another profile, {path}, by {other}"
                reader.refuse(key, what, "one file for a model wherever it is a candidate")


def _check_profile(reader: Reader, key: str, path: Path, candidate: CandidateSettings) -> None:
    try:
        read_profile(path, candidate.model)
    except WorkloadError as error:
        reader.refuse(key, str(error), "a file that `headway profile` wrote")


def _check_ports(reader: Reader, section: str, settings: ProxySettings | DaemonSettings) -> None:
    """What one process listens on has addresses of its own."""
    taken: dict[object, str] = {}
    for name in ("listen", "health", "control_listen", "metrics_listen"):
        key, address = f"{section}.{name}", getattr(settings, name)
        if not reader.fine(key) or address is None or not address.port:
            continue
        first = taken.setdefault(address, key)
        if first != key:
            reader.refuse(key, f"{address} is the address of {first}", "another port")


def _check_control(reader: Reader, section: str, settings: ProxySettings | DaemonSettings) -> None:
    """Whoever reaches the control service may switch and drain: beyond loopback that takes a certificate."""
    key = f"{section}.control_listen"
    listen = settings.control_listen
    if not reader.fine(key, f"{section}.control_tls"):
        return
    if listen is None:
        if settings.control_tls is not None:
            reader.refuse(f"{section}.control_tls", "needs control_listen beside it")
    elif settings.control_tls is None and not listen.is_loopback:
        reader.refuse(
            key,
            f"{listen} is open to other machines, and there is no {section}.control_tls that says whom to let in",
            "an address on loopback, or control_tls: {cert: …, key: …, client_ca: …} beside it",
        )


def _check_tokens(reader: Reader, section: str, path: Path | None) -> None:
    key = f"{section}.token_file"
    if path is None or section not in reader.files_of or not reader.fine(key):
        return
    try:
        read_tokens(path)
    except UnicodeDecodeError:
        reader.refuse(key, f"{path} is not text", "a token in each line, visible ASCII")
    except ValueError as error:
        reader.refuse(key, f"{path} {error}", "a token in each line, visible ASCII")
    except OSError as error:
        reader.refuse(key, f"{path} cannot be read: {error.strerror}")


def _exists(reader: Reader, key: str, name: str, known: Mapping[str, object], noun: str) -> None:
    if name not in known:
        close = nearest(name, known)
        hint = f", did you mean '{close}'?" if close else ""
        reader.refuse(key, f"there is no {noun} '{name}'{hint}", ", ".join(known))


def _once(reader: Reader, key: str, values: Sequence[object]) -> None:
    seen: dict[object, int] = {}
    for index, value in enumerate(values):
        if value in seen:
            reader.refuse(f"{key}[{index}]", f"{value} is named twice, first as {key}[{seen[value]}]")
        else:
            seen[value] = index
