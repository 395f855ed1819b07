// Cartesian genetic programming over the gates of a multiplier: (1 + lambda), bit-parallel over all operand pairs.
//
// A genome holds one gene triple (operation, node, node) a gate and one node an output. Nodes 0 and 1 are the
// constants, then the bits of operand a (8) and of w, then the gates: each reads earlier nodes only. A candidate is
// first run on a recorded operand stream for its switching energy, and only where that is no more than its parent's
// on all operand pairs, in blocks, until a bound breaks. All arithmetic is in whole numbers, so a result depends on
// the seed alone and not on the CPU.
//
// Layout of the pairs: block of 4 weights x 256 activations = 16 words of 64 pairs. A 16 x 64 bit transposition turns
// 16 output planes into int16 products, [16 rows][words x 4]; tables of activations are stored in the same order.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

namespace {

constexpr int WORDS = 16;      // words of a block
constexpr int ROWS = 4;        // weights of a block
constexpr int LANES = 256;     // activations
constexpr int BITS = 16;       // bits of a product, sign or zero extended
constexpr int KINDS = 8;

enum Kind : int32_t { AND, OR, XOR, NOT, NAND, NOR, XNOR, ANDN };

using Plane = uint64_t[WORDS];

}  // namespace

extern "C" {

// Costs are in whole units (the caller's): of a transition of a gate's output and of each of its inputs, and of a
// gate that is there at all (leakage over the stream's cycles); of each product bit from the lowest up that is not
// always zero, for the adder and the register that take it.
struct Costs {
    int64_t output[KINDS], input[KINDS], present[KINDS], bit;
};

struct Problem {
    int32_t weight_bits, is_signed, gates, outputs;
    const int32_t* weights_a;      // [256], by operand bits; the sum at most 2^15
    const int32_t* weights_w;      // [2^weight_bits]
    const uint64_t* stream;        // planes [8 + weight_bits][stream_words]
    const uint64_t* counted;       // [stream_words], set where the step from the pair before counts
    int64_t stream_words;          // a multiple of 16
    const Costs* costs;
    int64_t error_bound;           // of sum over pairs of weight_a * weight_w * |error|
    int64_t bias_bound;            // of |sum of weight_a * weight_w * error|
    int32_t worst_bound;           // of |error|, at most 32767
    int32_t keep_zero;             // a zero operand must give a zero product
};

// How a run moves: candidates a generation, most active genes that one changes, cost of 2^30 of weighted error, and
// by how much (a mean) the objective, cost + price * error, may rise in a generation.
struct Rules {
    int32_t children, mutations;
    int64_t price, temperature;
};

struct Score {
    int64_t cost, error, bias, worst, broken_zeros, active;
};

struct Statistics {
    int64_t candidates, cheap, valid, accepted, blocks;
};
}

