"""Small agent programs, each with the trace that any tracer should make of it. README.md says how they are judged."""
