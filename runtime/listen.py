"""``python -m runtime listen``: labels from the microphone until it is told to stop."""

from __future__ import annotations

import sys
import time
from argparse import Namespace

from runtime.classifier import load_model
from runtime.microphone import Microphone
from runtime.timeline import describe, to_json


def listen(arguments: Namespace) -> int:
    """Print a line per window; Ctrl-C, SIGTERM and a closed pipe end it (`runtime.door`)."""
    model = load_model(arguments.model)
    microphone = Microphone(arguments.device, model.spec.frontend.sample_rate, arguments.channel)
    stream = model.stream(arguments.hop, microphone.sample_rate, arguments.channel)
    print(
        f"listening to {microphone.name} ({microphone.sample_rate} -> {model.spec.frontend.sample_rate} Hz); "
        "nothing is stored or sent; Ctrl-C ends",
        file=sys.stderr,
    )
    try:
        for chunk in microphone.chunks():
            predictions = stream.gap(chunk.lost_s) if chunk.lost_s else []
            for prediction in predictions + stream.push(chunk.samples):
                late_s = round(time.monotonic() - chunk.captured_at, 3)
                if arguments.json:
                    print(to_json(prediction, late_s=late_s), flush=True)
                else:
                    what = describe(prediction, arguments.top)
                    print(f"{prediction.end_s:9.2f} s  {stream.level_dbfs:6.1f} dB  {what}", flush=True)
    finally:
        microphone.close()
    return 0
