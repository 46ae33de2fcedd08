"""How fast the path delivers, measured at each acknowledgement.

Source: draft-cheng-iccrg-delivery-rate-estimation-02, in the wording of draft-ietf-ccwg-bbr-05 section 4.1. For each
packet it is kept how much had been delivered when it left. When it is acknowledged, what has been delivered since is a
sample, over the longer of the time in which that was sent and the time in which it was acknowledged: acknowledgements
may come in a bunch, and packets may leave in one.

A sample is limited by the application if, somewhere in its interval, there was room to send and nothing to be sent: the
path may carry more than it shows.
"""

from __future__ import annotations


class SentPacket:
    """What was known when a packet left. Times in seconds, the rest in bytes."""

    __slots__ = ("app_limited", "delivered", "delivered_at", "first_sent_at", "lost", "sent_at", "size", "tx_in_flight")

    def __init__(
        self,
        size: int,
        sent_at: float,
        *,
        delivered: int,
        delivered_at: float,
        first_sent_at: float,
        lost: int,
        tx_in_flight: int,
        app_limited: bool,
    ) -> None:
        self.size = size
        self.sent_at = sent_at
        self.delivered = delivered
        self.delivered_at = delivered_at
        self.first_sent_at = first_sent_at
        self.lost = lost
        self.tx_in_flight = tx_in_flight
        self.app_limited = app_limited


class RateSample:
    """What one acknowledgement says, seen from the newest packet in it."""

    __slots__ = (
        "app_limited",
        "delivered",
        "delivery_rate",
        "lost",
        "newly_acked",
        "newly_lost",
        "prior_delivered",
        "rtt",
        "tx_in_flight",
    )

    def __init__(
        self,
        *,
        delivery_rate: float,
        app_limited: bool,
        rtt: float,
        delivered: int,
        prior_delivered: int,
        newly_acked: int,
        newly_lost: int,
        lost: int,
        tx_in_flight: int,
    ) -> None:
        self.delivery_rate = delivery_rate
        """Bytes a second; 0 where the interval is too short to say anything."""
        self.app_limited = app_limited
        self.rtt = rtt
        """Seconds since the newest packet left."""
        self.delivered = delivered
        """Bytes delivered since then."""
        self.prior_delivered = prior_delivered
        """Bytes delivered until then."""
        self.newly_acked = newly_acked
        self.newly_lost = newly_lost
        """Bytes that this acknowledgement shows to be lost, or whose loss a timer found since the one before."""
        self.lost = lost
        """Bytes found to be lost since the newest packet left."""
        self.tx_in_flight = tx_in_flight
        """Bytes in flight when it left, itself included."""

    def __repr__(self) -> str:
        limited = " app-limited" if self.app_limited else ""
        return f"<RateSample {self.delivery_rate:.0f} B/s{limited} rtt={self.rtt:.6f} acked={self.newly_acked}>"


class DeliveryRateSampler:
    """Follows the packets that count as in flight; `take_sample` after each acknowledgement."""

    def __init__(self) -> None:
        self.delivered = 0
        """Bytes acknowledged so far."""
        self.lost = 0
        """Bytes declared lost so far."""
        self.lost_packets = 0
        self._delivered_at = 0.0
        self._first_sent_at = 0.0
        self._app_limited_until = 0
        """The count of delivered bytes with which the last packet sent before the pause will have arrived; 0: none."""
        self._packets: dict[int, SentPacket] = {}
        self._newest: SentPacket | None = None
        self._acked_at_last_sample = 0
        self._lost_at_last_sample = 0

    def __repr__(self) -> str:
        return f"<DeliveryRateSampler delivered={self.delivered} lost={self.lost} in flight={len(self._packets)}>"

    @property
    def app_limited(self) -> bool:
        """Whether what leaves now will make samples limited by the application."""
        return self._app_limited_until > 0

    def on_sent(self, number: int, size: int, *, in_flight: int, now: float) -> None:
        """A packet leaves; `in_flight` does not count it yet."""
        if in_flight == 0:
            self._first_sent_at = self._delivered_at = now
        self._packets[number] = SentPacket(
            size,
            now,
            delivered=self.delivered,
            delivered_at=self._delivered_at,
            first_sent_at=self._first_sent_at,
            lost=self.lost,
            tx_in_flight=in_flight + size,
            app_limited=self._app_limited_until > 0,
        )

    def on_acked(self, number: int, *, now: float) -> None:
        """A packet has arrived."""
        packet = self._packets.pop(number, None)
        if packet is None:
            return
        self.delivered += packet.size
        self._delivered_at = now
        newest = self._newest
        if newest is None or (packet.delivered, packet.sent_at) >= (newest.delivered, newest.sent_at):
            self._newest = packet

    def on_late(self, size: int) -> None:
        """A packet that had been declared lost has arrived after all."""
        self.delivered += size
        self.lost -= size
        self.lost_packets -= 1

    def on_lost(self, number: int) -> SentPacket | None:
        """A packet is declared lost; returns what was known of it."""
        packet = self._packets.pop(number, None)
        if packet is not None:
            self.lost += packet.size
            self.lost_packets += 1
        return packet

    def on_expired(self, number: int) -> None:
        """A packet is followed no more, whatever becomes of it."""
        self._packets.pop(number, None)

    def mark_app_limited(self, in_flight: int) -> None:
        """There was room to send and nothing to be sent."""
        self._app_limited_until = (self.delivered + in_flight) or 1

    def take_sample(self, *, now: float, min_rtt: float) -> RateSample | None:
        """What the acknowledgement since the last call says; None if it brought nothing new."""
        newest, self._newest = self._newest, None
        if newest is None:
            return None
        if 0 < self._app_limited_until < self.delivered:
            self._app_limited_until = 0
        self._first_sent_at = newest.sent_at
        delivered = self.delivered - newest.delivered
        interval = max(newest.sent_at - newest.first_sent_at, now - newest.delivered_at)
        # Within less than a round trip much can be acknowledged at once that says nothing of the path (section 4.1.3).
        known = interval > 0 and interval >= min_rtt
        sample = RateSample(
            delivery_rate=delivered / interval if known else 0.0,
            app_limited=newest.app_limited,
            rtt=now - newest.sent_at,
            delivered=delivered,
            prior_delivered=newest.delivered,
            newly_acked=self.delivered - self._acked_at_last_sample,
            newly_lost=max(self.lost - self._lost_at_last_sample, 0),
            lost=max(self.lost - newest.lost, 0),
            tx_in_flight=newest.tx_in_flight,
        )
        self._acked_at_last_sample, self._lost_at_last_sample = self.delivered, self.lost
        return sample
