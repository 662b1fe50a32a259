"""Kernels, a file a backend."""
