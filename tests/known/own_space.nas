nas 1

# a space of one's own as large as NAS-Bench-201: one cell of six edges, five operations
from "data/images.nas" import fashion16

op conv_bn(k) = relu >> conv(k, stride = stride) >> bn
op halve      = (conv_bn(3) >> relu >> conv(3) >> bn) + (avg_pool(2, stride = 2) >> conv(1))

ops layers {
  none
  skip     = identity
  conv_1x1 = conv_bn(1)
  conv_3x3 = conv_bn(3)
  pool_3x3 = avg_pool(3)
}

space own(C = 8, n = 2, data = fashion16) {
  cell c {
    in   a
    node x[3]
    edge {a, x[<]} -> x : one_of layers
    keep all per node
    out  x[3]
  }

  width    = C
  genotype = nasbench201
  input data.shape
  stem  conv(3) >> bn
  repeat n { stage c }
  repeat 2 {
    stage halve { stride = 2  width = 2 * width }
    repeat n { stage c }
  }
  head  bn >> relu >> global_avg_pool >> linear(data.classes)
}
