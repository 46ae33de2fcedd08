from __future__ import annotations

from proxy.profiling.model import ModelInput


def test_an_input_is_shown_with_its_type_and_shape() -> None:
    assert str(ModelInput("IMAGE", "FP32", (-1, 224, 3))) == "IMAGE FP32[-1,224,3]"
