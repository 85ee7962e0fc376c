"""model.pt, and the import of published weights into it."""
