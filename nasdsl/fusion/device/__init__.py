"""Regions as launches of Triton kernels on CUDA: the schedule of the C++ programs, step by step."""
