"""The rules of the tree, each a function from a file to the lines that break it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

from tests.architecture.layout import Module

Rule = Callable[[Module], Iterator[str]]

MAX_LINES = 450

PURE = ("policies/", "proxy/tunnel/")
"""What decides: events and times come in as arguments."""
IMPURE_IMPORTS = ("asyncio", "socket", "time", "random", "grpc", "grpc_health", "grpc_status", "uvloop", "threading")

PORT = "proxy.tunnel.exchange"
"""All that edge and daemon know of the tunnel."""

TORCH_HOME = "policies/dqn/"
AIOQUIC_HOME = "proxy/quic/"
AIOQUIC_PRIVATE_HOMES = (
    "proxy/quic/connection.py",
    "proxy/quic/credit_connection.py",
    "proxy/quic/path_connection.py",
    "proxy/quic/receiving_connection.py",
    "proxy/quic/sending_connection.py",
    "proxy/quic/congestion/recovery.py",
    "proxy/quic/send_buffer.py",
    "proxy/quic/http3.py",
)
"""The seam to aioquic: its subclasses."""
GRPC_PRIVATE_HOMES = ("proxy/http2/outgoing.py",)
"""One function, which says why."""
NAMED_TUPLE = ("_replace", "_asdict")
"""Public, whatever the underscore says."""

TRITONCLIENT_HOMES = (
    "proxy/daemon/triton.py",
    "proxy/commands/tritons.py",  # `headway check` compares candidates before there is a daemon
    "proxy/profiling/server.py",  # `headway profile` measures them before there is one
    "proxy/demo/",  # a client like any other
)

CLOCK_HOMES = (
    "proxy/clock.py",
    "proxy/quic/driver.py",
    "proxy/telemetry/",
    "proxy/demo/triton_server.py",  # waits for Triton's processes to end when no event loop runs any more
)
WALL_TIME_HOMES = (
    "proxy/cli.py",  # the date for certificates
    "proxy/demo/demo.py",
    "proxy/testing/stack.py",
    "proxy/telemetry/",  # spans carry dates
)
"""Deadlines never see a date."""

TASKS_HOME = "proxy/tasks.py"

NAMELESS = ("util.py", "utils.py", "helpers.py", "common.py", "misc.py", "manager.py")


def _is(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def _imports(module: Module, *packages: str) -> Iterator[tuple[int, str]]:
    return ((line, name) for line, name in module.imports() if _is(name, *packages))


def _at(module: Module, line: int, what: str) -> str:
    return f"{module.path}:{line}: {what}"


def policies_know_nothing_of_the_proxy(module: Module) -> Iterator[str]:
    if module.path.startswith("policies/"):
        yield from (_at(module, line, f"imports {name}") for line, name in _imports(module, "proxy"))


def what_decides_is_pure(module: Module) -> Iterator[str]:
    if module.path.startswith(PURE):
        yield from (_at(module, line, f"imports {name}") for line, name in _imports(module, *IMPURE_IMPORTS))


def torch_stays_in_dqn(module: Module) -> Iterator[str]:
    if not module.path.startswith(TORCH_HOME):
        yield from (_at(module, line, f"imports {name}") for line, name in _imports(module, "torch"))


def edge_and_daemon_know_only_the_port(module: Module) -> Iterator[str]:
    for home, other in (("proxy/edge/", "proxy.daemon"), ("proxy/daemon/", "proxy.edge")):
        if module.path.startswith(home):
            for line, name in _imports(module, other, "proxy.quic", "proxy.tcp", "proxy.tunnel"):
                if not _is(name, PORT):
                    yield _at(module, line, f"imports {name}")


def tunnel_knows_no_packets(module: Module) -> Iterator[str]:
    if module.path.startswith("proxy/tunnel/"):
        for line, name in _imports(module, "aioquic", "proxy.quic", "proxy.tcp", "proxy.edge", "proxy.daemon"):
            yield _at(module, line, f"imports {name}")


def control_knows_only_its_port(module: Module) -> Iterator[str]:
    """`compose` puts a process behind it."""
    if module.path.startswith("proxy/control/"):
        parts = ("proxy.edge", "proxy.daemon", "proxy.tunnel", "proxy.quic", "proxy.tcp", "proxy.compose")
        yield from (_at(module, line, f"imports {name}") for line, name in _imports(module, *parts))


def aioquic_stays_in_quic(module: Module) -> Iterator[str]:
    if not module.path.startswith(AIOQUIC_HOME):
        yield from (_at(module, line, f"imports {name}") for line, name in _imports(module, "aioquic"))


def triton_messages_have_one_home(module: Module) -> Iterator[str]:
    if not module.path.startswith(TRITONCLIENT_HOMES):
        yield from (_at(module, line, f"imports {name}") for line, name in _imports(module, "tritonclient"))


def nobody_touches_private_attributes(module: Module) -> Iterator[str]:
    """Of other objects; and in quic no class but connection's inherits any from aioquic."""
    if module.path in AIOQUIC_PRIVATE_HOMES + GRPC_PRIVATE_HOMES:
        return
    aioquic_names = module.names_from("aioquic")
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and _private(node.attr) and not _own(node.value):
            yield _at(module, node.lineno, f"touches {ast.unparse(node)}")
        elif isinstance(node, ast.ClassDef):
            inherits = any(_last_name(base) in aioquic_names for base in node.bases)
            if inherits:
                yield from _inherited_private(module, node)


