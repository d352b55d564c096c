"""A film of an episode by MuJoCo's off-screen renderer, with its cost and velocity."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import mujoco
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from espo_jax.results.episode import Episode
from espo_jax.results.renderer import Camera, add_ground, lit, make_renderer

SUFFIXES = (".mp4", ".gif")


def film(episode: Episode, path: Path, *, fps: int = 30, width: int = 640, height: int = 480) -> int:
    """Write an episode as MP4 or GIF, in real time.

    Args:
      episode: from `episode.record`.
      path: path of the film; its suffix gives the format.
      fps: frames per second; there is at most one frame for each control step.
      width, height: size in pixels.

    Returns:
      Number of frames.

    Raises:
      ValueError: the suffix is not known, a number is out of its range, or no off-screen renderer works.
      OSError: the file cannot be written.
    """
    if path.suffix not in SUFFIXES:
        raise ValueError(f"output is {path}: its suffix must be one of {', '.join(SUFFIXES)}")
    for name, value in (("fps", fps), ("width", width), ("height", height)):
        if value < 1:
            raise ValueError(f"{name} is {value}: it must be a positive integer")
    if path.suffix == ".mp4" and (width % 2 or height % 2):
        raise ValueError(f"width and height are {width} and {height}: they must be even for .mp4")
    stride = max(1, round(1 / (episode.dt * fps)))
    real_fps = 1 / (episode.dt * stride)
    shown = _frames(episode, stride, width, height)
    return (
        _write_gif(shown, path, real_fps) if path.suffix == ".gif" else _write_mp4(shown, path, real_fps, width, height)
    )


def _frames(episode: Episode, stride: int, width: int, height: int) -> Iterator[np.ndarray]:
    """Pictures [height, width, 3] uint8 of every stride-th state."""
    model = lit(episode.model, width, height)
    renderer, camera, data = make_renderer(model, width, height), Camera(episode), mujoco.MjData(model)
    font = ImageFont.load_default(size=max(12, height // 26))
    total_cost = np.cumsum(np.concatenate([[0.0], episode.cost.sum(axis=1)]))
    total_reward = np.cumsum(np.concatenate([[0.0], episode.reward]))
    speed = np.concatenate([[0.0], episode.speed])
    with renderer:
        for t in range(0, len(episode.q), stride):
            data.qpos[:] = episode.q[t]
            mujoco.mj_forward(model, data)
            renderer.update_scene(data, camera.at(t))
            add_ground(renderer.scene, camera.lowest - 0.01, model)
            picture = Image.fromarray(renderer.render())
            lines = (
                f"t {t * episode.dt:6.2f} s",
                f"velocity {speed[t]:6.2f} m/s",
                f"reward {total_reward[t]:8.1f}",
                f"cost {total_cost[t]:8.2f}",
            )
            ImageDraw.Draw(picture).multiline_text(
                (10, 8), "\n".join(lines), fill="white", font=font, stroke_width=2, stroke_fill="black"
            )
            yield np.asarray(picture)


def _write_gif(frames: Iterator[np.ndarray], path: Path, fps: float) -> int:
    pictures = [Image.fromarray(frame).convert("P", palette=Image.Palette.ADAPTIVE) for frame in frames]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=1000 / fps, loop=0)
    return len(pictures)


def _write_mp4(frames: Iterator[np.ndarray], path: Path, fps: float, width: int, height: int) -> int:
    try:
        import imageio_ffmpeg
    except ImportError:
        raise ValueError(
            '.mp4 needs the package imageio-ffmpeg: pip install "espo_jax[video]"; or give a .gif'
        ) from None
    count = 0
    first = next(frames)  # a renderer that does not work is found before a file is made
    writer = imageio_ffmpeg.write_frames(str(path), (width, height), fps=fps, macro_block_size=2, quality=7)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="os.fork")  # ffmpeg is started; nothing of JAX runs in it
        writer.send(None)
    try:
        writer.send(first.tobytes())
        for count, frame in enumerate(frames, start=1):  # noqa: B007 - counted
            writer.send(frame.tobytes())
    finally:
        writer.close()
    return count + 1
