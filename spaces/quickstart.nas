nas 1

# a small DARTS search on the images that come with the package: minutes on two cores
from "darts.nas" import darts
from "data/images.nas" import fashion16
import "recipes/darts.nas" as recipes

space small extends darts {
  C      = 8
  layers = 3
  nodes  = 2
  data   = fashion16
  cell normal {
    out concat(x)
  }
  target {
    C      = 16
    layers = 5
  }
}

recipe quick extends recipes.darts {
  epochs  = 4
  arch.lr = 6e-3
}
