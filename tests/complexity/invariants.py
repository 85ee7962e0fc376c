"""What holds for every report."""

from __future__ import annotations


def check_invariants(report):
    """Layers sum to totals, and the peak is the layer with the most live bytes."""
    for name in ("macs_deployed", "elementwise_ops", "param_bytes_deployed"):
        assert sum(getattr(layer, name) for layer in report.layers) == getattr(report, name)
    assert sum(report.param_bytes_by_dtype.values()) == report.param_bytes_deployed
    assert max(layer.live_bytes for layer in report.layers) == report.peak_activation_bytes
    if report.layers[0].macs is not None:
        assert sum(layer.macs for layer in report.layers) == report.macs
        assert sum(layer.params for layer in report.layers) == report.params
