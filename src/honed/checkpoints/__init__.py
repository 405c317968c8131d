"""Where the state of a training lies while nobody trains it: stores, what goes in, what is thrown away and when."""
