#include "tls/password.h"

#include "base/base64.h"
#include "base/text.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <array>

namespace lxmgr::tls
{

namespace
{

constexpr std::string_view kForm = "$scrypt$ln=15,r=8,p=1$";
constexpr std::uint64_t kRounds = 1 << 15, kBlock = 8, kLanes = 1;
constexpr std::uint64_t kMostMemory = 64 << 20; ///< Bytes; scrypt needs 128 * rounds * block and a little.

const unsigned char *bytesOf(std::string_view text) { return reinterpret_cast<const unsigned char *>(text.data()); }

/// EVP_PBE_scrypt(3).
Result<std::string> derive(std::string_view password, std::string_view salt)
{
    std::string key(32, '\0');
    if (::EVP_PBE_scrypt(password.data(), password.size(), bytesOf(salt), salt.size(), kRounds, kBlock, kLanes, kMostMemory,
                         reinterpret_cast<unsigned char *>(key.data()), key.size()) != 1)
        return Error(Code::Internal, "scrypt: no memory (32 MiB)");
    return key;
}

} // namespace

Result<std::string> hashPassword(std::string_view password)
{
    std::array<unsigned char, 16> random{};
    if (::RAND_bytes(random.data(), int(random.size())) != 1)
        return Error(Code::Internal, "no random bytes for a salt");
    const std::string salt(random.begin(), random.end());
    const std::string key = TRY(derive(password, salt));
    return std::string(kForm) + base64Encode(salt) + "$" + base64Encode(key);
}

bool isPassword(std::string_view password, std::string_view hash)
{
    if (!hash.starts_with(kForm))
        return false;
    const std::vector<std::string> parts = split(hash.substr(kForm.size()), '$');
    if (parts.size() != 2)
        return false;
    const Result<std::string> salt = base64Decode(parts[0]);
    const Result<std::string> kept = base64Decode(parts[1]);
    if (!salt || !kept)
        return false;
    const Result<std::string> key = derive(password, *salt);
    return key && key->size() == kept->size() && ::CRYPTO_memcmp(key->data(), kept->data(), key->size()) == 0;
}

} // namespace lxmgr::tls
