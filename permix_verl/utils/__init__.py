"""Files, processes, Ray and command-line types: nothing about personas or training."""
