"""Films of an episode, where an off-screen OpenGL is installed."""

import re
import subprocess
import sys

import numpy as np
import pytest

from tests.made_up import hopper
from tests.rendering import can_render, render_environment
from tests.slow_cases import slow_but


@pytest.mark.skipif(not can_render(), reason="needs an off-screen OpenGL")
@pytest.mark.parametrize("suffix", slow_but(["mp4"], ["gif", "mp4"]))
def test_film(tmp_path, suffix):
    run_dir = hopper()
    path = tmp_path / f"episode.{suffix}"
    flags = ["--output", str(path), "--steps", "40", "--width", "160", "--height", "120"]
    command = [sys.executable, "-m", "espo_jax.cli", "render", str(run_dir), *flags]
    done = subprocess.run(command, capture_output=True, text=True, env=render_environment())
    assert done.returncode == 0, done.stderr
    count = int(re.search(r": (\d+) frames of (\d+) steps", done.stdout)[1])
    if suffix == "gif":
        from PIL import Image, ImageSequence

        frames = [np.asarray(f.convert("RGB"), float) for f in ImageSequence.Iterator(Image.open(path))]
    else:
        import imageio_ffmpeg

        reader = imageio_ffmpeg.read_frames(str(path))
        size = next(reader)["size"]
        frames = [np.frombuffer(f, np.uint8).reshape(size[1], size[0], 3).astype(float) for f in reader]
    assert len(frames) == pytest.approx(count, abs=1)
    assert frames[0].shape == (120, 160, 3)
    assert frames[0].std() > 5, "something is seen"
    assert np.abs(frames[-1] - frames[0]).mean() > 1, "it moves"
