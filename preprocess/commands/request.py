"""The flags that `build` and `plan` share, and the request that they make."""

from __future__ import annotations

from typing import TYPE_CHECKING

from absl import flags

from preprocess.errors import UsageError

if TYPE_CHECKING:
    from preprocess.build import BuildRequest

_SOURCE = flags.DEFINE_enum(
    "source", None, ["fec", "folders", "csv", "idx"], "What the input is.", required=True
)
_CSV = flags.DEFINE_string("csv", "", "Table of triplets (fec) or of labels (csv).")
_IMAGES = flags.DEFINE_string("images", "", "Folder of the pictures, or of the idx files.")
_OUTPUT = flags.DEFINE_string("output", None, "Dataset directory to write.", required=True)
_VARIANTS = flags.DEFINE_integer(
    "variants",
    None,
    "Variants of each training picture, the original among them; by default 10, and 1 for idx.",
    lower_bound=1,
    upper_bound=100,
)
_RECIPE = flags.DEFINE_string(
    "recipe",
    "",
    "Augmentation recipe: faces, photos or a YAML file; by default what suits the source.",
)
_SEED = flags.DEFINE_integer("seed", 0, "Of all random numbers.", lower_bound=0)
_IMAGE_SIZE = flags.DEFINE_integer(
    "image_size",
    0,
    "Side in pixels of the stored pictures; 0 = as they came.",
    lower_bound=0,
    upper_bound=8192,
)
_RESIZE_MODE = flags.DEFINE_enum(
    "resize_mode", "stretch", ["stretch", "pad", "crop"], "How a picture becomes square."
)
_ENCODING = flags.DEFINE_enum(
    "encoding",
    None,
    ["jpeg", "png", "raw"],
    "How pictures are stored; by default jpeg, and png for idx.",
)
_QUALITY = flags.DEFINE_integer("quality", 95, "JPEG quality.", lower_bound=1, upper_bound=100)
_SHARDS = flags.DEFINE_integer(
    "shards",
    0,
    "Picture shards a split; 0 = about 32 MB each, a count that divides evenly.",
    lower_bound=0,
    upper_bound=100_000,
)
_LIMIT = flags.DEFINE_integer(
    "limit", 0, "Take about so many rows or pictures (spread over folders); 0 = all.", lower_bound=0
)
_SPLITS = flags.DEFINE_string(
    "splits", "", "Fractions for what names no split, such as train:0.8,test:0.2."
)
_VALIDATION = flags.DEFINE_float(
    "validation_fraction",
    0.0,
    "Share of train to hold out as validation (of faces, for fec).",
    lower_bound=0.0,
    upper_bound=0.9,
)
_COLUMNS = flags.DEFINE_list("columns", [], "Your names of the columns: face1=a,face2=b,...")
_MAX_BAD = flags.DEFINE_float(
    "max_bad_fraction",
    0.01,
    "Refused share of the input beyond which the build fails.",
    lower_bound=0.0,
    upper_bound=1.0,
)
_WORKERS = flags.DEFINE_integer(
    "workers", 0, "Of a local run; 0 = all cores.", lower_bound=0, upper_bound=1024
)
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Rebuild a directory built with other options.")


def build_request(arguments: list[str]) -> BuildRequest:
    """What the command line asks for; `arguments` are Beam's. Raises UsageError."""
    if arguments and not arguments[0].startswith("--"):
        raise UsageError(f"unexpected argument '{arguments[0]}'; Beam's options follow ' -- '")
    from preprocess import storage
    from preprocess.build import BuildRequest
    from preprocess.sources.rows import Request
    from preprocess.sources.splitting import parse_fractions

    return BuildRequest(
        kind=_SOURCE.value,
        source=Request(
            csv=_CSV.value,
            images=_IMAGES.value,
            columns=_columns(_COLUMNS.value),
            fractions=parse_fractions(_SPLITS.value),
            validation_fraction=_VALIDATION.value,
            limit=_LIMIT.value,
        ),
        output=storage.absolute(_OUTPUT.value),
        variants=_VARIANTS.value or (1 if _SOURCE.value == "idx" else 10),
        recipe=_RECIPE.value,
        seed=_SEED.value,
        image_size=_IMAGE_SIZE.value,
        resize_mode=_RESIZE_MODE.value,
        encoding=_ENCODING.value or "",
        quality=_QUALITY.value,
        shards=_SHARDS.value,
        max_bad_fraction=_MAX_BAD.value,
        workers=_WORKERS.value,
        overwrite=_OVERWRITE.value,
        beam_arguments=tuple(arguments),
    )


def _columns(pairs: list[str]) -> tuple[tuple[str, str], ...]:
    columns = []
    for pair in pairs:
        ours, equals, theirs = pair.partition("=")
        if not (ours and equals and theirs):
            raise UsageError(f"--columns: '{pair}' is not OURS=YOURS")
        columns.append((ours, theirs))
    return tuple(columns)
