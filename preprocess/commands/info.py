"""Prints what is in a dataset directory.

python -m preprocess info DATASET
"""

from __future__ import annotations

from absl import flags

from preprocess.shell.cli import one_argument, print_json

_JSON = flags.DEFINE_bool("json", False, "Print the counts as one JSON object.")


def main(arguments: list[str]) -> None:
    """Prints the manifest's figures."""
    from preprocess.shards.reading import load_manifest

    manifest = load_manifest(one_argument(arguments, "DATASET"))
    splits = {
        name: {
            "images": split.images,
            "triplets": split.triplets,
            "variants": split.variants,
            "image_shards": len(split.image_shards(0)),
            "bytes": sum(shard.bytes for shard in split.shards),
        }
        for name, split in manifest.splits.items()
    }
    image = manifest.image
    if _JSON.value:
        print_json(
            {
                "task": manifest.task,
                "digest": manifest.digest,
                "classes": list(manifest.classes),
                **({"targets": [t.name for t in manifest.targets]} if manifest.targets else {}),
                **({"weighted": True} if manifest.weighted else {}),
                "splits": splits,
                "rejected": manifest.rejected,
            }
        )
        return
    size = f"{image.width or 'mixed'} x {image.height or 'mixed'} x {image.channels or 'mixed'}"
    print(f"task      {manifest.task}")
    print(f"pictures  {size} (width x height x channels), {image.encoding}")
    print(f"variants  {manifest.variants}, seed {manifest.seed}")
    for target in manifest.targets:
        print(f"target    {target.name}: mean {target.mean:g}, deviation {target.std:g} in train")
    if manifest.weighted:
        print("weights   one a picture")
    if manifest.classes:
        shown = ", ".join(manifest.classes[:10])
        more = f" and {len(manifest.classes) - 10} more" if len(manifest.classes) > 10 else ""
        print(f"classes   {len(manifest.classes)}: {shown}{more}")
    print("\nsplit         pictures  triplets  variants  shards       MB")
    for name, row in splits.items():
        print(
            f"{name:<12}{row['images']:>10}{row['triplets']:>10}{row['variants']:>10}"
            f"{row['image_shards']:>8}{row['bytes'] / 1e6:>9.1f}"
        )
    print(f"\nrefused   {manifest.rejected['count']}")
    for reason, count in manifest.rejected["by_reason"].items():
        print(f"          {count} {reason}")
    print(f"digest    {manifest.digest}")
