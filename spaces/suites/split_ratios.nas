nas 1

# Does a ranking depend on how the images are cut? Search against retraining at 50, 60, 70 and 80
# per cent, and weights against alphas likewise, each for three orders of the images.
from "bench_suite.nas" import wide, wide_no_skip
from "data/images.nas" import cifar10
from "suites/bench.nas" import bench_darts, bench_drnas, bench_gdas, bench_pc_darts
from "suites/train.nas" import bench_300

# 50 % of the images for the search, half of them for weights
split search_50(seed = 0) {
  let order     = shuffle(data, seed = seed)
  search.train  = order[0%..25%]
  search.valid  = order[25%..50%]
  retrain.train = order[50%..100%]
}
# 60 % of the images for the search, half of them for weights
split search_60(seed = 0) {
  let order     = shuffle(data, seed = seed)
  search.train  = order[0%..30%]
  search.valid  = order[30%..60%]
  retrain.train = order[60%..100%]
}
# 70 % of the images for the search, half of them for weights
split search_70(seed = 0) {
  let order     = shuffle(data, seed = seed)
  search.train  = order[0%..35%]
  search.valid  = order[35%..70%]
  retrain.train = order[70%..100%]
}
# 80 % of the images for the search, half of them for weights
split search_80(seed = 0) {
  let order     = shuffle(data, seed = seed)
  search.train  = order[0%..40%]
  search.valid  = order[40%..80%]
  retrain.train = order[80%..100%]
}
# half of the images for the search, 60 % of them for weights
split weights_60(seed = 0) {
  let order     = shuffle(data, seed = seed)
  search.train  = order[0%..30%]
  search.valid  = order[30%..50%]
  retrain.train = order[50%..100%]
}
# half of the images for the search, 70 % of them for weights
split weights_70(seed = 0) {
  let order     = shuffle(data, seed = seed)
  search.train  = order[0%..35%]
  search.valid  = order[35%..50%]
  retrain.train = order[50%..100%]
}
# half of the images for the search, 80 % of them for weights
split weights_80(seed = 0) {
  let order     = shuffle(data, seed = seed)
  search.train  = order[0%..40%]
  search.valid  = order[40%..50%]
  retrain.train = order[50%..100%]
}
# `search_50` with equal classes in every part
split stratified_50(seed = 0) {
  let order     = stratify(data, seed = seed)
  search.train  = order[0%..25%]
  search.valid  = order[25%..50%]
  retrain.train = order[50%..100%]
}

# eight cuts of the images, three orders each
suite split_ratios {
  spaces   = [wide, wide_no_skip]
  recipes  = [bench_darts, bench_drnas, bench_gdas, bench_pc_darts]
  datasets = [cifar10]
  splits   = grid(search_50, seed = [0..2]) + grid(search_60, seed = [0..2]) + grid(search_70, seed = [0..2])
           + grid(search_80, seed = [0..2]) + grid(weights_60, seed = [0..2])
           + grid(weights_70, seed = [0..2]) + grid(weights_80, seed = [0..2])
           + grid(stratified_50, seed = [0..2])
  seeds    = [0..2]
  choose   = min(search.valid.loss)
  retrain  = [bench_300(lr = 0.1, decay = 1e-3)]
  disjoint = true
  report   = [mean(test.accuracy), rank(mean), kendall_tau(by = split)]
}
