"""Where studies live: one port of nine verbs, and its implementations."""
