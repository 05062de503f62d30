nas 1

# Does a ranking depend on how the images are cut? Search against retraining at 50, 60, 70 and 80
# per cent, and weights against alphas likewise, shuffled and with equal classes in every part, each
# for three orders of the images. `nasdsl validate splits` says how means and rankings move.
from "bench_suite.nas" import single_cell, wide, wide_no_skip
from "data/images.nas" import cifar10, digits
from "suites/bench.nas" import bench_darts, bench_drnas, bench_gdas, bench_pc_darts
from "suites/bench_small.nas" import small_darts, small_drnas, small_gdas, small_train
from "suites/train.nas" import bench_300

# `share` of the images for the search, `weights` of those for the weights
split cut(share = 50%, weights = 50%, seed = 0) {
  let order     = shuffle(data, seed = seed)
  search.train  = order[0%..share * weights]
  search.valid  = order[share * weights..share]
  retrain.train = order[share..100%]
}
# the same with equal classes in every part
split stratified_cut(share = 50%, weights = 50%, seed = 0) {
  let order     = stratify(data, seed = seed)
  search.train  = order[0%..share * weights]
  search.valid  = order[share * weights..share]
  retrain.train = order[share..100%]
}

# fourteen cuts of the images, three orders each
suite split_ratios {
  spaces   = [wide, wide_no_skip]
  recipes  = [bench_darts, bench_drnas, bench_gdas, bench_pc_darts]
  datasets = [cifar10]
  splits   = grid(cut, share = [50%, 60%, 70%, 80%], seed = [0..2])
           + grid(cut, weights = [60%, 70%, 80%], seed = [0..2])
           + grid(stratified_cut, share = [50%, 60%, 70%, 80%], seed = [0..2])
           + grid(stratified_cut, weights = [60%, 70%, 80%], seed = [0..2])
  seeds    = [0..2]
  choose   = min(search.valid.loss)
  retrain  = [bench_300(lr = 0.1, decay = 1e-3)]
  disjoint = true
  report   = [mean(test.accuracy), rank(mean), kendall_tau(by = share), kendall_tau(by = weights)]
}

# the same cuts of the digits that come with scikit-learn, at a size for two cores
suite split_ratios_small extends split_ratios {
  spaces   = [single_cell(C = 4)]
  recipes  = [small_darts, small_drnas, small_gdas]
  datasets = [digits]
  seeds    = [0]
  choose   = all
  retrain  = [small_train]
}