def _inherited_private(module: Module, definition: ast.ClassDef) -> Iterator[str]:
    """Private attributes that the class uses and nobody in it defines: they can only be aioquic's."""
    defined = {item.name for item in ast.walk(definition) if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef))}
    used: dict[str, int] = {}
    for node in ast.walk(definition):
        if isinstance(node, ast.Attribute) and _private(node.attr) and _own(node.value):
            if isinstance(node.ctx, ast.Store):
                defined.add(node.attr)
            else:
                used.setdefault(node.attr, node.lineno)
    yield from (_at(module, line, f"uses aioquic's self.{name}") for name, line in used.items() if name not in defined)


def _private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__") and name not in NAMED_TUPLE


def _own(value: ast.expr) -> bool:
    """`self`, `cls`, and `super()`."""
    if isinstance(value, ast.Call):
        return isinstance(value.func, ast.Name) and value.func.id == "super"
    return isinstance(value, ast.Name) and value.id in {"self", "cls"}


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def clocks_are_read_in_few_places(module: Module) -> Iterator[str]:
    if not module.path.startswith(CLOCK_HOMES):
        yield from (_at(module, line, f"imports {name}") for line, name in _imports(module, "time"))
        for node in _calls(module):
            if isinstance(node.func, ast.Attribute) and node.func.attr == "time" and not node.args:
                yield _at(module, node.lineno, f"calls {ast.unparse(node.func)}()")
    if not module.path.startswith(WALL_TIME_HOMES):
        for node in _calls(module):
            if ast.unparse(node.func).endswith(("datetime.now", "datetime.utcnow", "date.today", "datetime.today")):
                yield _at(module, node.lineno, f"calls {ast.unparse(node.func)}()")


def tasks_start_in_one_place(module: Module) -> Iterator[str]:
    """A task group's own `create_task` keeps its tasks and is fine."""
    if module.path == TASKS_HOME:
        return
    for node in _calls(module):
        if isinstance(node.func, ast.Name) and node.func.id in {"create_task", "ensure_future"}:
            yield _at(module, node.lineno, f"calls {node.func.id}")
        elif isinstance(node.func, ast.Attribute) and node.func.attr in {"create_task", "ensure_future"}:
            owner = ast.unparse(node.func.value)
            if owner == "asyncio" or "loop" in owner:
                yield _at(module, node.lineno, f"calls {owner}.{node.func.attr}")


def _calls(module: Module) -> Iterator[ast.Call]:
    return (node for node in ast.walk(module.tree) if isinstance(node, ast.Call))


def files_stay_short(module: Module) -> Iterator[str]:
    lines = module.text.count("\n")
    if lines > MAX_LINES:
        yield f"{module.path}: {lines} lines, at most {MAX_LINES}"


def files_are_named_for_a_noun(module: Module) -> Iterator[str]:
    if module.path.rpartition("/")[2] in NAMELESS:
        yield f"{module.path}: says nothing about what is in it"


RULES: tuple[Rule, ...] = (
    policies_know_nothing_of_the_proxy,
    what_decides_is_pure,
    torch_stays_in_dqn,
    edge_and_daemon_know_only_the_port,
    tunnel_knows_no_packets,
    control_knows_only_its_port,
    aioquic_stays_in_quic,
    triton_messages_have_one_home,
    nobody_touches_private_attributes,
    clocks_are_read_in_few_places,
    tasks_start_in_one_place,
    files_stay_short,
    files_are_named_for_a_noun,
)
