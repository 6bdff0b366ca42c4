"""Two networks against each other: each has an optimizer, and what one makes of noise is judged by the other."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
x = torch.rand(150, 6)
x[:, 0] = torch.arange(150) / 150  # each sample can be told from its first feature
y = torch.randint(0, 3, (150,))

generator = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 6))
discriminator = nn.Sequential(nn.Linear(6, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1), nn.Sigmoid())
model = nn.ModuleList([generator, discriminator])
optimizer_d = torch.optim.Adam(discriminator.parameters(), lr=0.002, betas=(0.5, 0.999))
optimizer_g = torch.optim.Adam(generator.parameters(), lr=0.001, betas=(0.5, 0.999))
criterion = nn.BCELoss()
steps, updates = [], 0
for epoch in range(2):
    for real, _ in DataLoader(TensorDataset(x, y), batch_size=40, shuffle=True):
        discriminator.zero_grad()
        ones, zeros = torch.ones(len(real), 1), torch.zeros(len(real), 1)
        error_real = criterion(discriminator(real), ones)
        error_real.backward()
        fake = generator(torch.randn(len(real), 2))
        error_fake = criterion(discriminator(fake.detach()), zeros)
        error_fake.backward()
        optimizer_d.step()
        generator.zero_grad()
        criterion(discriminator(fake), ones).backward()
        optimizer_g.step()
        updates += 2
        steps.append((real[:, 0].tolist(), updates, epoch, (error_real + error_fake).item(), 0.002))
