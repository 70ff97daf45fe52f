"""The pure part: plain values in, plain values out. Standard library and NumPy only."""
