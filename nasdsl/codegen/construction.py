"""The Python expression that builds a module again: one line per class that primitives make."""

from __future__ import annotations

from torch import nn

from nasdsl.codegen.emit import NotExecutable


def own(module: nn.Module) -> bool:
    """Whether a module is one of ours: its source goes into the package."""
    return type(module).__module__.startswith("nasdsl.ops.")


def construction(module: nn.Module) -> str:
    """The expression that builds a module. Raises NotExecutable for one that is not listed."""
    name = type(module).__name__
    ours = {
        "FactorizedReduce": lambda m: (
            f"FactorizedReduce({m.conv1.in_channels}, {2 * m.conv1.out_channels}, {m.pad}, "
            f"bias={m.conv1.bias is not None}, affine={m.bn.affine})"
        ),
        "FoldedReduce": lambda m: (
            f"FoldedReduce({m.conv1.in_channels}, {2 * m.conv1.out_channels}, {m.pad})"
        ),
        "Thinned": lambda m: (
            f"Thinned({m.in_channels}, {m.out_channels}, 1, stride={m.stride}, "
            f"bias={m.bias is not None})"
        ),
        "Linear": lambda m: f"Linear({m.in_features}, {m.out_features}, bias={m.bias is not None})",
        "GlobalAverage": lambda m: "GlobalAverage()",
        "Zeros": lambda m: f"Zeros({m.shape})",
        "Narrow": lambda m: f"Narrow({m.channels})",
        "Noise": lambda m: f"Noise({m.shape}, {m.std})",
        "SqueezeExcite": lambda m: (
            f"SqueezeExcite({m.squeeze.in_features}, {m.squeeze.out_features})"
        ),
        "LayerNorm": lambda m: (
            f"LayerNorm({m.normalized_shape}, eps={m.eps}, "
            f"elementwise_affine={m.elementwise_affine})"
        ),
        "PatchEmbed": lambda m: (
            f"PatchEmbed({m.conv.in_channels}, {m.conv.out_channels}, {m.conv.stride[0]})"
        ),
        "ClassToken": lambda m: f"ClassToken({m.token.shape[1]})",
        "Position": lambda m: f"Position({m.weight.shape[1]}, {m.weight.shape[2]})",
        "Attention": lambda m: (
            f"Attention({m.qkv.in_features}, {m.heads}, {m.proj.in_features // m.heads}, "
            f"causal={m.causal}, window={m.window})"
        ),
        "Token": lambda m: f"Token({m.index})",
        "Embed": lambda m: f"Embed({m.embedding.num_embeddings}, {m.embedding.embedding_dim})",
        "Fold": lambda m: "Fold()",
        "ChannelsFrom": lambda m: f"ChannelsFrom({m.first}, {m.stride})",
        "ChannelShuffle": lambda m: f"ChannelShuffle({m.channels}, {m.groups})",
        "Scaled": lambda m: f"Scaled({m.by})",
        "Dropped": lambda m: f"Dropped({m.p})",
        "Unfold": lambda m: f"Unfold({m.n})",
    }
    if own(module):
        if name not in ours:
            raise NotExecutable(f"a package with `{name}`")
        return str(ours[name](module))
    match module:
        case nn.ConvTranspose1d() | nn.ConvTranspose2d() | nn.ConvTranspose3d():
            return (
                f"nn.{name}({module.in_channels}, {module.out_channels}, {module.kernel_size}, "
                f"stride={module.stride}, padding={module.padding}, "
                f"output_padding={module.output_padding}, bias={module.bias is not None})"
            )
        case nn.Conv1d() | nn.Conv2d() | nn.Conv3d():
            return (
                f"nn.{name}({module.in_channels}, {module.out_channels}, {module.kernel_size}, "
                f"stride={module.stride}, padding={module.padding}, dilation={module.dilation}, "
                f"groups={module.groups}, bias={module.bias is not None})"
            )
        case nn.BatchNorm1d() | nn.BatchNorm2d() | nn.BatchNorm3d():
            return (
                f"nn.{name}({module.num_features}, eps={module.eps}, momentum={module.momentum}, "
                f"affine={module.affine})"
            )
        case nn.MaxPool1d() | nn.MaxPool2d() | nn.MaxPool3d():
            return (
                f"nn.{name}({module.kernel_size}, stride={module.stride}, padding={module.padding})"
            )
        case nn.AvgPool1d() | nn.AvgPool2d() | nn.AvgPool3d():
            return (
                f"nn.{name}({module.kernel_size}, stride={module.stride}, "
                f"padding={module.padding}, count_include_pad={module.count_include_pad})"
            )
        case nn.Dropout():
            return f"nn.Dropout({module.p})"
        case nn.LeakyReLU():
            return f"nn.LeakyReLU({module.negative_slope})"
        case nn.ReLU() | nn.GELU() | nn.SiLU() | nn.Hardswish() | nn.Tanh() | nn.Flatten():
            return f"nn.{name}()"
        case _:
            raise NotExecutable(f"a package with `{name}`")
