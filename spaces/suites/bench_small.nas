nas 1

# The nine structures and seven recipes of suites/bench.nas at a size for two cores: the images that
# come with the package, narrow networks, short runs. It shows how a suite works; its accuracies say
# little about the methods at full size.
import "bench_suite.nas" as bench
from "data/images.nas" import fashion16
from "suites/bench.nas" import bench_darts, bench_drnas, bench_fair, bench_gdas, bench_oles, bench_pc_darts,
                               bench_sdarts

space small_wide extends bench.wide {
  C    = 4
  data = fashion16
}
space small_deep extends bench.deep {
  C      = 4
  layers = 9
  data   = fashion16
}
space small_single extends bench.single_cell {
  C    = 8
  data = fashion16
}

space small_wide_no_skip    extends small_wide, bench.no_skip {}
space small_wide_all_skip   extends small_wide, bench.all_skip {}
space small_deep_no_skip    extends small_deep, bench.no_skip {}
space small_deep_all_skip   extends small_deep, bench.all_skip {}
space small_single_no_skip  extends small_single, bench.no_skip {}
space small_single_all_skip extends small_single, bench.all_skip {}

# an epoch is nine steps, so alphas move in larger ones
recipe small_darts extends bench_darts {
  epochs  = 6
  batch   = 64
  arch.lr = 6e-3
}
recipe small_drnas extends bench_drnas {
  epochs  = 6
  batch   = 64
  arch.lr = 6e-3
}
recipe small_gdas extends bench_gdas {
  epochs  = 12
  batch   = 64
  arch.lr = 6e-3
}
recipe small_pc_darts extends bench_pc_darts {
  epochs     = 6
  batch      = 64
  arch.lr    = 6e-3
  arch.start = 1
}
recipe small_oles extends bench_oles {
  epochs  = 6
  batch   = 64
  arch.lr = 6e-3
}
recipe small_sdarts extends bench_sdarts {
  epochs  = 6
  batch   = 64
  arch.lr = 6e-3
}
recipe small_fair extends bench_fair {
  epochs  = 6
  batch   = 64
  arch.lr = 6e-3
}

# 576 images each for weights and alphas, 1152 others for retraining
split small_halves {
  search.train  = data[0..575]
  search.valid  = data[576..1151]
  retrain.train = data[5000..6151]
}

train small_train(lr = 0.1) {
  epochs    = 8
  batch     = 64
  weights   = sgd(lr = cosine(lr -> 0, per = epoch), momentum = 0.9, decay = 3e-4, clip = 5)
  drop_path = linear(0 -> 0.1, per = epoch)
}

# nine structures, seven recipes, three seeds, for two cores and the images in the package
suite bench_small {
  spaces = [
    small_wide,
    small_wide_no_skip,
    small_wide_all_skip,
    small_deep,
    small_deep_no_skip,
    small_deep_all_skip,
    small_single,
    small_single_no_skip,
    small_single_all_skip,
  ]
  recipes = [
    small_darts,
    small_drnas,
    small_gdas,
    small_pc_darts,
    small_oles,
    small_sdarts,
    small_fair,
  ]
  datasets = [fashion16]
  splits   = [small_halves]
  seeds    = [0..2]
  choose   = all
  retrain  = [small_train]
  disjoint = true
  report   = [mean(test.accuracy), std(test.accuracy), rank(mean), kendall_tau, friedman]
}
