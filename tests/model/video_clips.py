"""Clips made with the ffmpeg program, and what it says of them: frames as raw RGB, packets' times.
Usage: video_clips.py DIRECTORY"""
import json
import os
import subprocess
import sys

import numpy as np


def ffmpeg(*args):
    done = subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", *map(str, args)], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"ffmpeg {args}: {done.stderr.strip()}")


def source(width, height, rate, seconds, kind="testsrc2"):
    return ["-f", "lavfi", "-i", f"{kind}=size={width}x{height}:rate={rate}:duration={seconds}"]


H264 = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-threads", "1"]
VP9 = ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-threads", "1"]
VP8 = ["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-threads", "1"]
# Every third frame twice as long: presentation times as a camera in the dark gives them.
VARIABLE = ["-vf", "select='not(eq(mod(n,3),1))'", "-vsync", "vfr"]

# name: arguments behind the source (width, height, frames a second, seconds)
CLIPS = {
    "even.mp4": ((96, 64, 25, 2), H264),
    "odd.mp4": ((77, 51, 30, 1.5), ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv444p", "-threads", "1"]),
    "b_frames.mp4": ((64, 80, 24, 3), ["-c:v", "libx264", "-bf", "3", "-pix_fmt", "yuv420p", "-threads", "1"]),
    "variable.mp4": ((64, 64, 30, 2), [*VARIABLE, *H264]),
    "one.mp4": ((64, 48, 25, 0.04), H264),
    "two.mp4": ((64, 48, 25, 0.08), H264),
    "three.mp4": ((48, 64, 10, 0.3), H264),
    "slow.mp4": ((64, 48, 1, 9), H264),
    "mpeg4.mp4": ((65, 49, 15, 2), ["-c:v", "mpeg4", "-q:v", "4", "-threads", "1"]),
    "fragments.mp4": ((64, 64, 25, 2), [*H264, "-g", "10", "-movflags", "frag_keyframe+empty_moov+default_base_moof"]),
    "index_first.mp4": ((64, 64, 25, 2), [*H264, "-movflags", "faststart"]),
    "sound.mp4": ((64, 64, 25, 1), ["-f", "lavfi", "-i", "sine=duration=1", "-map", "1:a", "-map", "0:v", *H264]),
    "full_range.mp4": ((64, 64, 25, 1), ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuvj420p", "-color_range",
                                         "pc", "-colorspace", "bt709", "-threads", "1"]),
    "vp9.webm": ((80, 60, 25, 2), VP9),
    "vp9_odd.webm": ((61, 83, 12, 2), [*VP9, "-g", "12"]),
    "vp8.webm": ((80, 60, 25, 2), [*VP8, "-auto-alt-ref", "1", "-lag-in-frames", "10", "-g", "30"]),
    "variable.webm": ((64, 64, 30, 2), [*VARIABLE, *VP8]),
    "animation.gif": ((64, 48, 10, 2), []),
    "odd.gif": ((33, 47, 20, 1), []),
    "one.gif": ((33, 47, 1, 1), []),
    "mpeg4.avi": ((64, 48, 25, 2), ["-c:v", "mpeg4", "-bf", "2", "-threads", "1"]),
    "mjpeg.avi": ((61, 47, 12, 2), ["-c:v", "mjpeg", "-q:v", "5", "-threads", "1"]),
    "h264.avi": ((64, 48, 25, 2), H264),
}


def clips_in(directory):
    """name -> path of what make_clips has made."""
    names = [*CLIPS, *(f"turned_{degrees}.mp4" for degrees in (90, 180, 270))]
    return {name: os.path.join(directory, name) for name in names}


def make_clips(directory):
    """Every clip, and the first one's turned copies."""
    os.makedirs(directory, exist_ok=True)
    paths = {}
    for name, (shape, options) in CLIPS.items():
        paths[name] = os.path.join(directory, name)
        ffmpeg(*source(*shape), *options, "-fflags", "+bitexact", paths[name])
    for degrees in (90, 180, 270):
        name = f"turned_{degrees}.mp4"
        paths[name] = os.path.join(directory, name)
        ffmpeg("-i", paths["even.mp4"], "-c", "copy", "-metadata:s:v:0", f"rotate={degrees}", paths[name])


def read_frames(path, first_stream="v:0"):
    """[frames, height, width, 3] as the ffmpeg program decodes them, turned upright."""
    probed = subprocess.run(["ffprobe", "-v", "error", "-select_streams", first_stream, "-show_streams", "-of", "json",
                             path], capture_output=True, text=True, check=True).stdout
    stream = json.loads(probed)["streams"][0]
    width, height = stream["width"], stream["height"]
    turn = [side["rotation"] for side in stream.get("side_data_list", []) if "rotation" in side]
    if turn and turn[0] % 180:
        width, height = height, width
    raw = subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-threads", "1", "-i", path, "-map", f"0:{first_stream}",
                          "-vsync", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"],
                         capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)


def frames_per_second(path, frames):
    """Frames over the time from the first one's beginning to the last one's end, by the packets' times."""
    probed = subprocess.run(["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_packets", "-show_entries",
                             "packet=pts,dts,duration,flags:stream=time_base", "-of", "json", path],
                            capture_output=True, text=True, check=True).stdout
    probed = json.loads(probed)
    numerator, denominator = map(int, probed["streams"][0]["time_base"].split("/"))
    shown = [p for p in probed["packets"] if "D" not in p["flags"]]
    begins = [int(p.get("pts", p.get("dts"))) for p in shown]
    ends = [begin + int(p.get("duration", 0)) for begin, p in zip(begins, shown)]
    seconds = (max(ends) * numerator / denominator) - (min(begins) * numerator / denominator)
    if max(ends) == max(begins) and frames > 1:
        seconds *= frames / (frames - 1)
    return frames / seconds if seconds else 24.0


if __name__ == "__main__":
    make_clips(sys.argv[1])
