"""Says what is in a dataset directory.

python -m preprocess info DATASET
"""

from __future__ import annotations

from absl import flags

from preprocess.cli import one_argument, print_json

_JSON = flags.DEFINE_bool("json", False, "Print the counts as one JSON object.")


def main(arguments: list[str]) -> None:
    """Prints the manifest's figures."""
    from preprocess.reading import load_manifest

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
                "splits": splits,
                "rejected": manifest.rejected,
            }
        )
        return
    size = f"{image.width or 'mixed'} x {image.height or 'mixed'} x {image.channels or 'mixed'}"
    print(f"task      {manifest.task}")
    print(f"pictures  {size} (width x height x channels), {image.encoding}")
    print(f"variants  {manifest.variants}, seed {manifest.seed}")
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
