"""Functions run by several processes that reach each other through gloo."""

import multiprocessing
import signal
import traceback

import torch

from nasdsl.oneshot.ranks.world import World, joined


def together(function, size, folder, *args, batch_norm="synchronised", lost=()):
    """What `function(world, *args)` gives on every rank; ranks in `lost` may die, and give None.

    Processes are forked, so that nothing is imported again.
    """
    context = multiprocessing.get_context("fork")
    folder.mkdir(parents=True, exist_ok=True)
    store = folder / f"meeting-{len(list(folder.iterdir()))}"
    ends = [context.Pipe(duplex=False) for _ in range(size)]
    processes = []
    for rank, (_, end) in enumerate(ends):
        given = function, World(rank=rank, size=size, batch_norm=batch_norm), str(store), end, args
        process = context.Process(target=_work, args=given, daemon=True)
        process.start()
        end.close()  # a rank that dies closes the last one
        processes.append(process)
    found = []
    for rank, (end, _) in enumerate(ends):
        good, value = _received(end, processes[rank])
        assert good or (value is None and rank in lost), f"rank {rank}: {value}"
        found.append(value)
    for process in processes:
        process.join(60)
    return found


def _received(end, process):
    try:
        return end.recv()
    except EOFError:
        process.join(60)
        return False, None if process.exitcode == -signal.SIGKILL else f"exit {process.exitcode}"


def _work(function, world, store, end, args):
    torch.set_num_threads(1)
    try:
        with joined(world, "cpu", f"file://{store}"):
            end.send((True, function(world, *args)))
    except BaseException:  # noqa: BLE001 - told to the test
        end.send((False, traceback.format_exc()))
    end.close()


def kill_self():
    """What an operator, or a machine without memory, does to a rank."""
    signal.raise_signal(signal.SIGKILL)
