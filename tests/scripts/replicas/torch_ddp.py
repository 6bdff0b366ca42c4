"""Two processes under DistributedDataParallel; a launcher has numbered them."""

import math

import torch
from sklearn.datasets import load_digits
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

if not distributed.is_initialized():
    distributed.init_process_group("gloo")
rank, world = distributed.get_rank(), distributed.get_world_size()


class Uneven(DistributedSampler):
    """Neither repeats samples nor leaves any out."""

    def __iter__(self):
        self.total_size = len(self.dataset)
        order = torch.randperm(self.total_size, generator=torch.Generator().manual_seed(self.seed + self.epoch))
        return iter(order[self.rank :: self.num_replicas].tolist())

    def __len__(self):
        return math.ceil((len(self.dataset) - self.rank) / self.num_replicas)


torch.manual_seed(0)
features, targets = (part[:205] for part in load_digits(return_X_y=True))
data = TensorDataset(torch.tensor(features / 16, dtype=torch.float32), torch.tensor(targets))
sampler = DistributedSampler(data)
loader = DataLoader(data, batch_size=20, sampler=sampler)
model = DistributedDataParallel(nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10)))
optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda tick: 0.97**tick)
for epoch in range(3):
    sampler.set_epoch(epoch)
    for inputs, labels in loader:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs), labels)
        loss.backward()
        optimizer.step()
        schedule.step()
