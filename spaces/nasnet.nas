nas 1

# hand-designed cells with five nodes and operations of their own: NASNet-A and AmoebaNet-A as
# genotypes of one space
from "darts.nas" import darts, darts8, sep_conv

ops nasnet_ops extends darts8 {
  sep_conv_7x7 = sep_conv(7)
  conv_7x1_1x7 = relu >> conv([1, 7], stride = [1, stride]) >> conv([7, 1], stride = [stride, 1]) >> bn
}

space nasnet extends darts {
  nodes      = 5
  candidates = nasnet_ops
  cell normal {
    out concat(x)
  }
}
