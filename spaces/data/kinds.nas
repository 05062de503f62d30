nas 1

# Small sets of other kinds than images, made from a seed: nothing is read.

# series of one channel: which of four shapes a piece in the noise has
dataset waveforms64 {
  source  = waveforms(count = 2000, length = 64)
  shape   = series(channels = 1, length = 64)
  classes = 4
}

# a table of twelve columns: how many of two products of columns are positive
dataset interactions12 {
  source  = interactions(count = 2000, columns = 12)
  shape   = features(12)
  classes = 3
}
