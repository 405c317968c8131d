"""Worker processes on this machine, kept alive and within their limits; ``start.supervise`` is the way in."""
