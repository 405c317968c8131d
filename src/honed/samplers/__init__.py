"""Which values next? One port of one method, and its implementations."""
