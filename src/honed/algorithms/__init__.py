"""Arrays in, arrays out: each file one idea, one paper."""
