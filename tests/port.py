"""The network of pytorch_stacked_hourglass, for parity; needs PyTorch.

Written from SPEC 1.1 and 1.2, which describe its graph and name its
parameters, including the convolutions that it owns and never calls.
"""

import torch
from torch import nn
from torch.nn import functional


class Conv(nn.Module):
  """A convolution, with BatchNorm and ReLU after it if `norm`."""

  def __init__(self, inputs, outputs, size=1, stride=1, norm=False):
    super().__init__()
    self.conv = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2)
    self.bn = nn.BatchNorm2d(outputs) if norm else None

  def forward(self, x):
    x = self.conv(x)
    return x if self.bn is None else functional.relu(self.bn(x))


class Residual(nn.Module):
  def __init__(self, inputs, outputs):
    super().__init__()
    half = outputs // 2
    self.bn1 = nn.BatchNorm2d(inputs)
    self.conv1 = Conv(inputs, half)
    self.bn2 = nn.BatchNorm2d(half)
    self.conv2 = Conv(half, half, size=3)
    self.bn3 = nn.BatchNorm2d(half)
    self.conv3 = Conv(half, outputs)
    self.skip_layer = Conv(inputs, outputs)  # not called if inputs == outputs
    self.identity = inputs == outputs

  def forward(self, x):
    y = self.conv1(functional.relu(self.bn1(x)))
    y = self.conv2(functional.relu(self.bn2(y)))
    y = self.conv3(functional.relu(self.bn3(y)))
    return y + (x if self.identity else self.skip_layer(x))


class Hourglass(nn.Module):
  def __init__(self, depth, features):
    super().__init__()
    self.up1 = Residual(features, features)
    self.low1 = Residual(features, features)
    self.low2 = (
      Hourglass(depth - 1, features)
      if depth > 1
      else Residual(features, features)
    )
    self.low3 = Residual(features, features)

  def forward(self, x):
    low = self.low1(functional.max_pool2d(x, 2))
    low = self.low3(self.low2(low))
    return self.up1(x) + functional.interpolate(low, scale_factor=2)


class Merge(nn.Module):
  def __init__(self, inputs, outputs):
    super().__init__()
    self.conv = Conv(inputs, outputs)

  def forward(self, x):
    return self.conv(x)


class PoseNet(nn.Module):
  """f32[B, S, S, 3] -> f32[B, N, K, H, H]."""

  def __init__(self, stacks, features=256, joints=16):
    super().__init__()
    # PORT's stem has 64 and 128 channels whatever `features`; ours scales.
    half = features // 2
    self.pre = nn.Sequential(
      Conv(3, half // 2, size=7, stride=2, norm=True),
      Residual(half // 2, half),
      nn.MaxPool2d(2),
      Residual(half, half),
      Residual(half, features),
    )
    between, every = range(stacks - 1), range(stacks)
    self.hgs = nn.ModuleList(
      nn.Sequential(Hourglass(4, features)) for _ in every
    )
    self.features = nn.ModuleList(
      nn.Sequential(
        Residual(features, features), Conv(features, features, norm=True)
      )
      for _ in every
    )
    self.outs = nn.ModuleList(Conv(features, joints) for _ in every)
    self.merge_features = nn.ModuleList(
      Merge(features, features) for _ in between
    )
    self.merge_preds = nn.ModuleList(Merge(joints, features) for _ in between)

  def forward(self, image):
    x = self.pre(image.permute(0, 3, 1, 2))
    heatmaps = []
    for i, hourglass in enumerate(self.hgs):
      y = self.features[i](hourglass(x))
      heatmaps.append(self.outs[i](y))
      if i < len(self.merge_preds):
        x = x + self.merge_preds[i](heatmaps[i]) + self.merge_features[i](y)
    return torch.stack(heatmaps, 1)
