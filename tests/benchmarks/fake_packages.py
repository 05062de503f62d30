"""Small stand-ins for the packages of the benchmarks, with the signatures of the real ones.

The numbers are made up. What a real package does wrong or dangerously by default is kept: index -1
for an unknown architecture, a random seed, the best epoch of the test metric, noise, and talk on
standard output.
"""

import random
import sys
from types import ModuleType

NB201 = (
    "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|",
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|none~1|+|skip_connect~0|none~1|skip_connect~2|",
    "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
)
SIZES = ("8:8:8:8:8", "64:64:64:64:64", "8:16:24:32:40")


def install(monkeypatch, name, **contents):
    """A module of this name, and its parents, for the time of a test."""
    parts = name.split(".")
    for i in range(1, len(parts)):
        monkeypatch.setitem(sys.modules, ".".join(parts[:i]), ModuleType(".".join(parts[:i])))
    module = ModuleType(name)
    for key, value in contents.items():
        setattr(module, key, value)
    monkeypatch.setitem(sys.modules, name, module)
    return module


class ArchResults:
    """`nats_bench.ArchResults` of version 1.8: `dataset_seed`, `get_metrics` and the rest."""

    seeds = {
        "cifar10-valid": [777, 888],
        "cifar10": [777, 888, 999],
        "cifar100": [777],
        "ImageNet16-120": [777],
    }
    sets = {
        "cifar10-valid": ("train", "x-valid", "ori-test"),
        "cifar10": ("train", "ori-test"),
        "cifar100": ("train", "x-valid", "x-test", "ori-test"),
        "ImageNet16-120": ("train", "x-valid", "x-test", "ori-test"),
    }

    def __init__(self, index, epochs):
        self.index, self.epochs = index, epochs

    def get_dataset_seeds(self, dataset):
        return list(self.seeds[dataset])

    def accuracy(self, dataset, setname, seed):
        place = list(self.seeds).index(dataset)
        which = self.sets[dataset].index(setname)
        return 60 + 5 * self.index + place + which / 8 + seed / 4096 + self.epochs / 1024

    def get_metrics(self, dataset, setname, iepoch=None, is_random=False):
        if setname not in self.sets[dataset]:
            raise KeyError(f"{setname}@{self.epochs - 1}")
        if is_random is True:
            is_random = random.choice(self.seeds[dataset])
        if is_random not in self.seeds[dataset]:
            raise ValueError(f"can not find random seed ({is_random})")
        last = self.epochs - 1 if iepoch is None else iepoch
        return {"iepoch": last, "loss": 1.0, "accuracy": self.accuracy(dataset, setname, is_random)}

    def get_compute_costs(self, dataset):
        return {
            "flops": 15.64737 + self.index,
            "params": 0.129306 + self.index,
            "latency": None,
            "T-train@epoch": 2.5,
            "T-train@total": 2.5 * self.epochs,
        }


class NatsApi:
    """`nats_bench.NATStopology`, `NATSsize` and `nas_201_api.NASBench201API`."""

    def __init__(self, archs, hps):
        self.archs, self.hps = archs, hps

    def __len__(self):
        return len(self.archs)

    def arch(self, index):
        return self.archs[index]

    def query_index_by_arch(self, arch):
        return self.archs.index(arch) if arch in self.archs else -1

    def query_meta_info_by_index(self, arch_index, hp="12"):
        if hp not in self.hps:
            raise ValueError(
                f"The {arch_index}-th architecture only has hyper-parameters {self.hps}"
            )
        # A list takes -1 for its last element, as the real one may.
        return [ArchResults(i, int(hp)) for i in range(len(self.archs))][arch_index]


def nats_bench(monkeypatch, calls):
    """`nats_bench` 1.8; `calls` collects the arguments of `create`."""

    def create(file_path_or_dict, search_space, fast_mode=False, verbose=True):
        print("loading")  # noqa: T201
        calls.append((file_path_or_dict, search_space, fast_mode, verbose))
        if search_space == "tss":
            return NatsApi(NB201, ("12", "200"))
        if search_space == "sss":
            return NatsApi(SIZES, ("01", "12", "90"))
        raise ValueError(f"invalid search space : {search_space}")

    install(monkeypatch, "nats_bench", create=create)


def nas_201_api(monkeypatch, calls):
    """`nas_201_api` 2.1."""

    def make(file_path_or_dict=None, verbose=True):
        calls.append((file_path_or_dict, verbose))
        return NatsApi(NB201, ("12", "200"))

    install(monkeypatch, "nas_201_api", NASBench201API=make)