namespace {

struct Step {
    int32_t kind, x, y, target;
};

inline void apply(int32_t kind, const uint64_t* __restrict x, const uint64_t* __restrict y, uint64_t* __restrict z) {
    switch (kind) {
        case AND: for (int i = 0; i < WORDS; ++i) z[i] = x[i] & y[i]; break;
        case OR: for (int i = 0; i < WORDS; ++i) z[i] = x[i] | y[i]; break;
        case XOR: for (int i = 0; i < WORDS; ++i) z[i] = x[i] ^ y[i]; break;
        case NOT: for (int i = 0; i < WORDS; ++i) z[i] = ~x[i]; break;
        case NAND: for (int i = 0; i < WORDS; ++i) z[i] = ~(x[i] & y[i]); break;
        case NOR: for (int i = 0; i < WORDS; ++i) z[i] = ~(x[i] | y[i]); break;
        case XNOR: for (int i = 0; i < WORDS; ++i) z[i] = ~(x[i] ^ y[i]); break;
        default: for (int i = 0; i < WORDS; ++i) z[i] = x[i] & ~y[i]; break;
    }
}

// Column c of row r becomes column r of row c, in every 16 x 16 block of bits.
inline void transpose(uint64_t rows[BITS][WORDS]) {
    constexpr uint64_t masks[] = {0x00ff00ff00ff00ffu, 0x0f0f0f0f0f0f0f0fu, 0x3333333333333333u, 0x5555555555555555u};
    for (int stage = 0, distance = 8; distance; ++stage, distance /= 2) {
        for (int r = 0; r < BITS; ++r) {
            if (r & distance) continue;
            uint64_t *low = rows[r], *high = rows[r + distance];
            for (int i = 0; i < WORDS; ++i) {
                const uint64_t swap = ((low[i] >> distance) ^ high[i]) & masks[stage];
                high[i] ^= swap;
                low[i] ^= swap << distance;
            }
        }
    }
}

class Evaluator {
  public:
    explicit Evaluator(const Problem& problem)
        : problem_(problem), inputs_(2 + 8 + problem.weight_bits), blocks_((1 << problem.weight_bits) / ROWS),
          exact_(size_t(blocks_) * BITS * WORDS * 4), zero_(exact_.size()), planes_(size_t(inputs_ + problem.gates) * WORDS),
          place_(inputs_ + problem.gates), same_(place_), active_(place_.size()), used_(place_.size()),
          node_cost_(place_.size()), steps_(problem.gates),
          order_(blocks_) {
        for (int pair = 0; pair < LANES; ++pair) lane_weight_[lane(pair)] = int16_t(problem.weights_a[pair]);
        for (int block = 0; block < blocks_; ++block) fill_exact(block);
        for (int block = 0; block < blocks_; ++block) order_[block] = block;
        std::stable_sort(order_.begin(), order_.end(), [&](int x, int y) { return heaviest(x) > heaviest(y); });
        program_.reserve(problem.gates);
    }

    // Straight-line code of the gates that outputs depend on, constants folded, over planes without gaps.
    void compile(const int32_t* genes) {
        for (int node = 0; node < inputs_; ++node) same_[node] = node;
        for (int gate = 0; gate < problem_.gates; ++gate) {
            const int32_t* gene = genes + 3 * gate;
            Step& step = steps_[gate];
            step = {gene[0], same_[gene[1]], same_[gene[gene[0] == NOT ? 1 : 2]], inputs_ + gate};
            same_[step.target] = fold(step);
        }
        const int32_t* outputs = genes + 3 * problem_.gates;
        std::fill(used_.begin(), used_.end(), 0);
        for (int i = 0; i < problem_.outputs; ++i) used_[same_[outputs[i]]] = 1;
        for (int gate = problem_.gates - 1; gate >= 0; --gate)
            if (used_[inputs_ + gate]) used_[steps_[gate].x] = used_[steps_[gate].y] = 1;
        program_.clear();
        for (int node = 0; node < inputs_; ++node) place_[node] = node;
        for (const Step& step : steps_) {
            if (!used_[step.target]) continue;
            place_[step.target] = inputs_ + int32_t(program_.size());
            program_.push_back({step.kind, place_[step.x], place_[step.y], place_[step.target]});
        }
        for (int i = 0; i < problem_.outputs; ++i) output_[i] = place_[same_[outputs[i]]];
    }

    // Which gates a change can matter in: those that outputs reach, folded or not.
    void mark_active(const int32_t* genes) {
        const int32_t* outputs = genes + 3 * problem_.gates;
        std::fill(active_.begin(), active_.end(), 0);
        for (int i = 0; i < problem_.outputs; ++i) active_[outputs[i]] = 1;
        for (int gate = problem_.gates - 1; gate >= 0; --gate) {
            const int32_t* gene = genes + 3 * gate;
            if (active_[inputs_ + gate]) active_[gene[1]] = active_[gene[gene[0] == NOT ? 1 : 2]] = 1;
        }
    }

