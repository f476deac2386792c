#include "images/apk.h"

#include "base/text.h"
#include "images/archive.h"
#include "images/fingerprint.h"

#include <algorithm>
#include <archive_entry.h>
#include <array>
#include <memory>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <optional>
#include <zlib.h>

namespace lxmgr::images
{

namespace
{

constexpr std::size_t kMostSignatures = 64U << 10; // a dozen keys of 16 384 bits
constexpr std::size_t kMostSignature = 4096;
constexpr std::size_t kMostControl = 1U << 20;
constexpr std::size_t kMostEntries = 4096; // in one archive before the one that is looked for
constexpr const char *kIndexName = "APKINDEX.tar.gz";

Error damaged(const std::string &what, const std::string &why) { return {Code::Invalid, what + " is damaged: " + why}; }

Error tooLarge(const std::string &what, std::size_t most)
{
    return {Code::Invalid, what + " is larger than " + formatBytes({most})};
}

Error differs(const std::string &what, const std::string &how)
{
    return {Code::Invalid, what + " differs from what was signed: " + how};
}

// --- gzip members

struct Inflater {
    z_stream stream{};
    Inflater() = default;
    Inflater(const Inflater &) = delete;
    Inflater &operator=(const Inflater &) = delete;
    ~Inflater() { ::inflateEnd(&stream); }
};

/// Takes the gzip member that `rest` begins with off its front. libarchive reads members as one stream and does not say
/// where they end; zlib finds the end, and what it expands to, at most `most` bytes, is thrown away.
Result<std::string_view> takeMember(std::string_view &rest, std::size_t most, const std::string &what)
{
    constexpr int kGzipOnly = 15 + 16;
    Inflater inflater;
    z_stream &stream = inflater.stream;
    if (::inflateInit2(&stream, kGzipOnly) != Z_OK)
        return Error(Code::Internal, "no memory for reading " + what);
    stream.next_in = reinterpret_cast<Bytef *>(const_cast<char *>(rest.data()));
    stream.avail_in = static_cast<uInt>(std::min<std::size_t>(rest.size(), UINT32_MAX));
    std::array<Bytef, 16384> expanded;
    int status = Z_OK;
    while (status == Z_OK && stream.total_out <= most) {
        stream.next_out = expanded.data();
        stream.avail_out = expanded.size();
        status = ::inflate(&stream, Z_NO_FLUSH);
    }
    if (stream.total_out > most)
        return tooLarge(what, most);
    if (status != Z_STREAM_END)
        return damaged(what, status == Z_BUF_ERROR ? "it breaks off" : "this is no gzip stream");
    const std::string_view member = rest.substr(0, stream.total_in);
    rest.remove_prefix(member.size());
    return member;
}

// --- digests and signatures

struct Algorithm {
    std::string_view name; ///< In the name of a signature: ".SIGN.<name>.<key>".
    const EVP_MD *(*digest)();
};

constexpr Algorithm kAlgorithms[] = {
    {"RSA",    &EVP_sha1  },
    {"RSA256", &EVP_sha256},
    {"RSA512", &EVP_sha512},
};

template <auto Free> struct Freeing {
    template <class T> void operator()(T *object) const { Free(object); }
};
using Memory = std::unique_ptr<BIO, Freeing<&BIO_free>>;
using PublicKey = std::unique_ptr<EVP_PKEY, Freeing<&EVP_PKEY_free>>;
using Digester = std::unique_ptr<EVP_MD_CTX, Freeing<&EVP_MD_CTX_free>>;

const unsigned char *bytesOf(std::string_view text) { return reinterpret_cast<const unsigned char *>(text.data()); }

bool isSignedBy(const std::string &pem, const Algorithm &algorithm, std::string_view signature, std::string_view bytes)
{
    const Memory memory(::BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    const PublicKey key(memory ? ::PEM_read_bio_PUBKEY(memory.get(), nullptr, nullptr, nullptr) : nullptr);
    const Digester digester(::EVP_MD_CTX_new());
    return key && digester && ::EVP_PKEY_is_a(key.get(), "RSA") == 1 &&
           ::EVP_DigestVerifyInit(digester.get(), nullptr, algorithm.digest(), nullptr, key.get()) == 1 &&
           ::EVP_DigestVerify(digester.get(), bytesOf(signature), signature.size(), bytesOf(bytes), bytes.size()) == 1;
}

/// "Q1" and the SHA-1 in base 64.
std::string checksumOf(std::string_view bytes)
{
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned length = 0;
    ::EVP_Digest(bytes.data(), bytes.size(), digest.data(), &length, ::EVP_sha1(), nullptr);
    std::array<unsigned char, 2 * EVP_MAX_MD_SIZE> text{};
    const int written = ::EVP_EncodeBlock(text.data(), digest.data(), static_cast<int>(length));
    return "Q1" + std::string(text.begin(), text.begin() + written);
}

std::string sha256Of(std::string_view bytes)
{
    Sha256 hash;
    hash.update(std::as_bytes(std::span(bytes)));
    return hash.finish();
}

// --- what is in a member

/// Calls `take` with every entry's name until it says true; Invalid for a damaged archive.
template <class Take> Status forEachEntry(std::string_view member, const std::string &what, Take take)
{
    const std::string context = what + " is damaged";
    TarReader tar = TRY_IN(context, TarReader::open(member));
    for (std::size_t count = 0; count < kMostEntries; ++count) {
        archive_entry *entry = TRY_IN(context, tar.next());
        if (!entry)
            return {};
        const std::string name = TRY_IN(context, entryName(entry));
        if (TRY_IN(context, take(tar, entry, name)))
            return {};
    }
    return damaged(what, "it has more than " + std::to_string(kMostEntries) + " entries");
}

/// Content of the regular file `path`, none if there is no such entry.
Result<std::optional<std::string>> readEntry(std::string_view member, const std::string &path, std::size_t most,
                                             const std::string &what)
{
    std::optional<std::string> content;
    TRY(forEachEntry(member, what, [&](TarReader &tar, archive_entry *entry, const std::string &name) -> Result<bool> {
        if (name != path)
            return false;
        if (::archive_entry_filetype(entry) != AE_IFREG || ::archive_entry_hardlink(entry))
            return Error(Code::Invalid, quoted(path) + " is no regular file");
        // Room is made for what the header promises, so a promise that is too large is not believed in.
        const la_int64_t size = ::archive_entry_size(entry);
        if (size > static_cast<la_int64_t>(most))
            return tooLarge(quoted(path), most);
        content = TRY(tar.read(static_cast<std::size_t>(std::max<la_int64_t>(size, 0))));
        if (content->size() != static_cast<std::size_t>(size))
            return Error(Code::Invalid, quoted(path) + " breaks off");
        return true;
    }));
    return content;
}

// --- signatures of a member

constexpr std::string_view kSignaturePrefix = ".SIGN.";

struct Signature {
    const Algorithm *algorithm = nullptr; ///< nullptr for one that is not known here.
    std::string key;
};

std::optional<Signature> signatureNamed(std::string_view name)
{
    if (!name.starts_with(kSignaturePrefix))
        return {};
    name.remove_prefix(kSignaturePrefix.size());
    const std::size_t dot = name.find('.');
    if (dot == std::string_view::npos)
        return {};
    Signature signature{nullptr, std::string(name.substr(dot + 1))};
    for (const Algorithm &row : kAlgorithms)
        if (row.name == name.substr(0, dot))
            signature.algorithm = &row;
    return signature;
}

/// One good signature by a key of `keys` is enough: a repository that changes its key signs with both for a while.
Status checkSignature(std::string_view member, std::string_view bytes, const ApkKeys &keys, const std::string &what)
{
    bool good = false;
    std::vector<std::string> wrong, unknown;
    TRY(forEachEntry(member, what, [&](TarReader &tar, archive_entry *, const std::string &name) -> Result<bool> {
        const auto signature = signatureNamed(name);
        if (!signature)
            return false;
        const auto key = keys.find(signature->key);
        if (!signature->algorithm || key == keys.end()) {
            unknown.push_back(quoted(name.substr(kSignaturePrefix.size())));
            return false;
        }
        good = isSignedBy(key->second, *signature->algorithm, TRY(tar.read(kMostSignature)), bytes);
        if (!good)
            wrong.push_back(quoted(signature->key));
        return good;
    }));
    if (good)
        return {};
    if (!wrong.empty())
        return Error(Code::Invalid, what + " has a wrong signature, said to be by the key " + join(wrong, ", "));
    if (!unknown.empty())
        return Error(Code::Invalid, what + " has a signature by an unknown key: " + join(unknown, ", "));
    return Error(Code::Invalid, what + " is not signed");
}

/// Takes the member with the signatures off the front of `rest`.
Result<std::string_view> takeSignatures(std::string_view &rest, const std::string &what)
{
    auto member = takeMember(rest, kMostSignatures, what + "'s member of signatures");
    if (!member)
        return std::move(member.error()).in(what);
    return member;
}

// --- the texts

/// "P:name" and so on, a line each, of the stanza that is about `package`; empty if there is none.
std::map<char, std::string> stanzaOf(std::string_view text, const std::string &package)
{
    while (!text.empty()) {
        const std::size_t end = std::min(text.find("\n\n"), text.size());
        std::map<char, std::string> fields;
        for (const std::string &line : split(text.substr(0, end), '\n'))
            if (line.size() > 2 && line[1] == ':')
                fields.emplace(line[0], line.substr(2));
        if (fields.contains('P') && fields.at('P') == package)
            return fields;
        text.remove_prefix(std::min(end + 2, text.size()));
    }
    return {};
}

/// "name = value" of .PKGINFO.
std::map<std::string, std::string> packageInfo(const std::string &text)
{
    std::map<std::string, std::string> values;
    for (const std::string &line : split(text, '\n'))
        if (const std::size_t equals = line.find(" = "); equals != std::string::npos && !line.starts_with('#'))
            values.emplace(line.substr(0, equals), line.substr(equals + 3));
    return values;
}

/// They become part of an address.
bool isPlain(std::string_view text)
{
    constexpr std::string_view kAllowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._+-";
    return !text.empty() && text.size() <= 128 && text.find_first_not_of(kAllowed) == std::string_view::npos &&
           text.front() != '.' && text.front() != '-';
}

/// "Q1" and 20 bytes in base 64.
bool isChecksum(std::string_view text)
{
    constexpr std::string_view kAllowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
    return text.size() == 30 && text.starts_with("Q1") && text.find_first_not_of(kAllowed) == std::string_view::npos;
}

std::string valueOf(const auto &values, const auto &key)
{
    const auto at = values.find(key);
    return at == values.end() ? std::string() : at->second;
}

} // namespace

std::string formatApkEntry(const ApkEntry &entry)
{
    return entry.name + " " + entry.version + " " + entry.checksum + " " + std::to_string(entry.size);
}

Result<ApkEntry> parseApkEntry(std::string_view line)
{
    const auto parts = words(line);
    if (parts.size() != 4 || !isPlain(parts[0]) || !isPlain(parts[1]) || !isChecksum(parts[2]))
        return Error(Code::Invalid, "not an entry of a package index: " + quoted(line.substr(0, 200)));
    if (parts[3].size() > 10)
        return tooLarge("package " + quoted(parts[0]), kMostApk);
    const std::uint64_t size = TRY(parseUnsigned(parts[3]));
    if (size > kMostApk)
        return tooLarge("package " + quoted(parts[0]), kMostApk);
    return ApkEntry{parts[0], parts[1], parts[2], size};
}

Result<ApkEntry> findInApkIndex(std::string_view index, const ApkKeys &keys, const std::string &package)
{
    if (index.size() > kMostApkIndex)
        return tooLarge(kIndexName, kMostApkIndex);
    std::string_view rest = index;
    const std::string_view signatures = TRY(takeSignatures(rest, kIndexName));
    TRY(checkSignature(signatures, rest, keys, kIndexName));
    const auto text = TRY(readEntry(rest, "APKINDEX", kMostApkIndex, kIndexName));
    const auto fields = stanzaOf(text.value_or(std::string()), package);
    if (fields.empty())
        return Error(Code::NotFound, std::string(kIndexName) + " knows no package " + quoted(package));
    // By the one way of writing it, so that what is planned with is what was found here.
    return TRY_IN(kIndexName, parseApkEntry(valueOf(fields, 'P') + " " + valueOf(fields, 'V') + " " +
                                            valueOf(fields, 'C') + " " + valueOf(fields, 'S')));
}

Result<std::string> fileOfApk(std::string_view package, const ApkKeys &keys, const ApkEntry &entry,
                              const std::string &path)
{
    const std::string what = entry.name + "-" + entry.version + ".apk";
    if (package.size() > kMostApk)
        return tooLarge(what, kMostApk);
    if (package.size() != entry.size)
        return differs(what, "it has " + std::to_string(package.size()) + " bytes, not " + std::to_string(entry.size));
    std::string_view rest = package;
    const std::string_view signatures = TRY(takeSignatures(rest, what));
    const std::string_view control = TRY(takeMember(rest, kMostControl, what));
    if (checksumOf(control) != entry.checksum)
        return differs(what, "its control member has the checksum " + checksumOf(control) + ", not " + entry.checksum);
    TRY(checkSignature(signatures, control, keys, what));
    const auto text = TRY(readEntry(control, ".PKGINFO", kMostControl, what));
    if (!text)
        return damaged(what, "it has no .PKGINFO");
    const auto info = packageInfo(*text);
    if (valueOf(info, "pkgname") != entry.name || valueOf(info, "pkgver") != entry.version)
        return differs(what, "it is " + quoted(valueOf(info, "pkgname") + "-" + valueOf(info, "pkgver")));
    if (sha256Of(rest) != valueOf(info, "datahash"))
        return differs(what, "its data has another SHA-256 than its .PKGINFO says");
    auto content = TRY(readEntry(rest, path, kMostApk, what));
    if (!content) // a release with one /usr
        content = TRY(readEntry(rest, "usr/" + path, kMostApk, what));
    if (!content)
        return Error(Code::NotFound, what + " has no file " + quoted(path));
    return std::move(*content);
}

} // namespace lxmgr::images
