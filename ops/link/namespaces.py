"""Network namespaces and the TUN devices in them: made, entered, swept and deleted with `ip`.

A link's two namespaces are called `hw-<pid>-<n>-near` and `hw-<pid>-<n>-far`, after the process that wants the link.
That name is all that is left of a link whose processes were killed, and all that `sweep` needs.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import re
import select
import shutil
import signal
import struct
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ops.link.errors import LinkError
from proxy.clock import MonotonicClock

HOME = Path("/run/netns")
"""Where `ip netns` keeps the names."""
DEVICE = "hw0"
SIDES = ("near", "far")
PARTS = (*SIDES, "probe")
"""`namespaces_permitted` makes the last, for a moment."""
ADDRESSES = {"near": "10.77.0.1", "far": "10.77.0.2"}
ADDRESSES6 = {"near": "fd77::1", "far": "fd77::2"}
"""The same in every link: what is in one link's namespaces can't reach another's. RFC 1918, RFC 4193."""

CONGESTION_CONTROL = "net.ipv4.tcp_congestion_control"
SYSCTLS = {
    # The same everywhere, whatever the machine is set to.
    "net.ipv4.tcp_rmem": "4096 131072 16777216",
    "net.ipv4.tcp_wmem": "4096 131072 16777216",
    # A connection must not begin with the window and the threshold that the one before it to the same address left.
    "net.ipv4.tcp_no_metrics_save": "1",
    # Ping without privileges.
    "net.ipv4.ping_group_range": "0 2147483647",
    # Only what programs send may be on the link.
    "net.ipv6.conf.default.router_solicitations": "0",
    "net.ipv6.conf.default.accept_dad": "0",
}
"""Set in both namespaces when they are made; and cubic as TCP's congestion control, where that is allowed."""

TUN_QUEUE_PACKETS = 10_000
"""Between the kernel and the shuttle. The model's queue is the one that fills and drops: this one is emptied at each of
the shuttle's turns, and is long enough that what a sender hands over in one burst finds room (the largest window of
`tcp_wmem` is 11 000 packets)."""

_NAME = re.compile(r"(hw-(\d+)-\d+)-(?:near|far|probe)")
_TUNSETIFF = 0x400454CA
_IFF_TUN_WITHOUT_HEADER = 0x0001 | 0x1000
_CLONE_NEWNET = 0x40000000
_PATIENCE_S = 1.0
"""For a process to end after SIGTERM."""
_LINKS_OF_ONE_OWNER = 1000


class NameTakenError(LinkError):
    """A namespace of that name is there already."""


@dataclass(frozen=True, slots=True)
class Trace:
    """A link, as its namespaces' names tell of it."""

    name: str
    """`hw-<pid>-<n>`."""
    owner: int
    """The process that wants it."""


def ip(*arguments: str, batch: str = "") -> None:
    """Run `ip`. Raises `LinkError` with what it says."""
    command = ["ip", *arguments]
    try:
        done = subprocess.run(command, input=batch, capture_output=True, text=True, check=False, timeout=20)
    except FileNotFoundError as error:
        raise LinkError("there is no `ip` command; Debian and Ubuntu have it in the package iproute2") from error
    except subprocess.TimeoutExpired as error:
        raise LinkError(f"`{' '.join(command)}` did not end within 20 s") from error
    if done.returncode != 0:
        text = " ".join((done.stderr or done.stdout).split())
        kind = NameTakenError if "File exists" in text else LinkError
        raise kind(f"`{' '.join(command)}` failed: {text}")


def namespaces_permitted() -> str | None:
    """None if namespaces and TUN devices work here, else the reason in one line. Tries them."""
    if os.geteuid() != 0:
        return "network namespaces need root; this process has user id " + str(os.geteuid())
    if shutil.which("ip") is None:
        return "there is no `ip` command; Debian and Ubuntu have it in the package iproute2"
    if not Path("/dev/net/tun").exists():
        return "there is no /dev/net/tun; `modprobe tun`, or `--device /dev/net/tun` for a container"
    try:
        name = _add_first_free(os.getpid(), "probe")
        try:
            ip("-n", f"{name}-probe", "tuntap", "add", "dev", DEVICE, "mode", "tun")
        finally:
            delete(name, parts=("probe",))
    except LinkError as error:
        return str(error)
    return None


def create(owner: int) -> str:
    """Two namespaces for a link that `owner` wants; the link's name. Raises `LinkError`."""
    near, far = SIDES
    name = _add_first_free(owner, near)
    try:
        ip("netns", "add", f"{name}-{far}")
    except BaseException:
        delete(name)
        raise
    return name


def _add_first_free(owner: int, part: str) -> str:
    """Add `hw-<owner>-<n>-<part>` with the first n that is free; the name before the part. Raises `LinkError`.

    Whether it is free is for the kernel to say: several threads and shuttles of one owner may ask at once.
    """
    for number in range(_LINKS_OF_ONE_OWNER):
        with contextlib.suppress(NameTakenError):
            ip("netns", "add", f"hw-{owner}-{number}-{part}")
            return f"hw-{owner}-{number}"
    raise LinkError(f"process {owner} has {_LINKS_OF_ONE_OWNER} links already")


