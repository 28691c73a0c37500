"""Variants per second and core: a recipe here against albumentations and Keras doing the same.

    python -m tests.benchmarks.bench_recipe [--images=DIR] [--seconds=4] [--json]

All take the same decoded pictures and encode every variant as JPEG of quality 95 with the same
encoder, in one process, on one core, in turn (A B C A B C), by processor time; the wall clock's
rates are in --json.

albumentations does the same operations with the same probabilities and ranges, and both it and we
seed every variant by itself, so that it does not depend on any other. Keras's preprocessing layers
stand beside `photos` alone and take the pictures as one batch; tests/benchmarks/keras_photos.py
says where they differ.

`photos` is the shipped recipe. `heavy` adds the other operations but elastic distortion, which
albumentations smooths at full size: it alone would decide the ratio.

The larger the picture, the smaller the ratio: at 384x384 most of the time goes to the bilinear
warp, the HSV conversion and the JPEG encoder, which are the same OpenCV calls on both sides.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # it looks for a newer version when imported
os.environ["CUDA_VISIBLE_DEVICES"] = ""  # Keras would go to a GPU
os.environ["OPENBLAS_NUM_THREADS"] = "1"  # others wait busily after each small matrix

import cv2
import numpy as np

from preprocess.augment import Recipe, load_recipe, variant_generator
from tests.benchmarks import keras_photos

PICTURES = 16
TURNS = 8  # of each side
SIDES = (112, 384)  # pixels: a cropped face, and what the photos recipe is meant for
JPEG_QUALITY = 95

HEAVY = """
version: 1
operations:
  - horizontal_flip: {probability: 0.5}
  - affine:
      probability: 0.7
      rotate_degrees: [-45, 45]
      shift_x: [-0.0625, 0.0625]
      shift_y: [-0.0625, 0.0625]
      scale: [0.9, 1.1]
  - random_crop: {probability: 0.5, side: [0.7, 1]}
  - perspective: {probability: 0.3, strength: 0.05}
  - grid_distortion: {probability: 0.3, stretch: [0.7, 1.3]}
  - hue_saturation_value:
      {probability: 0.5, hue_degrees: [-40, 40], saturation: [0.7, 1.3], value: [0.85, 1.15]}
  - brightness_contrast_gamma:
      {probability: 0.5, brightness: [0.8, 1.2], contrast: [0.8, 1.2], gamma: [0.8, 1.2]}
  - gaussian_blur: {probability: 0.2, sigma_pixels: [0.5, 1.5]}
  - motion_blur: {probability: 0.2, length_pixels: [3, 7]}
  - gaussian_noise: {probability: 0.3, sigma_levels: [3, 10]}
  - jpeg_quality: {probability: 0.3, quality: [50, 90]}
  - cutout: {probability: 0.5, height: 150, width: 200, reference: 384}
  - cutout: {probability: 0.5, height: 100, width: 150, reference: 384}
  - cutout: {probability: 0.5, height: 80, width: 100, reference: 384}
