"""Flash, RAM and instructions of a model on a microcontroller, from code that was compiled for it."""
