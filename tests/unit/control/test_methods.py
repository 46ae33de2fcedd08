from __future__ import annotations

from proxy.control import methods
from proxy.control.methods import Method
from proxy.pb.headway.v1 import control_pb2 as pb


def test_the_methods_are_those_of_the_proto() -> None:
    service = pb.DESCRIPTOR.services_by_name["Control"]
    assert service.full_name == methods.SERVICE
    table = {item.name: item for item in vars(methods).values() if isinstance(item, Method)}
    assert set(table) == set(service.methods_by_name)
    for name, method in service.methods_by_name.items():
        assert table[name].request.DESCRIPTOR is method.input_type
        assert table[name].answer.DESCRIPTOR is method.output_type
        assert (method.client_streaming, method.server_streaming) == (False, name == "WatchStatus")


def test_a_method_s_path() -> None:
    assert methods.SET_SCHEDULER.path == "/headway.v1.Control/SetScheduler"
