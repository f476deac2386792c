#include "images/fingerprint.h"

#include "base/text.h"

#include <cerrno>
#include <openssl/evp.h>
#include <unistd.h>
#include <vector>

namespace lxmgr::images
{

namespace
{

constexpr std::size_t kChunk = 1 << 20;

bool isLowerHex(const std::string &text) { return text.find_first_not_of("0123456789abcdef") == std::string::npos; }

} // namespace

struct Sha256::State {
    EVP_MD_CTX *context = ::EVP_MD_CTX_new();
    State() { ::EVP_DigestInit_ex(context, ::EVP_sha256(), nullptr); }
    State(const State &) = delete;
    State &operator=(const State &) = delete;
    ~State() { ::EVP_MD_CTX_free(context); }
};

Sha256::Sha256() : m_state(std::make_unique<State>()) {}
Sha256::Sha256(Sha256 &&) noexcept = default;
Sha256 &Sha256::operator=(Sha256 &&) noexcept = default;
Sha256::~Sha256() = default;

void Sha256::update(std::span<const std::byte> bytes) { ::EVP_DigestUpdate(m_state->context, bytes.data(), bytes.size()); }

std::string Sha256::finish()
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    ::EVP_DigestFinal_ex(m_state->context, digest, &length);
    return toHex(std::span(digest, length));
}

Status hashFile(const Fd &file, Sha256 &hash, Progress &progress)
{
    std::vector<std::byte> buffer(kChunk);
    for (off_t at = 0;;) {
        if (progress.cancelled())
            return Error(Code::Cancelled, "cancelled while hashing");
        const ssize_t got = ::pread(file.get(), buffer.data(), buffer.size(), at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return Error::fromErrno(errno, "read");
        if (got == 0)
            return {};
        hash.update(std::span(buffer.data(), static_cast<std::size_t>(got)));
        at += got;
    }
}

bool isFingerprint(const std::string &text) { return text.size() == 64 && isLowerHex(text); }
bool isFingerprintPrefix(const std::string &text) { return !text.empty() && text.size() <= 64 && isLowerHex(text); }

} // namespace lxmgr::images
