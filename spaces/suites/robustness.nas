nas 1

# The four spaces in which DARTS degenerates: what helps, and does the cut of the data matter?
from "data/images.nas" import cifar10
from "data/splits.nas" import disjoint_halves, held_out, shuffled_halves, stratified_halves
from "recipes/darts.nas" import darts
from "recipes/robust.nas" import beta_darts, fair_darts, robust_darts_l2, sdarts_rs, skip_stop
from "robust_darts.nas" import robust_s1, robust_s2, robust_s3, robust_s4
from "suites/train.nas" import darts_cifar

# six recipes on the spaces of RobustDARTS
suite robustness {
  spaces   = [robust_s1, robust_s2, robust_s3, robust_s4]
  recipes  = [darts, skip_stop, sdarts_rs, fair_darts, beta_darts, robust_darts_l2]
  datasets = [cifar10]
  splits   = [held_out]
  seeds    = [0..2]
  choose   = all
  retrain  = [darts_cifar]
  report   = [mean(test.error), rank(mean)]
}

# the same images cut in file order, shuffled, and with equal classes in every part
suite robustness_splits extends robustness {
  recipes = [darts, sdarts_rs, robust_darts_l2]
  splits  = [disjoint_halves] + grid(shuffled_halves, seed = [0..2]) + grid(stratified_halves, seed = [0..2])
}
