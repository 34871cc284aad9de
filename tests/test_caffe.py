"""Our caffenet against Caffe's arithmetic, as OpenCV's importer of Caffe networks carries it out.

The network is written as Caffe's own two files would be: a deploy.prototxt, and a .caffemodel in protobuf's wire format.
"""

from collections.abc import Iterator

import numpy
import pytest
import torch
from torch import Tensor, nn

from transfercli.networks.eight import CAFFENET_WIDTHS, caffenet
from transfercli.system.randomness import generator

cv2 = pytest.importorskip("cv2", reason="needs OpenCV: pip install 'opencv-python-headless<5'")

# bvlc_reference_caffenet's deploy.prototxt but for the softmax at its end: the logits are compared.
INPUT = 'name: "CaffeNet" input: "data" input_shape {{ dim: {batch} dim: 3 dim: {crop} dim: {crop} }}'
CONVOLUTION = """layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{name}"
  convolution_param {{ num_output: {outputs} kernel_size: {kernel} stride: {stride} pad: {pad} group: {group} }} }}"""
RELU = 'layer {{ name: "{name}" type: "ReLU" bottom: "{bottom}" top: "{bottom}" }}'
POOL = """layer {{ name: "{name}" type: "Pooling" bottom: "{bottom}" top: "{name}"
  pooling_param {{ pool: MAX kernel_size: 3 stride: 2 }} }}"""
LRN = """layer {{ name: "{name}" type: "LRN" bottom: "{bottom}" top: "{name}"
  lrn_param {{ local_size: 5 alpha: 0.0001 beta: 0.75 }} }}"""
INNER_PRODUCT = """layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{name}"
  inner_product_param {{ num_output: {outputs} }} }}"""
DROPOUT = """layer {{ name: "{name}" type: "Dropout" bottom: "{bottom}" top: "{bottom}"
  dropout_param {{ dropout_ratio: 0.5 }} }}"""


def deploy_prototxt(widths: tuple[int, ...], classes: int, batch: int, crop: int) -> str:
    """Caffe's description of the network: its own order of layers, ReLU before pooling."""

    def convolution(name: str, bottom: str, outputs: int, kernel: int, stride: int = 1, pad: int = 0, group: int = 1) -> str:
        return CONVOLUTION.format(**locals())

    c1, c2, c3, c4, c5, f6, f7 = widths
    return "\n".join(
        [
            INPUT.format(batch=batch, crop=crop),
            convolution("conv1", "data", c1, 11, stride=4),
            RELU.format(name="relu1", bottom="conv1"),
            POOL.format(name="pool1", bottom="conv1"),
            LRN.format(name="norm1", bottom="pool1"),
            convolution("conv2", "norm1", c2, 5, pad=2, group=2),
            RELU.format(name="relu2", bottom="conv2"),
            POOL.format(name="pool2", bottom="conv2"),
            LRN.format(name="norm2", bottom="pool2"),
            convolution("conv3", "norm2", c3, 3, pad=1),
            RELU.format(name="relu3", bottom="conv3"),
            convolution("conv4", "conv3", c4, 3, pad=1, group=2),
            RELU.format(name="relu4", bottom="conv4"),
            convolution("conv5", "conv4", c5, 3, pad=1, group=2),
            RELU.format(name="relu5", bottom="conv5"),
            POOL.format(name="pool5", bottom="conv5"),
            INNER_PRODUCT.format(name="fc6", bottom="pool5", outputs=f6),
            RELU.format(name="relu6", bottom="fc6"),
            DROPOUT.format(name="drop6", bottom="fc6"),
            INNER_PRODUCT.format(name="fc7", bottom="fc6", outputs=f7),
            RELU.format(name="relu7", bottom="fc7"),
            DROPOUT.format(name="drop7", bottom="fc7"),
            INNER_PRODUCT.format(name="fc8", bottom="fc7", outputs=classes),
        ]
    )


def varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; a set high bit says that more follow."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def length_delimited(field: int, content: bytes) -> bytes:
    """Protobuf's wire type 2: the field's number, the length, the bytes."""
    return varint(field << 3 | 2) + varint(len(content)) + content


def blob(tensor: Tensor) -> bytes:
    """BlobProto: shape (7) with its dims (1), data (5), both packed."""
    shape = length_delimited(1, b"".join(varint(dim) for dim in tensor.shape))
    return length_delimited(7, shape) + length_delimited(5, tensor.detach().numpy().astype("<f4").tobytes())


def caffemodel(network: nn.Sequential) -> bytes:
    """NetParameter: for each learnable module a LayerParameter (100) with name (1), type (2), and weight and bias (7)."""

    def layer(name: str, module: nn.Module) -> bytes:
        kind = "Convolution" if isinstance(module, nn.Conv2d) else "InnerProduct"
        fields = [length_delimited(1, name.encode()), length_delimited(2, kind.encode())]
        fields += [length_delimited(7, blob(parameter)) for parameter in module.parameters()]
        return length_delimited(100, b"".join(fields))

    return b"".join(layer(name, module) for name, module in network.named_children() if list(module.parameters()))


def sensible_weights(network: nn.Sequential) -> None:
    """Weights under which every part matters: no layer dies out, biases count, and normalisation divides by 1.2 and more."""
    for name, parameter in network.named_parameters():
        std = 0.5 if name.endswith("bias") else (2 / parameter[0].numel()) ** 0.5
        with torch.no_grad():
            parameter.normal_(0, std, generator=generator("caffe", name))


def outputs(network: nn.Sequential, x: Tensor) -> Iterator[tuple[str, Tensor]]:
    with torch.no_grad():
        for name, module in network.named_children():
            x = module(x)
            yield name, x.clone()  # the next module may work in place


# Caffe's layers, and our modules after which the same numbers stand.
SAME = {"norm1": "norm1", "norm2": "norm2", "pool5": "relu5", "fc7": "fc7", "drop7": "drop7", "fc8": "fc8"}


@pytest.mark.parametrize(
    ("crop", "widths", "side"),
    [
        (227, CAFFENET_WIDTHS, 6),  # the paper's network: 55 → 27 → 13 → 6, where no rounding is needed
        (224, (*CAFFENET_WIDTHS[:5], 64, 64), 6),  # 54 → 27 → 13 → 6; rounded down: 26, 12, 5
        (231, (*CAFFENET_WIDTHS[:5], 64, 64), 7),  # 56 → 28 → 14 → 7; rounded down: 27, 13, 6
    ],
)
def test_caffenet_is_caffes(crop: int, widths: tuple[int, ...], side: int) -> None:
    network = caffenet(1000, widths, crop).eval()
    sensible_weights(network)
    random = generator("caffe", "pictures", crop)
    pictures = torch.randint(0, 256, (2, 3, crop, crop), generator=random).float()
    x = pictures - torch.tensor([104.0, 117.0, 123.0])[:, None, None]  # BGR without ImageNet's mean

    caffe = cv2.dnn.readNetFromCaffe(
        numpy.frombuffer(deploy_prototxt(widths, 1000, 2, crop).encode(), numpy.uint8),
        numpy.frombuffer(caffemodel(network), numpy.uint8),
    )
    caffe.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
    caffe.enableFusion(False)  # so that each layer keeps its own numbers
    caffe.setInput(x.numpy())
    theirs = dict(zip(SAME, caffe.forward(list(SAME)), strict=True))
    ours = dict(outputs(network, x))

    assert theirs["pool5"].shape == (2, 256, side, side)
    for layer, module in SAME.items():
        a, b = ours[module].numpy(), theirs[layer]
        assert a.shape == b.shape, layer
        assert b.std() > 0.1, layer  # alive
        assert float(abs(a - b).max() / abs(b).max()) < 1e-4, layer
    assert (ours["norm1"] / ours["relu1"]).nanquantile(0.5) < 1 / 1.2  # normalisation was put to the test
