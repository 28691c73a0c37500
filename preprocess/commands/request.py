"""The flags that `build` and `plan` share, and the request that they make."""

from __future__ import annotations

from typing import TYPE_CHECKING

from absl import flags

from preprocess.augment.names import DESCRIPTIONS, SHIPPED_RECIPES
from preprocess.commands.column_pairs import parse_pairs
from preprocess.shell.cli import say
from preprocess.shell.errors import UsageError
from preprocess.shell.path_flags import define_path
from preprocess.sources import SOURCES, find_source, recognise
from preprocess.sources.rows import Request
from preprocess.sources.source_kind import SourceKind

if TYPE_CHECKING:
    from preprocess.build.build_request import BuildRequest


def _exceptions(setting: str) -> str:
    """What the sources have that differ from the usual: ", and 1 for cifar, idx"."""
    usual = SourceKind.__dataclass_fields__[setting].default
    names: dict[str, list[str]] = {}
    for name, kind in SOURCES.items():
        names.setdefault(getattr(kind, setting), []).append(name)
    others = ((value, of) for value, of in names.items() if value != usual)
    return "".join(f", and {value} for {', '.join(of)}" for value, of in others)


_SOURCE = flags.DEFINE_string(
    "source",
    "",
    "Kind of input, if it cannot be detected from --csv and --images:\n"
    + "\n".join(f"{name}: {kind.layout}" for name, kind in SOURCES.items())
    + "\nor module:NAME of a source of your own.",
)
_CSV = define_path("csv", "", "Table of the pictures.")
_IMAGES = define_path(
    "images",
    "",
    "Folder of the pictures, or an archive of it (.zip, .tar, .tar.gz), which is read without "
    "unpacking it: pictures.zip, pictures.zip/a/folder/in/it; or a file that a source reads.",
)
_OUTPUT = define_path("output", None, "Dataset directory to write.", required=True)
_VARIANTS = flags.DEFINE_integer(
    "variants",
    None,
    "Variants of each training picture, the original among them; by default 10"
    + _exceptions("variants")
    + ".",
    lower_bound=1,
    upper_bound=100,
)
_RECIPE = define_path(
    "recipe",
    "",
    f"Augmentation recipe: {', '.join(SHIPPED_RECIPES)} or a YAML file of these operations; by "
    "default the source's own.\n"
    + "\n".join(f"{name}: {text}" for name, text in DESCRIPTIONS.items()),
)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of all random numbers.", lower_bound=0)
_IMAGE_SIZE = flags.DEFINE_integer(
    "image_size",
    0,
    "Side in pixels of the stored pictures; 0 = original size.",
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
    "How pictures are stored; by default jpeg" + _exceptions("encoding") + ".",
)
_QUALITY = flags.DEFINE_integer("quality", 95, "JPEG quality.", lower_bound=1, upper_bound=100)
_SHARDS = flags.DEFINE_integer(
    "shards",
    0,
    "Picture shards per split; 0 = about 32 MB each, a count that divides evenly.",
    lower_bound=0,
    upper_bound=100_000,
)
_LIMIT = flags.DEFINE_integer(
    "limit",
    0,
    "Read about that many rows or pictures (spread over folders); 0 = all.",
    lower_bound=0,
)
_SPLITS = flags.DEFINE_string(
    "splits",
    "",
    "Fractions for input that names no split, such as train:0.8,test:0.2; or the names that its "
    "table, folders or files use instead of train, validation and test: train,test_a,test_b.",
)
_VALIDATION = flags.DEFINE_float(
    "validation_fraction",
    0.0,
    "Fraction of train to hold out as validation (of faces, for fec).",
    lower_bound=0.0,
    upper_bound=0.9,
)
_COLUMNS = flags.DEFINE_list(
    "columns",
    [],
    "Your column names, face1=a,face2=b,..., or, if the table has no header, their positions: "
    "face1=1,face2=2,... For parquet files, arrays and webdatasets: image=A,label=B.",
)
_FEATURES = flags.DEFINE_list(
    "features",
    [],
    "Feature names in TFRecords of others, image=image/encoded,label=image/class/label; detected "
    "by default.",
)
_CSV_ENCODING = flags.DEFINE_string(
    "csv_encoding",
    "",
    "Encoding of --csv, such as cp1252; by default UTF-8, or UTF-16 by its byte-order mark.",
)
_LABEL = flags.DEFINE_string(
    "label",
    "",
    "Column of the class, where it is not `label` (csv). With --targets, the task is "
    "class_and_numbers.",
)
_LABELS = flags.DEFINE_string(
    "labels",
    "",
    "Column of several labels a picture, with --separator between them; an empty cell has none "
    "(csv). The task is multilabel then; with --targets, labels_and_numbers.",
)
_SEPARATOR = flags.DEFINE_string("separator", ";", "Between the labels of a cell of --labels.")
_TARGETS = flags.DEFINE_list(
    "targets",
    [],
    "Columns of numbers, such as age,height; each row has all of them (csv). The task is "
    "regression then; with --label or --labels, a picture has both.",
)
_WEIGHT = flags.DEFINE_string(
    "weight",
    "",
    "Column of a number of at least 0 by which a picture counts in the training loss (csv).",
)
_MAX_BAD = flags.DEFINE_float(
    "max_bad_fraction",
    0.01,
    "Fraction of refused input beyond which the build fails.",
    lower_bound=0.0,
    upper_bound=1.0,
)
_WORKERS = flags.DEFINE_integer(
    "workers", 0, "Processes of a local build; 0 = all cores.", lower_bound=0, upper_bound=1024
)
_FOLLOW_LINKS = flags.DEFINE_bool(
    "follow_links", False, "Follow symbolic links that lead out of --images."
)
_OVERWRITE = flags.DEFINE_bool(
    "overwrite",
    False,
    "Rebuild everything, whatever is there. Run again after an interruption, it resumes.",
)


def build_request(arguments: list[str]) -> BuildRequest:
    """What the command line asks for; `arguments` are Beam's. Raises UsageError."""
    if arguments and not arguments[0].startswith("--"):
        raise UsageError(f"unexpected argument '{arguments[0]}'; Beam's options follow ' -- '")
    from preprocess import storage
    from preprocess.build.build_request import BuildRequest
    from preprocess.sources.splitting import parse_splits

    source = Request(
        csv=_CSV.value,
        images=_IMAGES.value,
        columns=parse_pairs("--columns", _COLUMNS.value),
        features=parse_pairs("--features", _FEATURES.value),
        csv_encoding=_CSV_ENCODING.value,
        label=_LABEL.value,
        labels=_LABELS.value,
        separator=_SEPARATOR.value,
        targets=tuple(_TARGETS.value),
        weight=_WEIGHT.value,
        splits=parse_splits(_SPLITS.value),
        validation_fraction=_VALIDATION.value,
        limit=_LIMIT.value,
        follow_links=_FOLLOW_LINKS.value,
    )
    kind = _source_kind(source)
    if kind in SOURCES and not SOURCES[kind].columns_by_flags and source.column_flags:
        names = ", ".join(source.column_flags)
        raise UsageError(f"{names}: --source={kind} has no such columns; --source=csv has")
    return BuildRequest(
        kind=kind,
        source=source,
        output=storage.absolute(_OUTPUT.value),
        variants=_VARIANTS.value or find_source(kind).variants,
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


def _source_kind(request: Request) -> str:
    """The value of --source; recognised from the input, and logged, where it is not given."""
    if _SOURCE.value:
        find_source(_SOURCE.value)
        return _SOURCE.value
    kind, reason = recognise(request)
    say(f"detected --source={kind.name}: {reason}")
    return kind.name
