"""PyAV in a process of its own: its libraries and decord's do not go together in one.

python -m video.av_program encode FILE WIDTH HEIGHT GOP CRF    raw RGB frames on standard input
python -m video.av_program decode FILE                         PPM pictures on standard output
"""

import sys
from typing import Any, BinaryIO

RATE = 25
"""Frames a second of what is written, whatever the source's: only the numbers of frames count."""


def encode(file: str, width: int, height: int, gop: int, crf: int) -> None:
    """Write the frames on standard input as H.264, with a key frame after every gop frames."""
    import av
    import numpy as np

    size = width * height * 3
    options = {"preset": "veryfast", "tune": "fastdecode", "crf": str(crf), "threads": "1"}
    options |= {"x264-params": f"keyint={gop}:min-keyint={gop}:scenecut=0:open-gop=0"}
    with av.open(file, "w", format="mp4") as made:
        stream = made.add_stream("libx264", rate=RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        while content := sys.stdin.buffer.read(size):
            pixels = np.frombuffer(content, np.uint8).reshape(height, width, 3)
            made.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        made.mux(stream.encode(None))


def decode(file: str, out: BinaryIO) -> None:
    """Write the frames of a video to a stream, in the order in which they are shown."""
    import av

    with av.open(file) as video:
        for frame in video.decode(video=0):
            pixels = turned(frame, frame.to_ndarray(format="rgb24"))
            out.write(f"P6\n{pixels.shape[1]} {pixels.shape[0]}\n255\n".encode())
            out.write(pixels.tobytes())


def turned(frame: Any, pixels: Any) -> Any:
    """Return the pixels of a frame, (height, width, 3), as its matrix says that it is shown."""
    import numpy as np

    if (matrix := frame.side_data.get("DISPLAYMATRIX")) is None:
        return pixels
    right, down = np.sign(np.frombuffer(bytes(matrix), np.int32).reshape(3, 3)[:2, :2]).T
    if right[1] and down[0]:  # what was right is down, and what was down is right
        pixels, right, down = pixels.swapaxes(0, 1), right[::-1], down[::-1]
    pixels = pixels[:, ::-1] if right[0] < 0 else pixels
    return pixels[::-1] if down[1] < 0 else pixels


def main(arguments: list[str]) -> None:
    """Do what the command says; the last line of an error says what went wrong."""
    command, file, *numbers = arguments
    try:
        if command == "encode":
            encode(file, *map(int, numbers))
        else:
            decode(file, sys.stdout.buffer)
    except (ValueError, OSError, IndexError) as error:  # PyAV's own errors are kinds of these
        sys.exit(str(error) or type(error).__name__)


if __name__ == "__main__":
    main(sys.argv[1:])
