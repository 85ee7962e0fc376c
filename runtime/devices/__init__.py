"""Where live audio comes from: microphones, pipes and files."""