@contextlib.contextmanager
def inside(namespace: str) -> Iterator[None]:
    """This thread works in the namespace meanwhile. Raises `LinkError`."""
    libc = ctypes.CDLL(None, use_errno=True)

    def enter(handle: int, what: str) -> None:
        if libc.setns(handle, _CLONE_NEWNET) != 0:
            raise LinkError(f"can't enter namespace {what}: {os.strerror(ctypes.get_errno())}")

    with contextlib.ExitStack() as stack:
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        stack.callback(os.close, home)
        try:
            there = os.open(HOME / namespace, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise LinkError(f"there is no namespace {namespace}: {error.strerror}") from error
        stack.callback(os.close, there)
        enter(there, namespace)
        stack.callback(enter, home, "of this process")
        yield


def open_device(namespace: str, side: str, *, mtu_bytes: int) -> int:
    """Make the namespace and its device ready; the device's file descriptor, which does not block.

    A read and a write is one IP packet. The device is opened without the header that TUN has for offloads, so the
    kernel cuts TCP's segments to the MTU and fills in their checksums before they get here. Raises `LinkError`.
    """
    with contextlib.suppress(LinkError):  # links are for UDP too
        allow_congestion_control("cubic")
    with inside(namespace):
        with contextlib.suppress(LinkError):
            write_sysctl(CONGESTION_CONTROL, "cubic")
        handle = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.ioctl(handle, _TUNSETIFF, struct.pack("16sH22x", DEVICE.encode(), _IFF_TUN_WITHOUT_HEADER))
            for key, value in SYSCTLS.items():
                write_sysctl(key, value)
        except BaseException:
            os.close(handle)
            raise
    lines = [
        "link set lo up",
        f"link set {DEVICE} mtu {mtu_bytes} txqueuelen {TUN_QUEUE_PACKETS} addrgenmode none",
        f"addr add {ADDRESSES[side]}/24 dev {DEVICE}",
        f"link set {DEVICE} up",
    ]
    if mtu_bytes >= 1280:  # RFC 8200 section 5; below it the kernel has no IPv6 on the device
        lines.insert(3, f"addr add {ADDRESSES6[side]}/64 dev {DEVICE} nodad")
    try:
        ip("-n", namespace, "-batch", "-", batch="\n".join(lines))
    except BaseException:
        os.close(handle)
        raise
    return handle


def allow_congestion_control(name: str) -> None:
    """Let namespaces choose this one. Raises `LinkError`.

    Outside the first namespace Linux takes no default that ordinary users may not choose, and that list is the
    machine's. It is made to have all that the kernel has; it stays so after the link has gone.
    """
    allowed = "net.ipv4.tcp_allowed_congestion_control"
    if name not in read_sysctl(allowed).split():
        available = read_sysctl("net.ipv4.tcp_available_congestion_control")
        if name in available.split():
            write_sysctl(allowed, available)


def write_sysctl(key: str, value: str) -> None:
    """Set `net.…` of the namespace that this thread is in. Raises `LinkError`."""
    try:
        _sysctl_path(key).write_text(value)
    except OSError as error:
        hint = ""
        if key == CONGESTION_CONTROL:
            hint = f"; this kernel has {read_sysctl('net.ipv4.tcp_available_congestion_control')}"
        raise LinkError(f"{key} can't be {value!r}: {error.strerror}{hint}") from error


def read_sysctl(key: str) -> str:
    """`net.…` of the namespace that this thread is in. Raises `LinkError`."""
    try:
        return _sysctl_path(key).read_text().strip()
    except OSError as error:
        raise LinkError(f"{key} can't be read: {error.strerror}") from error


def _sysctl_path(key: str) -> Path:
    if not key.startswith("net.") or "/" in key or ".." in key:
        raise LinkError(f"{key} is not one of a namespace's own settings; allowed: net.…, with dots")
    return Path("/proc/sys", *key.split("."))


def links(home: Path = HOME) -> list[Trace]:
    """The links that have namespaces now, by name."""
    try:
        names = sorted(entry.name for entry in home.iterdir())
    except FileNotFoundError:
        return []
    matches = [match for name in names if (match := _NAME.fullmatch(name))]
    return list(dict.fromkeys(Trace(match[1], int(match[2])) for match in matches))


def alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and was not waited for yet does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in {"Z", "X"}


def sweep() -> list[str]:
    """Delete the namespaces of links whose owner is gone; their names."""
    stale = [link.name for link in links() if not alive(link.owner)]
    for name in stale:
        delete(name)
    return stale


def delete(name: str, parts: Sequence[str] = PARTS) -> None:
    """Delete a link's namespaces, if they are there, and end what still runs inside: SIGTERM, then SIGKILL.

    The near one, which holds the name, goes last: another link may take the name as soon as it is gone.
    """
    for part in reversed(parts):
        namespace = f"{name}-{part}"
        if (HOME / namespace).exists():
            end_processes(namespace)
            with contextlib.suppress(LinkError):  # somebody else was faster
                ip("netns", "del", namespace)


def end_processes(namespace: str) -> None:
    """End what runs inside a namespace: SIGTERM, and SIGKILL for what is still there a second later."""
    handles = []
    for pid in processes(namespace):
        with contextlib.suppress(ProcessLookupError):
            handles.append(os.pidfd_open(pid))
    running = handles
    for number in (signal.SIGTERM, signal.SIGKILL):
        for handle in running:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, number)
        running = _still_running(running)
    for handle in handles:
        os.close(handle)


def _still_running(handles: list[int]) -> list[int]:
    """Those whose processes have not ended after `_PATIENCE_S`."""
    clock = MonotonicClock()
    give_up_at = clock.now() + _PATIENCE_S
    running = handles
    while running and (left_s := give_up_at - clock.now()) > 0:
        ended, _, _ = select.select(running, [], [], left_s)
        running = [handle for handle in running if handle not in ended]
    return running


def processes(namespace: str) -> list[int]:
    """The processes inside a namespace."""
    try:
        there = (HOME / namespace).stat()
    except OSError:
        return []
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                here = (entry / "ns/net").stat()
                if (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino):
                    found.append(int(entry.name))
    return found
