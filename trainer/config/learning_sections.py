"""The sections of what is learned: network, loss, optimizer, augmentation."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from trainer.config.bounds import MOST_ACCUMULATED, MOST_STEPS
from trainer.config.entries import (
    DEVICE_LAYERS,
    MIXERS,
    OPTIMIZERS,
    backbone_forms,
    device_layers,
    losses_by_task,
)
from trainer.config.key_field import PlainValue, key

OWN = "FILE.py:NAME or MODULE:NAME of your own"
BALANCED = "balanced"  # of loss.class_weights

HUB_HANDLE = (
    "hub:gs://cloud-tpu-checkpoints/efficientnet/v2/hub/efficientnetv2-b0-21k/feature-vector"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The network."""

    backbone: str = key(
        default=HUB_HANDLE,
        meaning=f"{backbone_forms()}, or {OWN}",
    )
    backbone_args: Mapping[str, PlainValue] = key(
        default={}, meaning="further arguments of a backbone of your own"
    )
    head: str = key(default="", meaning=f"'' = the task's own, or {OWN}")
    head_args: Mapping[str, PlainValue] = key(
        default={}, meaning="further arguments of a head of your own"
    )
    weights: str = key(
        default="",
        meaning="'' = the hub's own or random, imagenet, a weights file, or a RUN, whose head is "
        "taken too where it fits",
    )
    embedding_size: int = key(
        default=128, at_least=1, at_most=1 << 20, meaning="numbers in an embedding (triplets)"
    )
    scale: float = key(
        default=1.0, above=0, at_most=1e6, meaning="length of an embedding (triplets)"
    )
    dropout: float = key(
        default=0.4, at_least=0, below=1, meaning="share of features dropped before the head"
    )
    head_initializer: str = key(
        default="",
        meaning="of the kernel of the head's dense layer, a Keras name such as he_normal; "
        "'' = GlorotUniform",
    )
    head_initializer_args: Mapping[str, PlainValue] = key(
        default={}, meaning="the initializer's own arguments"
    )
    head_l1: float = key(
        default=0.0,
        at_least=0,
        at_most=1e6,
        meaning="times the sum of the kernel's absolute values, added to the training loss",
    )
    head_l2: float = key(
        default=0.0,
        at_least=0,
        at_most=1e6,
        meaning="times the sum of the kernel's squares, likewise; neither is in the loss reported",
    )
    trainable: str = key(
        default="all",
        meaning="all, head (the backbone is frozen), or the name of a layer of the backbone: "
        "it and those after it train",
    )
    pooling: str = key(
        default="avg",
        choices=("avg", "max"),
        meaning="global pooling over the last feature map; a hub handle has its own",
    )
    pixel_range: str = key(
        default="",
        choices=("", "0..255", "0..1", "-1..1", "caffe", "torch"),
        meaning="what the backbone is fed; '' = what its family wants, from a table",
    )
    channels: int = key(
        default=3, at_least=1, at_most=3, meaning="of the pictures: 3 = RGB, 1 = grey"
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class LossConfig:
    """What is minimised."""

    name: str = key(default="", meaning=f"'' = the task's own, {OWN}, or one of {losses_by_task()}")
    args: Mapping[str, PlainValue] = key(
        default={},
        meaning="the loss's further settings; where a task has several parts, the loss of each "
        "gets those that it takes",
    )
    names: Mapping[str, PlainValue] = key(
        default={},
        meaning="of a task with several parts: the loss of a part by the part's name (class, "
        "labels, numbers), in place of loss.name",
    )
    weights: Mapping[str, PlainValue] = key(
        default={},
        meaning="likewise what a part's loss counts in their sum, 1 where a part is left out",
    )
    class_weights: str | Mapping[str, PlainValue] = key(
        default={},
        words=(BALANCED,),
        meaning="by class name, how much a record counts in the training loss, 1 where a class is "
        f"left out; {BALANCED} = each class as much as any other; empty = each record the same",
    )
    delta: float = key(
        default=0.5,
        at_least=0,
        at_most=1e6,
        meaning="margin of the triplet loss, squared distance; where huber becomes linear",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """The optimizer, and its schedule."""

    name: str = key(
        default="adabound",
        meaning=f"{', '.join(OPTIMIZERS.names())}, a Keras or tensorflow-addons name, or {OWN}",
    )
    learning_rate: float = key(
        default=1e-3, above=0, at_most=1e38, meaning="per step; start of a schedule"
    )
    final_learning_rate: float = key(
        default=0.1,
        above=0,
        at_most=1e6,
        meaning="of AdaBound and AMSBound, towards the end (that of SGD)",
    )
    schedule: str = key(
        default="",
        meaning=f"'' = constant, the name of a Keras schedule, such as CosineDecay, or {OWN}",
    )
    schedule_args: Mapping[str, PlainValue] = key(
        default={},
        meaning="the schedule's own arguments; decay_steps left out = the whole run, "
        "warm-up included",
    )
    warmup_steps: int = key(
        default=0,
        at_least=0,
        at_most=MOST_STEPS,
        meaning="first steps of the run, in which the rate rises in a straight line to the "
        "constant one or the schedule's first, whose own steps count from there; 0 = off",
    )
    clip_global_norm: float = key(
        default=0.0,
        at_least=0,
        at_most=1e38,
        meaning="the gradient is scaled down to this norm where its own, over all weights, is "
        "greater; 0 = off",
    )
    clip_norm: float = key(
        default=0.0,
        at_least=0,
        at_most=1e38,
        meaning="the same for the gradient of each weight tensor by itself; 0 = off",
    )
    clip_value: float = key(
        default=0.0,
        at_least=0,
        at_most=1e38,
        meaning="each number of the gradient is kept between minus this and this; 0 = off",
    )
    weight_decay: float = key(
        default=0.0,
        at_least=0,
        at_most=1e6,
        meaning="of all weights but biases and what normalisation scales and shifts by; 0 = none, "
        "or that of optimizer.args, which is of all",
    )
    ema_momentum: float = key(
        default=0.0,
        at_least=0,
        below=1,
        meaning="what an exponential moving average of the weights keeps of itself in a step; the "
        "averages are what is validated, saved and exported; 0 = off",
    )
    accumulate_steps: int = key(
        default=1,
        at_least=1,
        at_most=MOST_ACCUMULATED,
        meaning="steps whose gradients make one update of the weights, like one step of so many "
        "times the batch; schedule and warm-up count updates; 1 = each step",
    )
    args: Mapping[str, PlainValue] = key(default={}, meaning="the optimizer's further arguments")


def _layer_settings() -> Any:
    """A dataclass of the settings of every on-device layer, in the order in which they act, and of
    what mixes their pictures.
    """
    tables = [DEVICE_LAYERS.constant(layer, "SETTINGS") for layer in device_layers()]
    tables += [MIXERS.constant(mixer, "SETTINGS") for mixer in MIXERS.names()]
    fields = [
        (name, type(facts["default"]), key(**facts))
        for settings in tables
        for name, facts in settings.items()
    ]
    return dataclasses.make_dataclass("LayerSettings", fields, frozen=True, kw_only=True)


_LayerSettings: Any = _layer_settings()


@dataclasses.dataclass(frozen=True, kw_only=True)
class AugmentConfig(_LayerSettings):
    """Light augmentation on the device, in training only; each layer declares its own keys."""

    enabled: bool = key(default=False, meaning="all of this section on or off")
    layers: tuple[str, ...] = key(
        default=(), meaning=f"further layers, after the others, in this order: {OWN}"
    )
    order: tuple[str, ...] = key(
        default=(),
        meaning="the layers that are on, in the order in which they act; empty = "
        f"{', '.join(device_layers())}; neighbours among shift, zoom, shear and rotation share an "
        "interpolation",
    )