    bool is_active(int gate) const { return active_[inputs_ + gate]; }
    int64_t active_gates() const { return int64_t(program_.size()); }
    int inputs() const { return inputs_; }

    // Energy of the compiled candidate on the stream; anything above `limit` once that is certain.
    int64_t cost(int64_t limit) {
        const Costs& costs = *problem_.costs;
        int low = 0;
        while (low < problem_.outputs && output_[low] == 0) ++low;
        int64_t total = costs.bit * (problem_.outputs - low);
        std::fill(node_cost_.begin(), node_cost_.begin() + inputs_ + int64_t(program_.size()), 0);
        for (const Step& step : program_) {
            total += costs.present[step.kind];
            node_cost_[step.target] += costs.output[step.kind];
            node_cost_[step.x] += costs.input[step.kind];
            if (step.kind != NOT) node_cost_[step.y] += costs.input[step.kind];
        }
        const int nodes = inputs_ + int(program_.size());
        std::fill_n(plane(0), WORDS, uint64_t(0));
        std::fill_n(plane(1), WORDS, ~uint64_t(0));
        for (int64_t start = 0; start < problem_.stream_words && total <= limit; start += WORDS) {
            for (int bit = 0; bit < inputs_ - 2; ++bit)
                std::memcpy(plane(2 + bit), problem_.stream + bit * problem_.stream_words + start, sizeof(Plane));
            run();
            for (int node = 2; node < nodes; ++node)
                if (node_cost_[node]) total += node_cost_[node] * transitions(plane(node), problem_.counted + start);
        }
        return total;
    }

    // Errors of the compiled candidate over all pairs.
    void errors(Score& score) {
        clear(score);
        for (int block = 0; block < blocks_; ++block) block_errors(block, score);
    }

    // False as soon as the compiled candidate's objective passes `limit` or it breaks a bound. The block that broke
    // the last candidate comes first: it mostly breaks the next one too, and costs less to run than the stream.
    bool acceptable(int64_t limit, const Rules& rules, Score& score, Statistics& statistics) {
        clear(score);
        score.cost = 0;
        int64_t error_limit = INT64_MAX;
        for (int index = 0; index < blocks_; ++index) {
            if (index == std::min(1, blocks_ - 1)) {
                score.cost = cost(limit);
                if (score.cost > limit) return false;
                ++statistics.cheap;
                if (rules.price) error_limit = int64_t((__int128(limit - score.cost) << 30) / rules.price);
            }
            ++statistics.blocks;
            block_errors(order_[index], score);
            if (broken(score) || score.error > error_limit) {
                std::rotate(order_.begin(), order_.begin() + index, order_.begin() + index + 1);
                return false;
            }
        }
        return std::abs(score.bias) <= problem_.bias_bound;
    }

  private:
    // Where activation a stands in a row's [16 rows][4 words x 4] values.
    static int lane(int a) { return (a % 16) * 16 + a / 64 * 4 + a % 64 / 16; }

    int64_t heaviest(int block) const {
        int64_t total = 0;
        for (int j = 0; j < ROWS; ++j) total += problem_.weights_w[block * ROWS + j];
        return total;
    }

    static void clear(Score& score) { score.error = score.bias = score.worst = score.broken_zeros = 0; }

    bool broken(const Score& score) const {
        return score.error > problem_.error_bound || score.worst > problem_.worst_bound ||
               (problem_.keep_zero && score.broken_zeros);
    }

    void fill_exact(int block) {
        for (int j = 0; j < ROWS; ++j) {
            const int weight_code = block * ROWS + j;
            for (int a_code = 0; a_code < LANES; ++a_code) {
                int a = a_code, w = weight_code, product;
                if (problem_.is_signed) {
                    a -= (a >> 7) << 8;
                    w -= (w >> (problem_.weight_bits - 1)) << problem_.weight_bits;
                    product = a * w;
                } else {
                    product = a * w - 32768;
                }
                const int at = lane(a_code);
                const size_t place = value_place(block, j, at);
                exact_[place] = int16_t(product);
                zero_[place] = (a == 0 || w == 0) ? -1 : 0;
            }
        }
    }

