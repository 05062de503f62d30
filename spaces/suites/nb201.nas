nas 1

# Gradient-based recipes on NAS-Bench-201, every seed retrained as the benchmark trains: `nasdsl query`
# says what the benchmark knows of what they find.
import "suites/train.nas" as training
from "data/images.nas" import cifar10, cifar100, imagenet16_120
from "data/splits.nas" import search_halves
from "nasbench201.nas" import nasbench201
from "recipes/darts.nas" import darts, darts_second
from "recipes/robust.nas" import beta_darts, fair_darts, sdarts_rs
from "recipes/samplers.nas" import drnas_nb201, gdas

# seven recipes on three data sets, every seed retrained as NAS-Bench-201 trains
suite nb201 {
  spaces   = [nasbench201]
  recipes  = [darts, darts_second, gdas, drnas_nb201, sdarts_rs, fair_darts, beta_darts]
  datasets = [cifar10, cifar100, imagenet16_120]
  splits   = [search_halves]
  seeds    = [0..3]
  choose   = all
  retrain  = [training.nasbench201]
  report   = [mean(test.accuracy), rank(mean), kendall_tau]
}
