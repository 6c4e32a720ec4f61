#!/usr/bin/env python3
"""Lesson 7 in PyTorch, for comparison: the same text, the same weights at the start, the same batches, in 64 bits.

    cargo run --release --example 07_char_lstm 12 char-lstm
    pip install torch==2.15.0 safetensors numpy
    python scripts/torch_char_lstm.py char-lstm

The lesson leaves its initial weights and the loss of every step in the folder. Prints both losses and their relative difference
for the first steps and, as a mean and for the last step, for each epoch.
"""

import argparse
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

# The lesson's constants.
STREAMS, STEPS, HIDDEN, LR, MAX_NORM = 16, 32, 96, 1e-2, 0.5
TEXT = Path(__file__).parent.parent / "examples/texts/alice.txt"


class CharLstm(nn.Module):
    def __init__(self, characters):
        super().__init__()
        self.cell, self.head = nn.LSTMCell(characters, HIDDEN), nn.Linear(HIDDEN, characters)

    def forward(self, x, state):
        """x (T,N,V) -> logits (T,N,V), and the state after the last step."""
        outputs = []
        for step in x:
            state = self.cell(step, state)
            outputs.append(state[0])
        return self.head(torch.stack(outputs)), state


def chunks(text):
    """The characters and those that follow, (T,N) each; stream n reads the n-th of N equal parts."""
    part = (len(text) - 1) // STREAMS
    whole = part // STEPS * STEPS
    streams = lambda first: torch.stack([text[n * part + first:][:whole] for n in range(STREAMS)], 1)  # fmt: skip
    return zip(streams(0).split(STEPS), streams(1).split(STEPS))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--show", type=int, default=5, metavar="N", help="the first steps to print")
    args = parser.parse_args()
    torch.set_default_dtype(torch.float64)
    text = TEXT.read_text(encoding="ascii")
    vocabulary = sorted(set(text))
    text = torch.tensor([vocabulary.index(c) for c in text])
    train = text[: len(text) // 10 * 9]
    net = CharLstm(len(vocabulary))
    net.load_state_dict(load_file(args.folder / "initial.safetensors"))
    optimizer = torch.optim.Adam(net.parameters(), LR)

    own = [(int(epoch), float(loss)) for epoch, loss in map(str.split, (args.folder / "losses.txt").open())]
    # The difference is relative to the loss.
    row = lambda what, a, b: print(f"{what:<20} {a:.15f} {b:.15f} {abs(a - b) / b:9.1e}", flush=True)
    print(f"{'':<20} {'chainrule':<17} {'PyTorch':<17} difference")
    step = 0
    for epoch in range(1, own[-1][0] + 1):
        state, losses = (torch.zeros(STREAMS, HIDDEN), torch.zeros(STREAMS, HIDDEN)), []
        for characters, next_ones in chunks(train):
            logits, state = net(F.one_hot(characters, len(vocabulary)).double(), state)
            loss = F.cross_entropy(logits.flatten(0, 1), next_ones.flatten())
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), MAX_NORM)
            optimizer.step()
            state = tuple(part.detach() for part in state)
            losses.append(loss.item())
            step += 1
            if step <= args.show:
                row(f"step {step}", own[step - 1][1], losses[-1])
        theirs = [loss for e, loss in own if e == epoch]
        assert len(theirs) == len(losses), f"the lesson took {len(theirs)} steps in an epoch, this script {len(losses)}"
        row(f"epoch {epoch}, mean", sum(theirs) / len(theirs), sum(losses) / len(losses))
        row(f"epoch {epoch}, last step", theirs[-1], losses[-1])


if __name__ == "__main__":
    main()
