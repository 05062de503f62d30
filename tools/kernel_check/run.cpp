// Calls of cell kernels as tools/check_kernels.py recorded them, made again and compared.
//
// Each buffer has its own memory of its own length; what a call has to write before it reads is
// filled with numbers that are none.
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "cell.cpp"

namespace {

constexpr double TOLERANCE = sizeof(real) == 8 ? 1e-9 : 2e-3;

enum What { NOTHING = 0, REAL_NUMBERS = 1, WHOLE_NUMBERS = 2 };

struct Free {
  void operator()(void* p) const { std::free(p); }
};
typedef std::unique_ptr<void, Free> Block;

// Memory of just so many bytes, all ones: NaN in either precision.
Block block(size_t bytes) {
  void* p = nullptr;
  if (posix_memalign(&p, 64, bytes ? bytes : 1)) std::abort();
  std::memset(p, 0xff, bytes);
  return Block(p);
}

struct File {
  FILE* from;

  bool end() {
    int c = std::fgetc(from);
    if (c != EOF) std::ungetc(c, from);
    return c == EOF;
  }
  void read(void* to, size_t bytes) {
    if (bytes && std::fread(to, 1, bytes, from) != bytes) {
      std::fprintf(stderr, "the recording ends too early\n");
      std::exit(3);
    }
  }
  int64_t number() {
    int64_t n;
    read(&n, 8);
    return n;
  }
  std::vector<int64_t> numbers(size_t n) {
    std::vector<int64_t> v(n);
    read(v.data(), 8 * n);
    return v;
  }
  Block bytes(size_t n) {
    Block b = block(n);
    read(b.get(), n);
    return b;
  }
};

// Tensors of one table: what a call finds there, then what has to be there behind it.
struct Table {
  std::vector<int64_t> what, bytes, strides, at;
  std::vector<Block> blocks, wanted;

  Table(File& f, size_t n) : what(f.numbers(n)), bytes(f.numbers(n)), strides(f.numbers(4 * n)) {
    for (size_t k = 0; k < n; ++k) {
      bool given = f.number();
      blocks.push_back(what[k] == NOTHING ? Block() : given ? f.bytes(bytes[k]) : block(bytes[k]));
      at.push_back((int64_t)blocks[k].get());
    }
    for (size_t k = 0; k < n; ++k)
      wanted.push_back(what[k] == NOTHING ? Block() : f.bytes(bytes[k]));
  }

  // How many tensors are not what they should be.
  int wrong(const char* name, int64_t call) const {
    int found = 0;
    for (size_t k = 0; k < what.size(); ++k) {
      if (what[k] == NOTHING) continue;
      bool good = true;
      double far = 0, most = 1e-3;
      if (what[k] == WHOLE_NUMBERS) {
        good = !std::memcmp(blocks[k].get(), wanted[k].get(), bytes[k]);
      } else {
        const real *a = (const real*)blocks[k].get(), *b = (const real*)wanted[k].get();
        for (size_t i = 0; i < bytes[k] / sizeof(real); ++i) {
          if (std::isnan(a[i]) && std::isnan(b[i])) continue;
          if (std::isnan(a[i]) != std::isnan(b[i])) good = false;
          double d = std::abs((double)a[i] - (double)b[i]), m = std::abs((double)b[i]);
          far = d > far ? d : far, most = m > most ? m : most;
        }
        good = good && far <= TOLERANCE * most;
      }
      if (good) continue;
      ++found;
      std::printf("call %ld: %s %zu differs by %g of %g\n", (long)call, name, k, far, most);
    }
    return found;
  }
};

int again(File& f, int64_t call) {
  int64_t direction = f.number(), n = f.number(), threads = f.number();
  std::vector<int64_t> words = f.numbers(f.number());
  int64_t norms = f.number();
  std::vector<int64_t> training = f.numbers(norms);
  std::vector<double> factor(norms);
  f.read(factor.data(), 8 * norms);
  // Lengths of what the library works with, in bytes; what backward was handed.
  std::vector<int64_t> room = f.numbers(5);
  Block moments = direction ? f.bytes(room[0]) : block(room[0]);
  Block saved = direction ? f.bytes(room[1]) : block(room[1]);
  Block passing = block(room[2]), gradient = block(room[3]);
  int64_t count = f.number();
  Table tensors(f, count), grads(f, count);
  int64_t sizes[3];
  cell_sizes(words.data(), n, threads, sizes);
  Block work = block(sizes[direction] * sizeof(real));
  CellCall c{words.data(), n, tensors.at.data(), tensors.strides.data(), grads.at.data(),
             grads.strides.data(), training.data(), factor.data(), (double*)moments.get(),
             saved.get(), passing.get(), gradient.get(), work.get(), threads};
  if (direction)
    cell_backward(&c);
  else if (!cell_forward(&c))
    return std::printf("call %ld: weights are refused\n", (long)call), 1;
  return tensors.wrong("tensor", call) + grads.wrong("gradient", call);
}

}  // namespace

int main(int, char** argv) {
  File f{std::fopen(argv[1], "rb")};
  if (!f.from) return 3;
  int64_t calls = 0;
  int wrong = 0;
  for (; !f.end(); ++calls) wrong += again(f, calls);
  std::fclose(f.from);
  std::printf("%ld calls, %d tensors differ\n", (long)calls, wrong);
  return wrong != 0;
}