    // The node that a gate equals, its own where it folds to none; the gate may become a NOT.
    static int32_t fold(Step& step) {
        const bool inverted = step.kind == NAND || step.kind == NOR || step.kind == XNOR;
        int32_t x = step.x, y = step.y;
        if (step.kind == NOT) return x < 2 ? 1 - x : step.target;
        if (step.kind == ANDN) {
            if (x == 0 || y == 1 || x == y) return 0;
            if (y == 0) return x;
            if (x == 1) return negate(step, y);
            return step.target;
        }
        if (x > y) std::swap(x, y);  // a constant comes first
        int32_t result;
        if (step.kind == AND || step.kind == NAND)
            result = x == 0 ? 0 : x == 1 || x == y ? y : -1;
        else if (step.kind == OR || step.kind == NOR)
            result = x == 1 ? 1 : x == 0 || x == y ? y : -1;
        else if (x == 1)
            return inverted ? y : negate(step, y);
        else
            result = x == y ? 0 : x == 0 ? y : -1;
        if (result < 0) return step.target;
        return inverted ? negate(step, result) : result;
    }

    static int32_t negate(Step& step, int32_t node) {
        if (node < 2) return 1 - node;
        step = {NOT, node, node, step.target};
        return step.target;
    }

    static size_t value_place(int block, int row, int at) {
        return ((size_t(block) * BITS + at / 16) * WORDS + 4 * row) * 4 + at % 16;
    }

    uint64_t* plane(int index) { return planes_.data() + size_t(index) * WORDS; }

    void run() {
        for (const Step& step : program_) apply(step.kind, plane(step.x), plane(step.y), plane(step.target));
    }

