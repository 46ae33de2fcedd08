"""aioquic's QUIC connection with a path of its own mind: packet size, acknowledgements, resets, client certificates.

What changes against aioquic:

- Acknowledgements that are pending leave with data that leaves anyway, and a lone one waits for that.
- The path's packet size is probed with padded PINGs (RFC 9000 section 14.3, RFC 8899), and given up again when the path
  loses it.
- Stateless reset tokens can be computed again by a server that was restarted (RFC 9000 section 10.3.2).
- A server can ask for client certificates.
- Loss recovery is `congestion.recovery`'s: BBR, pacing, and delivery rates with every congestion controller.
"""

from __future__ import annotations

import hmac
import math
from typing import Any

from aioquic import tls
from aioquic._buffer import Buffer
from aioquic.quic import events
from aioquic.quic.connection import QuicConnectionState, QuicNetworkPath
from aioquic.quic.packet import QuicFrameType, QuicPacketType, pull_quic_transport_parameters
from aioquic.quic.packet_builder import QuicDeliveryState, QuicPacketBuilder
from cryptography import x509

from proxy.quic.congestion.recovery import PathRecovery
from proxy.quic.limits import PathStatistics
from proxy.quic.path_mtu import PathMtuSearch
from proxy.quic.receiving_connection import ReceivingConnection
from proxy.quic.stateless_reset import reset_token, shown_token

LONE_ACK_DELAY_S = 0.020
"""How long the acknowledgement of a single packet waits for an answer to ride on. Less than the max_ack_delay of 25 ms
that peers reckon with (RFC 9000 section 18.2)."""
BULK_ACK_DELAY_S = 0.001
"""How long acknowledgements wait once several packets have come: aioquic's own delay."""
BULK_DATAGRAMS = 2
"""Datagrams after which acknowledgements are not held back any more (RFC 9000 section 13.2.2)."""

# aioquic looks its keys and packet spaces up by epoch some twenty times a packet, and Enum's own hash is Python code.
# Members are compared by identity, so hashing by identity is the same.
tls.Epoch.__hash__ = object.__hash__  # type: ignore[method-assign]

LIMIT_CAPACITY = 1 + 2 * 8
"""Room that MAX_DATA or MAX_STREAM_DATA takes at most."""


