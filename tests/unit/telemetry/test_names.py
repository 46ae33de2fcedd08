from proxy.telemetry import names


def constants() -> dict[str, str]:
    return {name: value for name, value in vars(names).items() if name.isupper()}


def test_no_name_stands_for_two_things() -> None:
    values = list(constants().values())
    assert sorted(values) == sorted(set(values))


def test_names_that_others_rely_on() -> None:
    assert names.PROXY_SERVICE == "headway-proxy"
    assert names.DAEMON_SERVICE == "headway-daemon"
    assert names.RPC_SYSTEM == "rpc.system.name"
    assert names.RPC_STATUS_CODE == "rpc.status_code"
    assert names.TRAFFIC_CLASS == "headway.class"
    assert names.DEADLINE == "headway.deadline_ms"
    assert names.SLACK == "headway.deadline.slack_ms"
    assert names.POLICY == "headway.policy"
    assert names.MODEL == "headway.model"
    assert names.DECISION_REASON == "headway.decision.reason"
    assert names.REQUEST_MODEL == "gen_ai.request.model"
    assert names.RESPONSE_MODEL == "gen_ai.response.model"
