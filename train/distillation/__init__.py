"""Knowledge distillation: teachers, stored logits, losses and their configuration."""
