"""Training: data, augmentation, students, teachers, distillation and quantization."""
