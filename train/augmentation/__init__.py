"""What a network is shown of a batch: scene, capture and spectral augmentation, reproducible from a seed."""
