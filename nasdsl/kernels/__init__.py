"""Kernels in C++, built on first use with the system's compiler."""
