"""A suite that runs in seconds, for tests."""

TEXT = """nas 1

from "darts.nas" import darts, darts8
from "data/images.nas" import fashion16
import "recipes/samplers.nas" as samplers
import "recipes/darts.nas" as base

space tiny extends darts {
  C      = 4
  layers = 3
  nodes  = 1
  data   = fashion16
  candidates = {none, max_pool_3x3, skip_connect, sep_conv_3x3}
  cell normal {
    out x[1]
  }
  target {}
}

recipe soft(rate = 0.01) extends base.darts {
  epochs  = 2
  batch   = 16
  arch.lr = rate
}
recipe hard extends samplers.gdas {
  epochs = 2
  batch  = 16
}

split few {
  search.train  = data[0..47]
  search.valid  = data[48..95]
  retrain.train = data[96..159]
  retrain.valid = data[160..191]
}

dataset missing {
  source  = npz("nowhere.npz")
  shape   = image(1, 16, 16)
  classes = 10
}

train short(lr = 0.05) {
  epochs  = 1
  batch   = 32
  weights = sgd(lr = cosine(lr -> 0), momentum = 0.9)
}

suite both {
  spaces   = [tiny, tiny(C = 6)]
  recipes  = [soft, hard]
  datasets = [fashion16]
  splits   = [few]
  seeds    = [0..1]
  choose   = min(search.valid.loss)
  retrain  = grid(short, lr = [0.05, 0.1])
  disjoint = true
  report   = [mean(test.accuracy)]
}

suite every extends both {
  spaces  = [tiny]
  choose  = all
  retrain = [short]
  report  = [mean(test.error)]
}

suite pair extends both {
  spaces  = [tiny]
  retrain = [short]
}

suite one extends every {
  recipes = [soft]
  seeds   = [0]
}

suite after extends both {
  spaces  = [tiny]
  recipes = grid(soft, rate = [0.01, 0.1])
  choose  = max(retrain.valid.accuracy)
}

suite broken extends every {
  recipes  = [soft]
  seeds    = [0]
  datasets = [missing, fashion16]
}
"""
