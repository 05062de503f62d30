nas 1

# Do rankings persist off images? The same recipes on images, series and a table: one cell whose
# convolutions take their rank from the data, and a cell of linear layers; each with and without skip
# connections. A suite without `datasets` takes the data of each space.
from "darts.nas" import dil_conv, sep_conv
from "data/images.nas" import fashion16
from "data/kinds.nas" import interactions12, waveforms64
from "suites/bench_small.nas" import small_darts, small_drnas, small_fair, small_gdas, small_sdarts,
                                     small_train

op halve = relu >> conv(3, stride = stride) >> bn

ops windows {
  none
  skip_connect = identity
  max_pool_3   = max_pool(3) >> bn
  avg_pool_3   = avg_pool(3) >> bn
  sep_conv_3   = sep_conv(3)
  sep_conv_5   = sep_conv(5)
  dil_conv_3   = dil_conv(3)
}

# three nodes, the two strongest edges into each; halved twice
space pictures(C = 8, candidates = windows, data = fashion16) {
  cell dag {
    in   a
    node x[3]
    edge {a, x[<]} -> x : one_of candidates
    keep 2 per node except {none}
    out  sum(x)
  }
  width = C
  input data.shape
  stem  conv(3) >> bn
  repeat 2 {
    stage dag
    stage halve { stride = 2  width = 2 * width }
  }
  stage dag
  head  global_avg_pool >> linear(data.classes)
}
# without skip connections
space pictures_no_skip extends pictures {
  candidates = windows - {skip_connect}
}
# the same cell on series: convolutions and pools of one dimension
space signals extends pictures {
  data = waveforms64
}
# without skip connections
space signals_no_skip extends pictures_no_skip, signals {}

op dense(f)      = linear(width) >> layer_norm >> f
op bottleneck(r) = linear(width // r) >> relu >> linear(width) >> layer_norm

ops layers {
  none
  skip_connect = identity
  dense_relu   = dense(relu)
  dense_gelu   = dense(gelu)
  dense_silu   = dense(silu)
  bottleneck_4 = bottleneck(4)
}

# a cell of linear layers: three nodes, the two strongest edges into each
space columns(C = 32, candidates = layers, data = interactions12) {
  cell dag {
    in   a
    node x[3]
    edge {a, x[<]} -> x : one_of candidates
    keep 2 per node except {none}
    out  sum(x)
  }
  width = C
  input data.shape
  stem  linear(C)
  stage dag
  stage dag
  head  layer_norm >> linear(data.classes)
}
# without skip connections
space columns_no_skip extends columns {
  candidates = layers - {skip_connect}
}

# parts that every set has: 2 000 samples
split kinds_halves {
  search.train  = data[0..575]
  search.valid  = data[576..1151]
  retrain.train = data[1152..1999]
}

# five recipes on three kinds of data, for two cores
suite kinds {
  spaces   = [pictures, pictures_no_skip, signals, signals_no_skip, columns, columns_no_skip]
  recipes  = [small_darts, small_drnas, small_gdas, small_fair, small_sdarts]
  splits   = [kinds_halves]
  seeds    = [0..2]
  choose   = all
  retrain  = [small_train]
  disjoint = true
  report   = [mean(test.accuracy), std(test.accuracy), rank(mean), kendall_tau, friedman]
}
