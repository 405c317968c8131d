"""Which trial next, how far, and stop this one? One port of two methods, and its implementations."""
