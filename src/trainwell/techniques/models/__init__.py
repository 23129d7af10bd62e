"""Networks: each model builds a torch module, mostly an `nn.Sequential`, for an example's shape."""

from trainwell.techniques.models.audio import AudioCnn
from trainwell.techniques.models.cnn import Cnn
from trainwell.techniques.models.custom import Custom
from trainwell.techniques.models.mlp import Linear, Mlp
from trainwell.techniques.models.resnet import ResNet

Model = Linear | Mlp | Cnn | ResNet | AudioCnn | Custom

__all__ = ["AudioCnn", "Cnn", "Custom", "Linear", "Mlp", "Model", "ResNet"]
