"""Every trial trains on several ranks (DistributedDataParallel); rank 0 alone has the study.

torchrun --nproc-per-node 4 examples/ddp.py        or: python examples/ddp.py, which starts two ranks by itself
"""

import argparse

import torch
import torch.distributed as dist
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

import honed
from honed.torch import ddp, fit, split

parser = argparse.ArgumentParser(description="Tune a network that trains on several ranks.")
parser.add_argument("--trials", type=int, default=20, help="trials of the study in total (default: 20)")
parser.add_argument("--epochs", type=int, default=9, help="epochs of a full training (default: 9)")


def objective(trial):
    units = trial.suggest_int("units", 16, 256, log=True)  # the same on all ranks
    lr = trial.suggest_float("lr", 1e-4, 1e-1, log=True)
    digits = load_digits()
    data = split(digits.data, digits.target)
    train = TensorDataset(data.train.x, data.train.y)
    sampler = DistributedSampler(train)  # each rank has its own part
    torch.manual_seed(trial.number)
    model = nn.Sequential(nn.Linear(64, units), nn.ReLU(), nn.Dropout(0.2), nn.Linear(units, 10)).to(ddp.device())
    model = DistributedDataParallel(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    batches = DataLoader(train, batch_size=64, sampler=sampler)
    trial.annotate("n_ranks", dist.get_world_size())
    fit(trial, model, optimizer, batches, data.validation.batches(512), epochs=args.epochs, schedule="cosine")


def main():
    torch.set_num_threads(1)
    study = ddp.optimize(
        lambda: honed.create_study("ddp", metric="val_accuracy"), objective, n_trials=args.trials, scheduler="asha"
    )
    if study:  # on rank 0
        print(f"The best of {len(study.trials)} trials was trained by {study.best_trial.attributes['n_ranks']} ranks")


args = parser.parse_args()

if __name__ == "__main__":
    ddp.launch(main, n_ranks=2)