"""

OURS = "shardline"

Image = np.ndarray
Rates = dict[str, float]  # variants a second by wall and by processor time
# One variant of each picture; the number says which, and no two calls have the same.
MakeVariants = Callable[[list[Image], int], Iterable[Image]]


def ours(recipe: Recipe) -> MakeVariants:
    """By a recipe."""

    def make(pictures: list[Image], variant: int) -> Iterable[Image]:
        for number, image in enumerate(pictures):
            rng = variant_generator(0, recipe.digest, f"picture-{number}", variant)
            yield recipe.apply(image, recipe.draw(rng, *image.shape[:2]))

    return make


def theirs(pipeline: Any) -> MakeVariants:
    """By an albumentations pipeline, seeded for each picture and variant."""

    def make(pictures: list[Image], variant: int) -> Iterable[Image]:
        for number, image in enumerate(pictures):
            pipeline.set_random_seed(zlib.crc32(f"picture-{number} {variant}".encode()))
            yield pipeline(image=image)["image"]

    return make


def photos_pipeline(A: Any, side: int) -> list[Any]:
    """The operations of the shipped recipe `photos`."""
    return [A.HorizontalFlip(p=0.5), affine(A), hue_saturation_value(A, 1), *cutouts(A, side)]


def heavy_pipeline(A: Any, side: int) -> list[Any]:
    """The operations of HEAVY."""
    reflect = cv2.BORDER_REFLECT_101
    light = A.Sequential(
        [
            A.RandomBrightnessContrast(brightness_limit=0.2, contrast_limit=0.2, p=1),
            A.RandomGamma(gamma_limit=(80, 120), p=1),
        ],
        p=0.5,
    )
    return [
        A.HorizontalFlip(p=0.5),
        affine(A),
        A.RandomResizedCrop((side, side), scale=(0.49, 1.0), ratio=(1.0, 1.0), p=0.5),
        A.Perspective(scale=0.05, keep_size=True, border_mode=reflect, p=0.3),
        A.GridDistortion(num_steps=5, distort_limit=0.3, border_mode=reflect, p=0.3),
        hue_saturation_value(A, 0.5),
        light,
        A.GaussianBlur(sigma_limit=(0.5, 1.5), blur_limit=0, p=0.2),
        A.MotionBlur(blur_limit=(3, 7), p=0.2),
        A.GaussNoise(std_range=(3 / 255, 10 / 255), p=0.3),
        A.ImageCompression(quality_range=(50, 90), p=0.3),
        *cutouts(A, side),
    ]


def affine(A: Any) -> Any:
    """Shift, scale and rotate, reflecting."""
    return A.Affine(
        rotate=(-45, 45),
        translate_percent={"x": (-0.0625, 0.0625), "y": (-0.0625, 0.0625)},
        scale=(0.9, 1.1),
        keep_ratio=True,
        border_mode=cv2.BORDER_REFLECT_101,
        p=0.7,
    )


def hue_saturation_value(A: Any, p: float) -> Any:
    """Hue in steps of two degrees; saturation and value in levels."""
    return A.HueSaturationValue(hue_shift_limit=20, sat_shift_limit=30, val_shift_limit=20, p=p)


def cutouts(A: Any, side: int) -> list[Any]:
    """The three holes, scaled to a picture of `side` pixels; wholly inside, which costs as much as
    our clipped ones or a little more.
    """
    sizes = [(round(h / 384 * side), round(w / 384 * side)) for h, w in HOLES]
    return [
        A.CoarseDropout(
            num_holes_range=(1, 1),
            hole_height_range=(height, height),
            hole_width_range=(width, width),
            fill=0,
            p=0.5,
        )
        for height, width in sizes
    ]


HOLES = ((150, 200), (100, 150), (80, 100))


def textured_picture(number: int, side: int) -> Image:
    """A made-up photograph: noise at every scale, in colour; uint8[side, side, 3]."""
    rng = np.random.default_rng(number)
    picture = np.zeros((side, side, 3), np.float32)
    for cells in (3, 6, 12, 24, 48, 96):
        coarse = rng.standard_normal((cells, cells, 3), dtype=np.float32)
        picture += cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC) / cells**0.7
    spread = picture.std()
    return np.clip(110 + 50 * picture / spread, 0, 255).astype(np.uint8)


def load_pictures(folder: str, side: int) -> list[Image]:
    """PICTURES pictures of side x side pixels, RGB, spread over the folder; made up without one."""
    if not folder:
        return [textured_picture(number, side) for number in range(PICTURES)]
    paths = sorted(p for p in Path(folder).rglob("*") if p.suffix in (".jpg", ".jpeg", ".png"))
    if len(paths) < PICTURES:
        sys.exit(f"--images={folder}: found {len(paths)} pictures, needs {PICTURES}")
    chosen = [paths[number * len(paths) // PICTURES] for number in range(PICTURES)]
    pictures = [cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB) for path in chosen]
    return [cv2.resize(p, (side, side), interpolation=cv2.INTER_AREA) for p in pictures]


def variants_per_second(make: MakeVariants, pictures: list[Image], seconds: float) -> Rates:
    """How fast `make` and the encoder go, over whole rounds of the pictures."""
    made, began, began_processor = 0, time.perf_counter(), time.process_time()
    while time.process_time() - began_processor < seconds:
        for variant in make(pictures, made):
            bgr = cv2.cvtColor(variant, cv2.COLOR_RGB2BGR)
            cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
            made += 1
    processor, wall = time.process_time() - began_processor, time.perf_counter() - began
    return {"processor": made / processor, "wall": made / wall}


def compare(
    sides: dict[str, MakeVariants], pictures: list[Image], seconds: float
) -> dict[str, dict[str, float]]:
    """Of each side the median rates, and the median of our rate to its own in the same turn."""
    for make in sides.values():
        variants_per_second(make, pictures, 0.2)  # warm up
    turns = [
        {name: variants_per_second(make, pictures, seconds / TURNS) for name, make in sides.items()}
        for _ in range(TURNS)
    ]
    return {
        name: {
            "processor": statistics.median(turn[name]["processor"] for turn in turns),
            "wall": statistics.median(turn[name]["wall"] for turn in turns),
            "ratio": statistics.median(
                turn[OURS]["processor"] / turn[name]["processor"] for turn in turns
            ),
        }
        for name in sides
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", default="", help="a folder of pictures; made up without it")
    parser.add_argument("--seconds", type=float, default=4, help="for each side and case")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    args = parser.parse_args()
    try:
        import albumentations as A
    except ImportError:
        sys.exit("the other side is missing: pip install -r requirements-dev.txt")
    cv2.setNumThreads(0)

    results: list[dict[str, Any]] = []
    for side in SIDES:
        photos = {
            OURS: ours(load_recipe("photos")),
            "albumentations": theirs(A.Compose(photos_pipeline(A, side))),
            "Keras": keras_photos.make_variants(side, HOLES),
        }
        heavy = {
            OURS: ours(Recipe.from_yaml(HEAVY)),
            "albumentations": theirs(A.Compose(heavy_pipeline(A, side))),
        }
        pictures = load_pictures(args.images, side)
        for recipe, sides in (("photos", photos), ("heavy", heavy)):
            rates = compare(sides, pictures, args.seconds)
            results.append({"recipe": recipe, "side": side, "rates": rates})
    if args.json:
        print(json.dumps({"albumentations": A.__version__, "results": results}))
        return
    print("variants a second and core            rate   ours are")
    for row in results:
        for name, found in row["rates"].items():
            case = f"{row['recipe']}, {row['side']}x{row['side']}, {name}"
            print(f"{case:35s} {found['processor']:6.0f}   {found['ratio']:6.2f} x")


if __name__ == "__main__":
    main()