class PathConnection(ReceivingConnection):
    """A QUIC connection that finds out how large its packets may be.

    `discover_path_mtu` off: packets stay as large as the configuration says. `reset_secret` makes stateless reset
    tokens computable; `ask_for_certificate` makes a server ask, but what is shown is for the caller to judge.
    """

    def __init__(
        self,
        *,
        discover_path_mtu: bool = True,
        ask_for_certificate: bool = False,
        reset_secret: bytes | None = None,
        **quic: Any,
    ) -> None:
        self._reset_secret = reset_secret
        self._ask_for_certificate = ask_for_certificate
        super().__init__(**quic)
        # Nothing has been sent yet: aioquic's own has no state to take over.
        self._loss = self._recovery = PathRecovery(
            congestion_control_algorithm=self._configuration.congestion_control_algorithm,
            initial_rtt=self._configuration.initial_rtt,
            max_datagram_size=self._max_datagram_size,
            peer_completed_address_validation=not self._is_client,
            send_probe=self._send_probe,
            quic_logger=self._quic_logger,
            logger=self._logger,
        )
        self._mtu = PathMtuSearch(self._max_datagram_size, enabled=discover_path_mtu)
        self._ack_delay = LONE_ACK_DELAY_S
        self._unacknowledged_datagrams = 0
        if reset_secret is not None:
            self._host_cids[0].stateless_reset_token = reset_token(reset_secret, self._host_cids[0].cid)

    @property
    def is_ready(self) -> bool:
        """True between the end of the handshake and the first sign of the connection's end."""
        return self._handshake_complete and self._close_event is None and not self._close_pending

    @property
    def closed_by_peer(self) -> events.ConnectionTerminated | None:
        """What the peer said when it closed the connection.

        aioquic makes an event of it only three probe timeouts later, at the end of the draining period (RFC 9000
        section 10.2.2).
        """
        return self._close_event if self._state is QuicConnectionState.DRAINING else None

    @property
    def unanswered_timeouts(self) -> int:
        """Probe timeouts in a row without anything heard from the peer (RFC 9002 section 6.2)."""
        return self._loss._pto_count

    @property
    def awaits_acknowledgement(self) -> bool:
        """True while something was sent that the peer has not acknowledged."""
        return any(space.ack_eliciting_in_flight for space in self._loss.spaces)

    @property
    def peer_certificates(self) -> list[x509.Certificate]:
        """What the peer showed, its own certificate first; empty if none. Only its signature has been checked."""
        own = self.tls._peer_certificate
        return [] if own is None else [own, *self.tls._peer_certificate_chain]

    @property
    def connection_ids(self) -> list[bytes]:
        """The IDs under which datagrams for this connection may arrive."""
        return [cid.cid for cid in self._host_cids]

    def is_reset_by(self, datagram: bytes) -> bool:
        """True for a datagram that says that the peer has forgotten the connection (RFC 9000 section 10.3.1)."""
        if datagram.startswith(self.host_cid, 1):  # our own number in front: an ordinary packet
            return False
        token = shown_token(datagram)
        if token is None:
            return False
        known = (self._peer_cid, *self._peer_cid_available)
        return any(hmac.compare_digest(token, cid.stateless_reset_token) for cid in known if cid.stateless_reset_token)

    def path_statistics(self) -> PathStatistics:
        """The path as seen now."""
        loss = self._recovery
        control = loss.control
        return PathStatistics(
            rtt_s=loss._rtt_smoothed,
            min_rtt_s=loss._rtt_min,
            congestion_window_bytes=control.congestion_window,
            bytes_in_flight=control.bytes_in_flight,
            datagram_bytes=self._max_datagram_size,
            delivery_rate_bytes_s=control.delivery_rate_bytes_s,
            pacing_rate_bytes_s=loss.pacer.rate_bytes_s or math.inf,
            congestion_control=control.name,
            congestion_state=control.state,
            sent_packets=loss.sent_packets,
            sent_bytes=loss.sent_bytes,
            delivered_bytes=control.sampler.delivered,
            lost_packets=control.sampler.lost_packets,
            lost_bytes=control.sampler.lost,
            late_packets=loss.reordering.spurious_packets,
            rtt_deviation_s=loss._rtt_variance,
        )

    # What aioquic calls

    def receive_datagram(self, data: bytes, addr: Any, now: float) -> None:
        super().receive_datagram(data, addr, now)
        space = self._spaces[tls.Epoch.ONE_RTT]
        if space.ack_at is None:  # it had nothing in it that wants an acknowledgement
            return
        self._unacknowledged_datagrams += 1
        if self._unacknowledged_datagrams >= BULK_DATAGRAMS and self._handshake_confirmed:
            space.ack_at = min(space.ack_at, now + BULK_ACK_DELAY_S)

    def get_timer(self) -> float | None:
        if not self.is_settled:
            return super().get_timer()
        self._loss_at = loss_at = self._recovery.get_loss_detection_time(amplification_limited=False)
        when = self._close_at or math.inf
        for at in (self._spaces[tls.Epoch.ONE_RTT].ack_at, loss_at, self._pacing_at):
            if at is not None and at < when:
                when = at
        return when

    def handle_timer(self, now: float) -> None:
        super().handle_timer(now)
        if self._mtu.timed_out(self._loss._pto_count):
            self._use_datagram_size(self._mtu.size_bytes)

    def datagrams_to_send(self, now: float) -> list[tuple[bytes, tuple[str, int]]]:
        datagrams = super().datagrams_to_send(now)
        if self._handshake_confirmed and self._close_event is None and self._network_paths[0].is_validated:
            size = self._mtu.next_probe()
            if size is not None:
                datagrams += self._mtu_probe(size, now)
        return datagrams

    def _initialize(self, peer_cid: bytes) -> None:
        super()._initialize(peer_cid)
        self.tls._request_client_certificate = self._ask_for_certificate

    def _replenish_connection_ids(self) -> None:
        super()._replenish_connection_ids()
        if self._reset_secret is not None:
            for cid in self._host_cids:
                if not cid.was_sent:
                    cid.stateless_reset_token = reset_token(self._reset_secret, cid.cid)

    def _write_control_frames(self, builder: QuicPacketBuilder, network_path: QuicNetworkPath, now: float) -> None:
        """What concerns the connection itself, in aioquic's order."""
        space = self._spaces[tls.Epoch.ONE_RTT]
        if self._handshake_complete:
            if not (network_path.is_validated or network_path.local_challenge_sent):
                self._write_path_challenge_frame(builder=builder, network_path=network_path)
                if network_path.validation_deadline is None:
                    # Three times the larger of the path's and a new path's probe timeout (RFC 9000 section 8.2.4).
                    longest_s = max(self._loss.get_probe_timeout(), 2 * self._configuration.initial_rtt)
                    network_path.validation_deadline = now + 3 * longest_s
            if self._handshake_done_pending:
                self._write_handshake_done_frame(builder=builder)
                self._handshake_done_pending = False
            while network_path.remote_challenges:
                self._write_path_response_frame(builder=builder, challenge=network_path.remote_challenges[0])
                network_path.remote_challenges.popleft()
            for connection_id in self._host_cids:
                if not connection_id.was_sent:
                    self._write_new_connection_id_frame(builder=builder, connection_id=connection_id)
            while self._retire_connection_ids:
                self._write_retire_connection_id_frame(builder=builder, sequence_number=self._retire_connection_ids[0])
                self._retire_connection_ids.pop(0)
            if self._streams_blocked_pending:
                if self._streams_blocked_bidi:
                    self._write_streams_blocked_frame(
                        builder, QuicFrameType.STREAMS_BLOCKED_BIDI, self._remote_max_streams_bidi
                    )
                self._streams_blocked_pending = False
            self._write_connection_limits(builder=builder, space=space)
        self._write_pings(builder)
        crypto_stream = self._crypto_streams[tls.Epoch.ONE_RTT]
        if not crypto_stream.sender.buffer_is_empty:
            self._write_crypto_frame(builder=builder, space=space, stream=crypto_stream)

    def _write_pings(self, builder: QuicPacketBuilder) -> None:
        if self._ping_pending:
            self._write_ping_frame(builder, self._ping_pending)
            self._ping_pending.clear()
        if self._probe_pending:
            self._write_ping_frame(builder, comment="probe")
            self._probe_pending = False

    def _write_limit(self, builder: QuicPacketBuilder, limit: Any) -> None:
        if limit.value == limit.sent:
            return
        buf = builder.start_frame(
            limit.frame_type,
            capacity=LIMIT_CAPACITY,
            handler=self._on_connection_limit_delivery,
            handler_args=(limit,),
        )
        buf.push_uint_var(limit.value)
        limit.sent = limit.value

    # Path MTU

    def _parse_transport_parameters(self, data: bytes, from_session_ticket: bool = False) -> None:  # noqa: FBT001, FBT002
        # aioquic checks max_udp_payload_size and forgets it. A larger datagram makes QUICHE (Envoy; 1472 bytes at
        # most) close the connection with QUIC_PACKET_TOO_LARGE, so none is probed for.
        super()._parse_transport_parameters(data, from_session_ticket)
        limit = pull_quic_transport_parameters(Buffer(data=data)).max_udp_payload_size
        if limit is not None:
            self._mtu.limit(limit)

    def _mtu_probe(self, size: int, now: float) -> list[tuple[bytes, tuple[str, int]]]:
        """A PING padded to `size`. Its loss says nothing of congestion (RFC 9000 section 14.4)."""
        builder = QuicPacketBuilder(
            host_cid=self.host_cid,
            is_client=self._is_client,
            max_datagram_size=size,
            packet_number=self._packet_number,
            peer_cid=self._peer_cid.cid,
            spin_bit=self._spin_bit,
            version=self._version or 0,
        )
        builder.start_packet(QuicPacketType.ONE_RTT, self._cryptos[tls.Epoch.ONE_RTT])
        buf = builder.start_frame(
            QuicFrameType.PING, capacity=1, handler=self._on_mtu_probe_delivery, handler_args=(size,)
        )
        buf.push_bytes(bytes(builder.remaining_buffer_space))
        datagrams, packets = builder.flush()
        self._packet_number = builder.packet_number
        for packet in packets:
            packet.in_flight = False
            packet.sent_time = now
            self._loss.on_packet_sent(packet=packet, space=self._spaces[tls.Epoch.ONE_RTT])
        return [(datagram, self._network_paths[0].addr) for datagram in datagrams]

    def _on_mtu_probe_delivery(self, delivery: QuicDeliveryState, size: int) -> None:
        if delivery != QuicDeliveryState.ACKED:
            self._mtu.lost(size)
        elif self._mtu.acknowledged(size):
            self._use_datagram_size(size)

    def _use_datagram_size(self, size: int) -> None:
        self._max_datagram_size = size
        self._recovery.use_datagram_size(size)