class OutOfDomainError(Exception):
    pass


class ModelSpec:
    """`nasbench.api.ModelSpec(matrix, ops)`."""

    def __init__(self, matrix, ops, data_format="channels_last"):
        if len(matrix) != len(ops):
            raise ValueError("length of ops must match matrix dimensions")
        if any(matrix[i][j] for i in range(len(ops)) for j in range(i + 1)):
            raise ValueError("matrix must be upper triangular")
        self.matrix, self.ops = matrix, ops


class NASBench:
    """`nasbench.api.NASBench(file)` of the 108-epoch file, with one cell in it."""

    known = "28cfc7874f6d200472e1a9dcd8650aa0"

    def __init__(self, dataset_file, seed=None):
        print("Loading dataset from file... This may take a few minutes...")  # noqa: T201

    def hash_iterator(self):
        return {self.known: None}.keys()

    def get_metrics_from_hash(self, module_hash):
        runs = [
            {
                "final_training_time": 1700.0 + i,
                "final_train_accuracy": 1.0,
                "final_validation_accuracy": 0.9375 + i / 256,
                "final_test_accuracy": 0.9296875 + i / 256,
                "halfway_test_accuracy": 0.5,
            }
            for i in range(3)
        ]
        return {"trainable_parameters": 8557898, "module_adjacency": None}, {108: runs}

    def get_metrics_from_spec(self, model_spec):
        self.seen = model_spec
        if sum(map(sum, model_spec.matrix)) > 9:
            raise OutOfDomainError("too many edges, got 10 (max edges = 9)")
        return self.get_metrics_from_hash(self.known)


def nasbench(monkeypatch):
    """google-research/nasbench: the module `nasbench.api`."""
    return install(
        monkeypatch,
        "nasbench.api",
        NASBench=NASBench,
        ModelSpec=ModelSpec,
        OutOfDomainError=OutOfDomainError,
    )


class Surrogate:
    """What `nasbench301.load_ensemble` gives."""

    def __init__(self, folder):
        self.folder = folder
        self.asked = []

    def predict(self, config, representation, with_noise=True):
        assert representation == "genotype"
        config.normal_concat, config.reduce_concat  # noqa: B018 - the fields the real one reads
        self.asked.append((config.normal, config.reduce, with_noise))
        base = 5000.0 if "runtime" in self.folder else 94.0
        return base + (random.random() if with_noise else 0.0)


def nasbench301(monkeypatch, loaded):
    """`nasbench301` 0.3."""

    def load_ensemble(ensemble_parent_directory):
        loaded.append(Surrogate(ensemble_parent_directory))
        return loaded[-1]

    install(monkeypatch, "nasbench301", load_ensemble=load_ensemble)


class TransNASBenchAPI:
    """`api.TransNASBenchAPI` of yawen-d/TransNASBench."""

    def __init__(self, database_path, verbose=False):
        self.task_list = ["class_scene", "class_object", "room_layout", "normal"]
        self.metrics_dict = {
            "class_scene": ["train_top1", "valid_top1", "test_top1", "time_elapsed"],
            "class_object": ["train_top1", "valid_top1", "test_top1", "time_elapsed"],
            "room_layout": ["valid_loss", "test_loss", "valid_neg_loss", "test_neg_loss"],
            "normal": ["valid_l1_loss", "valid_ssim", "test_ssim"],
        }
        self.info_names = ["inference_time", "encoder_params", "model_params", "model_FLOPs"]
        self.all_arch_dict = {
            "macro": ["64-1234-basic"],
            "micro": ["64-41414-1_02_333", "64-41414-3_33_333"],
        }

    def get_model_info(self, arch, task, info):
        assert info in self.info_names
        return {"model_params": 1234567, "model_FLOPs": 2.5e9}[info]

    def get_single_metric(self, arch, task, metric, mode="best", xseed=None):
        assert metric in self.metrics_dict[task]
        plus = self.all_arch_dict["micro"].index(arch)
        last = {"v": 50.0, "t": 48.0}[metric[0]] + plus
        # The epoch before the last happens to be better.
        return {"final": last, "best": last + 9}[mode]


def transnas(monkeypatch, name="TransNASBench.api"):
    install(monkeypatch, name, TransNASBenchAPI=TransNASBenchAPI)
