from pathlib import Path
from typing import Any

from ops.bench.envoy import Listener, Upstream, config

CERT, KEY, CA = Path("server.pem"), Path("server.key"), Path("ca.pem")


def listener_of(made: dict[str, Any]) -> Any:
    return made["static_resources"]["listeners"][0]


def cluster_of(made: dict[str, Any]) -> Any:
    return made["static_resources"]["clusters"][0]


def test_an_http3_upstream_is_verified_and_goes_over_udp() -> None:
    cluster = cluster_of(config(Listener(), Upstream("127.0.0.1", 4433, "h3", CA, "gpu-host")))
    endpoint = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
    assert endpoint["address"]["socket_address"] == {"protocol": "UDP", "address": "127.0.0.1", "port_value": 4433}
    context = cluster["transport_socket"]["typed_config"]["upstream_tls_context"]
    assert context["sni"] == "gpu-host"
    assert context["common_tls_context"]["alpn_protocols"] == ["h3"]
    assert context["common_tls_context"]["validation_context"] == {
        "trusted_ca": {"filename": "ca.pem"},
        "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "gpu-host"}}],
    }


def test_both_ends_of_an_http3_chain_raise_their_udp_buffers() -> None:
    near = cluster_of(config(Listener(), Upstream("127.0.0.1", 1, "h3", CA)))
    far = listener_of(config(Listener("h3", CERT, KEY), Upstream("127.0.0.1", 1, "h2c")))
    for options in (near["upstream_bind_config"]["socket_options"], far["socket_options"]):
        assert [(option["description"], option["int_value"]) for option in options] == [
            ("SO_RCVBUF", 4194304),
            ("SO_SNDBUF", 4194304),
        ]


def test_request_headers_are_added() -> None:
    made = config(Listener(), Upstream("127.0.0.1", 1, "h3", CA, headers={"headway-token": "secret"}))
    manager = listener_of(made)["filter_chains"][0]["filters"][0]["typed_config"]
    route = manager["route_config"]["virtual_hosts"][0]["routes"][0]
    assert route["request_headers_to_add"] == [
        {"header": {"key": "headway-token", "value": "secret"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    ]


def test_a_clear_text_hop_has_no_tls() -> None:
    made = config(Listener("h2c"), Upstream("127.0.0.1", 1, "h2c"))
    assert "transport_socket" not in listener_of(made)["filter_chains"][0]
    assert "transport_socket" not in cluster_of(made)


def test_an_upstream_by_name_is_resolved() -> None:
    assert cluster_of(config(Listener(), Upstream("gpu-host", 1, "h2c")))["type"] == "STRICT_DNS"
    assert cluster_of(config(Listener(), Upstream("::1", 1, "h2c")))["type"] == "STATIC"
