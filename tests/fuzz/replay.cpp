// Stands in for libFuzzer: feeds each file of the corpus and mutations of it, always the same ones.
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size);

namespace
{
constexpr int kMutations = 2000; // of each file

void feed(const std::string &bytes)
{
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t *>(bytes.data()), bytes.size());
}

std::string mutated(std::string bytes, const std::vector<std::string> &corpus, std::mt19937 &random)
{
    const auto below = [&](std::size_t limit) { return limit == 0 ? 0 : random() % limit; };
    for (std::size_t rounds = 1 + below(6); rounds > 0; --rounds) {
        const std::size_t at = below(bytes.size() + 1);
        switch (random() % 5) {
        case 0: // another byte
            if (at < bytes.size())
                bytes[at] = static_cast<char>(random());
            break;
        case 1: // a flipped bit
            if (at < bytes.size())
                bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8)));
            break;
        case 2: // something missing
            bytes.erase(at, below(16));
            break;
        case 3: // something twice
            bytes.insert(at, bytes.substr(below(bytes.size()), below(32)));
            break;
        default: { // a piece of another file
            const std::string &other = corpus[below(corpus.size())];
            bytes.insert(at, other.substr(below(other.size()), below(64)));
        }
        }
    }
    return bytes;
}
} // namespace

int main(int argc, char **argv)
{
    std::vector<std::string> corpus;
    for (int i = 1; i < argc; ++i)
        for (const auto &entry : std::filesystem::recursive_directory_iterator(argv[i])) {
            std::ifstream file(entry.path(), std::ios::binary);
            corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
        }
    if (corpus.empty()) {
        std::fprintf(stderr, "usage: %s <corpus folder>…\n", argv[0]);
        return 2;
    }
    std::mt19937 random(1); // the same run every time
    std::size_t inputs = 0;
    feed({});
    for (const std::string &file : corpus) {
        feed(file);
        for (int i = 0; i < kMutations; ++i, ++inputs)
            feed(mutated(file, corpus, random));
    }
    std::printf("%zu files, %zu mutations\n", corpus.size(), inputs);
    return 0;
}
