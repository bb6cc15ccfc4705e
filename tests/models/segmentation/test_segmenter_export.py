"""Every segmenter can be written as ONNX, for any number of photos."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from cutis.export.onnx import write_onnx
from cutis.models.segmentation import SEGMENTERS, build_segmenter

SIZE = 32
# it has no operator that unet and attention_unet do not have
SPARED = "attention_unet_bn"


@pytest.mark.parametrize("name", [name for name in SEGMENTERS if name != SPARED])
def test_exports(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build_segmenter(name, filters=4)
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None  # the mean of all that it sees
    with torch.no_grad():
        for _ in range(2):
            network(torch.randn(8, 3, SIZE, SIZE))  # normalisations learn what they will see
    write_onnx(network.eval(), SIZE, tmp_path / "segmenter.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "segmenter.onnx")
    photos = torch.randn(3, 3, SIZE, SIZE)  # the example that is traced has two
    (exported,) = session.run(None, {session.get_inputs()[0].name: photos.numpy()})
    with torch.inference_mode():
        expected = network(photos).numpy()
    assert expected.std() > 0.01
    np.testing.assert_allclose(exported, expected, atol=1e-4)