    static int64_t transitions(const uint64_t* values, const uint64_t* counted) {
        uint64_t bytes = 0;  // bits of every byte, at most 8 a word; written so that compilers vectorise it
        for (int i = 0; i < WORDS; ++i) {
            uint64_t x = (values[i] ^ (values[i] << 1)) & counted[i];
            x -= (x >> 1) & 0x5555555555555555u;
            x = (x & 0x3333333333333333u) + ((x >> 2) & 0x3333333333333333u);
            bytes += (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fu;
        }
        bytes = (bytes & 0x00ff00ff00ff00ffu) + ((bytes >> 8) & 0x00ff00ff00ff00ffu);
        return int64_t((bytes * 0x0001000100010001u) >> 48);
    }

    void set_operands(int block) {
        constexpr uint64_t patterns[] = {0xaaaaaaaaaaaaaaaau, 0xccccccccccccccccu, 0xf0f0f0f0f0f0f0f0u,
                                         0xff00ff00ff00ff00u, 0xffff0000ffff0000u, 0xffffffff00000000u};
        for (int i = 0; i < WORDS; ++i) {
            plane(0)[i] = 0;
            plane(1)[i] = ~uint64_t(0);
            for (int bit = 0; bit < 6; ++bit) plane(2 + bit)[i] = patterns[bit];
            plane(8)[i] = i & 1 ? ~uint64_t(0) : 0;
            plane(9)[i] = i & 2 ? ~uint64_t(0) : 0;
            const int weight_code = block * ROWS + i / 4;
            for (int bit = 0; bit < problem_.weight_bits; ++bit)
                plane(10 + bit)[i] = weight_code >> bit & 1 ? ~uint64_t(0) : 0;
        }
    }

    void block_errors(int block, Score& score) {
        set_operands(block);
        run();
        alignas(64) uint64_t rows[BITS][WORDS];
        for (int bit = 0; bit < BITS; ++bit) {
            const bool beyond = bit >= problem_.outputs;
            const int source = !beyond ? output_[bit] : problem_.is_signed ? output_[problem_.outputs - 1] : 0;
            const uint64_t flip = !problem_.is_signed && bit == BITS - 1 ? ~uint64_t(0) : 0;
            const uint64_t* from = plane(source);
            for (int i = 0; i < WORDS; ++i) rows[bit][i] = from[i] ^ flip;
        }
        transpose(rows);
        alignas(64) int16_t values[BITS][WORDS * 4];
        static_assert(sizeof values == sizeof rows);
        std::memcpy(values, rows, sizeof rows);
        const int16_t* exact = exact_.data() + size_t(block) * BITS * WORDS * 4;
        const int16_t* zero = zero_.data() + size_t(block) * BITS * WORDS * 4;
        int16_t worst = 0, beyond = 0, nonzero = 0;
        for (int j = 0; j < ROWS; ++j) {
            alignas(64) int16_t error[LANES], size[LANES];
            for (int r = 0; r < BITS; ++r) {
                for (int i = 0; i < 16; ++i) {
                    const int at = r * WORDS * 4 + j * 16 + i;
                    const int16_t found = values[r][j * 16 + i], wanted = exact[at];
                    const int16_t difference = int16_t(found - wanted);
                    const int16_t absolute = int16_t(difference < 0 ? -difference : difference);
                    error[r * 16 + i] = difference;
                    size[r * 16 + i] = absolute;
                    beyond |= int16_t(((found ^ wanted) & (difference ^ found)) | absolute);
                    nonzero |= int16_t(difference & zero[at]);
                    worst = std::max(worst, absolute);
                }
            }
            int32_t total = 0, bias = 0;
            for (int i = 0; i < LANES; ++i) total += int32_t(lane_weight_[i]) * int32_t(size[i]);
            for (int i = 0; i < LANES; ++i) bias += int32_t(lane_weight_[i]) * int32_t(error[i]);
            const int64_t weight = problem_.weights_w[block * ROWS + j];
            score.error += weight * total;
            score.bias += weight * bias;
        }
        score.worst = std::max<int64_t>(score.worst, beyond < 0 ? 32768 : worst);  // beyond 16 bits
        score.broken_zeros |= nonzero != 0;
    }

    const Problem& problem_;
    const int inputs_, blocks_;
    std::vector<int16_t> exact_, zero_;  // [block][16 rows][words x 4]
    std::vector<uint64_t> planes_;
    std::vector<int32_t> place_, same_;
    std::vector<uint8_t> active_, used_;
    std::vector<int64_t> node_cost_;
    std::vector<Step> steps_, program_;
    std::vector<int> order_;
    int32_t output_[BITS];
    alignas(64) int16_t lane_weight_[LANES];
};

// xoshiro256** (Blackman and Vigna, 2018).
struct Random {
    uint64_t* s;

    uint64_t next() {
        const auto rotate = [](uint64_t x, int k) { return (x << k) | (x >> (64 - k)); };
        const uint64_t result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = rotate(s[3], 45);
        return result;
    }

    // Exponential with mean 1, times 2^20: -ln u with the logarithm linear between powers of two, in whole numbers.
    int64_t exponential() {
        const uint64_t u = next() | 1;
        const int zeros = __builtin_clzll(u);
        const int64_t fraction = int64_t((u << zeros << 1) >> 44);
        return ((int64_t(zeros + 1) << 20) - fraction) * 726817 >> 20;  // times ln 2
    }

