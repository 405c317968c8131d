"""What trainings with new seeds say about the best trials of a search, and which of them to take home."""
