"""Make the clips of the quickstart data set: handwritten digits in motion, as H.264 videos.

    python jobs/quickstart/make_clips.py [FOLDER]

Needs scikit-learn (which holds the digits) and the ffmpeg command. The frames follow from SEED
alone; the bytes of the videos also depend on the version of ffmpeg.
"""

import argparse
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

SEED = 20
NUM_CLIPS = {"training": 1000, "validation": 300}
SIDE = 56  # of a frame, in pixels
NUM_FRAMES = 16
FPS = 8
DIGIT_SIDES = (30, 40)  # range of the upscaled 8x8 digit, whose strokes fill two thirds of it


def main() -> None:
    """Write videos/v_<id>.mp4 and activity_net.v1-3.min.json below a folder."""
    parser = argparse.ArgumentParser(description="Make the clips of the quickstart data set.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parent)
    folder = parser.parse_args().folder
    (folder / "videos").mkdir(parents=True, exist_ok=True)
    database = {}
    for video_id, subset, image, digit in choose_digits():
        frames = draw_clip(image, np.random.default_rng((SEED, len(database))))
        encode(frames, folder / "videos" / f"v_{video_id}.mp4")
        database[video_id] = annotation(subset, digit)
    content = {"version": "VERSION 1.3", "taxonomy": [], "database": database}
    text = json.dumps(content, separators=(",", ":")) + "\n"
    (folder / "activity_net.v1-3.min.json").write_text(text, "utf-8")


def choose_digits() -> Iterator[tuple[str, str, np.ndarray, int]]:
    """Yield (id, subset, image, digit); no image is in both subsets, digits are balanced."""
    digits = load_digits()
    parts = train_test_split(
        np.arange(len(digits.target)),
        train_size=NUM_CLIPS["training"],
        test_size=NUM_CLIPS["validation"],
        stratify=digits.target,
        random_state=SEED,
    )
    for subset, chosen in zip(NUM_CLIPS, parts, strict=True):
        for index in sorted(chosen):
            yield f"digit{index:04d}", subset, digits.images[index], int(digits.target[index])


def annotation(subset: str, digit: int) -> dict[str, object]:
    """Return an entry of ActivityNet's database."""
    duration = NUM_FRAMES / FPS
    label = {"segment": [0, duration], "label": f"digit {digit}"}
    return {
        "duration": duration,
        "subset": subset,
        "resolution": f"{SIDE}x{SIDE}",
        "url": "",
        "annotations": [label],
    }


def draw_clip(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return frames (NUM_FRAMES, SIDE, SIDE, 3), uint8, of an 8x8 digit (values 0 to 16).

    The digit has a random size, color and brightness and crosses a blotchy background on a
    straight line from one random place to another.
    """
    side = int(generator.integers(DIGIT_SIDES[0], DIGIT_SIDES[1] + 1))
    ink = enlarge(image / 16, side)
    background = draw_background(generator)
    color = generator.uniform(150, 255, size=3)
    start, end = generator.uniform(0, SIDE - side, size=(2, 2))
    frames = []
    for place in np.linspace(start, end, NUM_FRAMES):
        top, left = np.rint(place).astype(int)
        cover = np.zeros((SIDE, SIDE, 1))
        cover[top : top + side, left : left + side, 0] = ink
        frames.append(background * (1 - cover) + color * cover)
    return np.rint(np.stack(frames)).astype(np.uint8)


def draw_background(generator: np.random.Generator) -> np.ndarray:
    """Return (SIDE, SIDE, 3) of dark, soft blotches with a fine grain, values 0 to 110."""
    blotches = np.stack([enlarge(generator.random((6, 6)), SIDE) for _ in range(3)], axis=-1)
    grain = generator.normal(0, 4, size=(SIDE, SIDE, 1))
    return np.clip(blotches * generator.uniform(40, 100) + grain, 0, 110)


def enlarge(image: np.ndarray, side: int) -> np.ndarray:
    """Return an image of values in [0, 1] resized to (side, side)."""
    resized = Image.fromarray(image.astype(np.float32)).resize(
        (side, side), Image.Resampling.BICUBIC
    )
    return np.clip(np.asarray(resized), 0, 1)


def encode(frames: np.ndarray, path: Path) -> None:
    """Write frames as H.264: baseline, one closed group of pictures, no metadata."""
    raw = f"-f rawvideo -pix_fmt rgb24 -s {SIDE}x{SIDE} -r {FPS} -i -"
    h264 = (
        "-c:v libx264 -profile:v baseline -preset veryslow -tune fastdecode -pix_fmt yuv420p "
        f"-crf 26 -g {NUM_FRAMES} -threads 1"
    )
    lean = (
        "-bsf:v filter_units=remove_types=6 -map_metadata -1 -fflags +bitexact -movflags +faststart"
    )
    command = f"ffmpeg -v error -y {raw} {h264} {lean}".split()
    subprocess.run([*command, str(path)], input=frames.tobytes(), check=True)


if __name__ == "__main__":
    main()