    int32_t below(int32_t n) { return int32_t((next() >> 32) * uint64_t(n) >> 32); }
};

// Another node for a gene that reads `now`: often a constant or what `now` itself reads, which removes a gate.
int32_t source(const int32_t* genes, int32_t now, int32_t nodes, int32_t inputs, Random& random) {
    const int32_t choice = random.below(8);
    if (choice == 0) return random.below(2);
    if (choice <= 2 && now >= inputs) return genes[3 * (now - inputs) + 1 + random.below(2)];
    return 2 + random.below(nodes - 2);
}

// Change genes until `wanted` of them belonged to active gates or outputs (Goldman and Punch, 2013).
void mutate(int32_t* genes, const Evaluator& parent, const Problem& problem, int wanted, Random& random) {
    const int32_t inputs = parent.inputs();
    for (int hits = 0; hits < wanted;) {
        const int32_t gene = random.below(3 * problem.gates + problem.outputs);
        if (gene >= 3 * problem.gates) {
            genes[gene] = source(genes, genes[gene], inputs + problem.gates, inputs, random);
            ++hits;
            continue;
        }
        const int32_t gate = gene / 3;
        if (parent.is_active(gate) && random.below(4) == 0) {  // another node in place of the gate
            genes[3 * gate] = OR;
            genes[3 * gate + 1] = source(genes, inputs + gate, inputs + gate, inputs, random);
            genes[3 * gate + 2] = 0;
        } else if (gene % 3 == 0)
            genes[gene] = (genes[gene] + 1 + random.below(KINDS - 1)) % KINDS;
        else if (gene % 3 == 2 && genes[3 * gate] == NOT)
            continue;
        else
            genes[gene] = source(genes, genes[gene], inputs + gate, inputs, random);
        hits += parent.is_active(gate);
    }
}

}  // namespace

extern "C" {

// Score of one genome, every figure over all pairs.
void slipstick_evolve_score(const Problem* problem, const int32_t* genes, Score* score) {
    Evaluator evaluator(*problem);
    evaluator.compile(genes);
    score->active = evaluator.active_gates();
    score->cost = evaluator.cost(INT64_MAX);
    evaluator.errors(*score);
}

// Evolve `genes`, which must keep the bounds, in place for a number of generations; `best_genes` and `best` keep the
// cheapest genome seen. `state` [4] is the random generator's. The best child replaces its parent unless its objective
// is greater by more than a random amount, exponential with mean `temperature` (simulated annealing).
void slipstick_evolve_run(const Problem* problem, const Rules* rules, int32_t* genes, int32_t* best_genes,
                          uint64_t* state, int64_t generations, Score* score, Score* best, Statistics* statistics) {
    const size_t length = size_t(3) * problem->gates + problem->outputs;
    Evaluator parent(*problem), child(*problem);
    Random random{state};
    const auto measure = [&](const int32_t* one, Score& figures) {
        parent.compile(one);
        parent.mark_active(one);
        figures.cost = parent.cost(INT64_MAX);
        parent.errors(figures);
        figures.active = parent.active_gates();
    };
    const auto objective = [&](const Score& one) { return one.cost + int64_t((__int128(one.error) * rules->price) >> 30); };
    measure(best_genes, *best);
    measure(genes, *score);
    std::vector<int32_t> trial(length), chosen(length);
    for (int64_t generation = 0; generation < generations; ++generation) {
        bool found = false;
        Score chosen_score{};
        int64_t limit = objective(*score) + (__int128(random.exponential()) * rules->temperature >> 20);
        for (int32_t one = 0; one < rules->children; ++one) {
            std::copy_n(genes, length, trial.begin());
            mutate(trial.data(), parent, *problem, 1 + random.below(rules->mutations), random);
            ++statistics->candidates;
            child.compile(trial.data());
            Score mine{};
            if (!child.acceptable(limit, *rules, mine, *statistics)) continue;
            ++statistics->valid;
            mine.active = child.active_gates();
            limit = objective(mine);
            chosen_score = mine;
            std::swap(chosen, trial);
            found = true;
        }
        if (!found) continue;
        ++statistics->accepted;
        std::copy_n(chosen.begin(), length, genes);
        *score = chosen_score;
        parent.mark_active(genes);
        if (score->cost <= best->cost) {
            *best = *score;
            std::copy_n(genes, length, best_genes);
        }
    }
}
}
