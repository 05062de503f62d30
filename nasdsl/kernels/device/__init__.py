"""Triton kernels for regions of a network; importing the modules with kernels needs Triton.

Maps are matrices: a row per position of every image, channels next to each other, `ld` numbers from
row to row. A program works on a tile of `BP` positions and `BC` channels. What has to be summed over
all positions is written tile by tile and combined in double precision by another kernel, so that
results do not vary from run to run.
"""
