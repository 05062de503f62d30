nas 1

# The nine structures and seven recipes of suites/bench.nas at a size for two cores: the images that
# come with the package, narrow networks, short runs. It shows how a suite works; its accuracies say
# little about the methods at full size.
import "bench_suite.nas" as bench
from "data/images.nas" import fashion16
from "suites/bench.nas" import bench_darts, bench_drnas, bench_fair, bench_gdas, bench_oles, bench_pc_darts,
                               bench_sdarts

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

# parts of the two halves of the images
split small_halves {
  search.train  = data[0..575]
  search.valid  = data[576..1151]
  retrain.train = data[5000..6151]
}

# eight epochs without an auxiliary head
train small_train(lr = 0.1) {
  epochs    = 8
  batch     = 64
  weights   = sgd(lr = cosine(lr -> 0, per = epoch), momentum = 0.9, decay = 3e-4, clip = 5)
  drop_path = linear(0 -> 0.1, per = epoch)
}

# nine structures, seven recipes, three seeds, for two cores and the images in the package
suite bench_small {
  spaces = [
    bench.wide(C = 4),
    bench.wide_no_skip(C = 4),
    bench.wide_all_skip(C = 4),
    bench.deep(C = 4, layers = 9),
    bench.deep_no_skip(C = 4, layers = 9),
    bench.deep_all_skip(C = 4, layers = 9),
    bench.single_cell(C = 8),
    bench.single_cell_no_skip(C = 8),
    bench.single_cell_all_skip(C = 8),
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
