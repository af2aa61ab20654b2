"""Checks the libraries that read pictures and sound: ffmpeg and its decoders, PyAV, soundfile, OpenCV's cascade."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

from foalnet.artifact.seal import read_sealed
from foalnet.checks.doctor.base import INSTALL, Context, Finding, fault, ok, output_of, warning
from foalnet.core.errors import reason
from foalnet.core.paths import Paths

# IEMOCAP is MPEG-4 (DivX) in AVI, RAVDESS H.264; older DivX files are MS-MPEG-4.
DECODERS = ("mpeg4", "msmpeg4", "h264", "flac")


def ffmpeg(context: Context) -> Iterator[Finding]:
    """Check that the wheel's ffmpeg runs, has the decoders, and is the one that staged the existing shards."""
    from foalnet.media import ffmpeg_digest, ffmpeg_exe

    exe, remedy = ffmpeg_exe(), "pip install --force-reinstall -c constraints.txt imageio-ffmpeg"
    try:
        first = output_of(exe, "-hide_banner", "-version").splitlines()[0]
        listed = set(re.findall(r"^ [A-Z.]{6} (\S+)", output_of(exe, "-hide_banner", "-decoders"), re.MULTILINE))
    except (RuntimeError, IndexError) as error:
        yield fault(f"the ffmpeg of imageio-ffmpeg does not run: {reason(error)}", mend=remedy)
        return
    digest = ffmpeg_digest()
    missing = [name for name in DECODERS if name not in listed]
    if missing:
        yield fault(f"ffmpeg has no decoder for {', '.join(missing)}", mend=remedy)
    else:
        version = first.partition(" Copyright")[0]
        yield ok(f"{version}, sha256 {digest[:12]}…, decodes {', '.join(DECODERS)}")
    for params in context.corpora:
        staging = Paths(params.corpus, context.home).staging
        if not staging.is_file():
            continue
        again = f"shards@{params.corpus}"
        used = read_sealed(staging, again=again, corpus=params.corpus)["tools"]["ffmpeg"]
        if used not in (None, digest):
            yield warning(
                f"{params.corpus} was staged with another ffmpeg ({used[:12]}…) and will be staged again", mend=INSTALL
            )


def pyav(_: Context) -> Iterator[Finding]:
    """Check that PyAV, which reads the time stamps, has the same decoders."""
    import av
    from av.codec.codec import UnknownCodecError

    missing = []
    for name in DECODERS:
        try:
            av.Codec(name, "r")
        except UnknownCodecError:
            missing.append(name)
    if missing:
        remedy = "pip install --force-reinstall -c constraints.txt av"
        yield fault(f"PyAV {av.__version__} has no decoder for {', '.join(missing)}", mend=remedy)
    else:
        yield ok(f"PyAV {av.__version__} decodes {', '.join(DECODERS)}")


def soundfile(_: Context) -> Iterator[Finding]:
    """Check that soundfile reads the same samples back from a FLAC file that it wrote."""
    import numpy as np
    import soundfile as sf

    given_N = (np.arange(1600) % 100 * 300 - 15_000).astype(np.int16)
    data = io.BytesIO()
    sf.write(data, given_N, 16_000, format="FLAC", subtype="PCM_16")
    back_N, rate_hz = sf.read(io.BytesIO(data.getvalue()), dtype="int16")
    if rate_hz != 16_000 or not np.array_equal(given_N, back_N):
        remedy = "pip install --force-reinstall -c constraints.txt soundfile"
        yield fault(f"soundfile {sf.__version__} does not read back the FLAC that it wrote", mend=remedy)
    else:
        yield ok(f"soundfile {sf.__version__} with {sf.__libsndfile_version__}: FLAC is read back sample by sample")


def opencv(context: Context) -> Iterator[Finding]:
    """Check that OpenCV has the cascade of the detector haar, which needs no weight file."""
    import cv2

    from foalnet.config.blocks import Shards
    from foalnet.faces import get_detector

    digest = get_detector(Shards(detector="haar"), context.settings).digest()
    yield ok(f"OpenCV {cv2.__version__} with its face cascade (detector haar {digest[:12]}…)")
