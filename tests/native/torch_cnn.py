"""The digits convolutions in plain PyTorch, as a tutorial would write it: torch_cnn.py INPUT.npz OUTPUT.npz"""

import sys

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

given = np.load(sys.argv[1])
dataset = TensorDataset(torch.from_numpy(given["features"]), torch.from_numpy(given["targets"]))
conv_0, conv_1 = nn.Conv2d(1, 16, 3, padding="same", bias=False), nn.Conv2d(16, 32, 3, padding="same")
norm, dense = nn.BatchNorm2d(16, eps=1e-5, momentum=0.1), nn.Linear(2 * 2 * 32, 10)
features = nn.Sequential(conv_0, norm, nn.Tanh(), nn.AvgPool2d(2), conv_1, nn.Tanh(), nn.AvgPool2d(2))
tensors = {"conv2d_0/kernel": conv_0.weight, "batchnorm_0/scale": norm.weight, "batchnorm_0/bias": norm.bias}
tensors |= {"conv2d_1/kernel": conv_1.weight, "conv2d_1/bias": conv_1.bias}
tensors |= {"dense_0/kernel": dense.weight, "dense_0/bias": dense.bias}
axes = {2: ((1, 0), (1, 0)), 4: ((3, 2, 0, 1), (2, 3, 1, 0))}  # from (H, W, in, out), or (in, out), and back
with torch.no_grad():
    for name, tensor in tensors.items():
        tensor.copy_(torch.from_numpy(given[name].transpose(axes.get(tensor.ndim, ((0,),))[0])))
rates = {"lr": float(given["learning_rate"]), "momentum": float(given["momentum"])}
optimizer = torch.optim.SGD([*features.parameters(), *dense.parameters()], **rates)
steps = 0
for order in given["orders"]:
    for x, y in DataLoader(dataset, int(given["batch_size"]), sampler=order, drop_last=bool(given["drop_last"])):
        if steps == given["num_steps"]:
            break
        optimizer.zero_grad()
        maps = features(x.permute(0, 3, 1, 2))
        nn.functional.cross_entropy(dense(maps.permute(0, 2, 3, 1).flatten(1)), y).backward()
        optimizer.step()
        steps += 1
found = {name: (tensor.detach().numpy(), axes.get(tensor.ndim, ((0,),))[-1]) for name, tensor in tensors.items()}
np.savez(sys.argv[2], **{name: values.transpose(back) for name, (values, back) in found.items()})
