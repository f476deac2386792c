#include "tls/certificate.h"

#include "base/text.h"
#include "kernel/files.h"

#include <cerrno>
#include <memory>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

namespace lxmgr::tls
{

namespace
{

template <auto Free> struct Deleter {
    template <class T> void operator()(T *object) const { Free(object); }
};
using Certificate = std::unique_ptr<X509, Deleter<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using Bio = std::unique_ptr<BIO, Deleter<BIO_free_all>>;
using Extension = std::unique_ptr<X509_EXTENSION, Deleter<X509_EXTENSION_free>>;
using Store = std::unique_ptr<X509_STORE, Deleter<X509_STORE_free>>;
using StoreContext = std::unique_ptr<X509_STORE_CTX, Deleter<X509_STORE_CTX_free>>;
using RevocationList = std::unique_ptr<X509_CRL, Deleter<X509_CRL_free>>;

constexpr std::size_t kLongest = 64 << 10; // of any certificate's text
constexpr long kDay = 24 * 60 * 60;

Error fromOpenssl(const char *what)
{
    char text[256];
    ERR_error_string_n(ERR_get_error(), text, sizeof text);
    ERR_clear_error();
    return {Code::Internal, std::string(what) + ": " + text};
}

Bio readFrom(std::string_view text) { return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }

std::string contentOf(const Bio &bio)
{
    char *bytes = nullptr;
    const long size = BIO_get_mem_data(bio.get(), &bytes);
    return {bytes, static_cast<std::size_t>(size)};
}

Result<Certificate> parse(std::string_view pem)
{
    Certificate certificate;
    if (pem.size() <= kLongest)
        certificate.reset(PEM_read_bio_X509(readFrom(pem).get(), nullptr, nullptr, nullptr));
    ERR_clear_error();
    if (!certificate)
        return Error(Code::Invalid, "this is no certificate (PEM, or base64 of its DER, is wanted)");
    return certificate;
}

Result<std::string> write(X509 *certificate)
{
    const Bio out(BIO_new(BIO_s_mem()));
    if (!out || PEM_write_bio_X509(out.get(), certificate) != 1)
        return fromOpenssl("write a certificate");
    return contentOf(out);
}

Status extend(X509 *certificate, int nid, const std::string &value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
    const Extension extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
    if (!extension || X509_add_ext(certificate, extension.get(), -1) != 1)
        return fromOpenssl("extend a certificate");
    return {};
}

bool isAddress(const std::string &name) { return name.find(':') != std::string::npos || name.find_first_not_of("0123456789.") == std::string::npos; }

/// "DNS:web1,IP:192.0.2.1": only what cannot be taken for more than one name.
std::string alternativeNames(const std::vector<std::string> &names)
{
    std::string text;
    for (const std::string &name : names)
        if (!name.empty() && name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:-") == std::string::npos)
            text += (text.empty() ? "" : ",") + std::string(isAddress(name) ? "IP:" : "DNS:") + name;
    return text;
}

} // namespace

Result<Identity> makeIdentity(const std::string &commonName, const std::vector<std::string> &names)
{
    const Key key(EVP_EC_gen("P-384"));
    const Certificate certificate(X509_new());
    std::uint64_t serial = 0;
    if (!key || !certificate || RAND_bytes(reinterpret_cast<unsigned char *>(&serial), sizeof serial) != 1)
        return fromOpenssl("make a key");
    X509 *const x509 = certificate.get();
    X509_set_version(x509, X509_VERSION_3);
    ASN1_INTEGER_set_uint64(X509_get_serialNumber(x509), serial >> 1);
    X509_gmtime_adj(X509_getm_notBefore(x509), -kDay);
    X509_gmtime_adj(X509_getm_notAfter(x509), 3650 * kDay);
    X509_set_pubkey(x509, key.get());
    X509_NAME *const subject = X509_get_subject_name(x509);
    const auto name = [&](const char *field, const std::string &value) {
        return X509_NAME_add_entry_by_txt(subject, field, MBSTRING_UTF8, reinterpret_cast<const unsigned char *>(value.data()),
                                          static_cast<int>(value.size()), -1, 0) == 1;
    };
    if (!name("O", "lxmgr") || !name("CN", commonName.substr(0, 64)) || X509_set_issuer_name(x509, subject) != 1)
        return fromOpenssl("name a certificate");
    TRY(extend(x509, NID_basic_constraints, "critical,CA:FALSE"));
    TRY(extend(x509, NID_key_usage, "critical,digitalSignature"));
    TRY(extend(x509, NID_ext_key_usage, names.empty() ? "clientAuth" : "serverAuth"));
    if (const std::string alternative = alternativeNames(names); !alternative.empty())
        TRY(extend(x509, NID_subject_alt_name, alternative));
    if (X509_sign(x509, key.get(), EVP_sha384()) == 0)
        return fromOpenssl("sign a certificate");
    const Bio out(BIO_new(BIO_s_mem()));
    if (!out || PEM_write_bio_PrivateKey(out.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1)
        return fromOpenssl("write a key");
    return Identity{TRY(write(x509)), contentOf(out)};
}

Result<Identity> identityIn(const std::string &folder, const std::string &stem, const std::string &commonName,
                            const std::vector<std::string> &names)
{
    const std::string certificateFile = folder + "/" + stem + ".crt";
    const std::string keyFile = folder + "/" + stem + ".key";
    Result<std::string> certificate = files::read(certificateFile, kLongest);
    if (certificate) {
        if (const Result<Certificate> parsed = parse(*certificate); !parsed)
            return Error(Code::Corrupt, certificateFile + " is no certificate").hint("take it away with its key: new ones are made");
        return Identity{std::move(*certificate), TRY(files::read(keyFile, kLongest))};
    }
    if (certificate.error().errnum != ENOENT)
        return std::move(certificate.error());
    Identity made = TRY(makeIdentity(commonName, names));
    // The certificate last: a key alone is replaced, a certificate without its key would be of no use.
    TRY(files::replace(keyFile, made.key, 0600));
    TRY(files::replace(certificateFile, made.certificate, 0644));
    return made;
}

Result<std::string> fingerprintOf(std::string_view pem)
{
    const Certificate certificate = TRY(parse(pem));
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    if (X509_digest(certificate.get(), EVP_sha256(), digest, &size) != 1)
        return fromOpenssl("hash a certificate");
    std::string hex;
    for (unsigned int i = 0; i < size; ++i) {
        constexpr std::string_view kDigits = "0123456789abcdef";
        hex += kDigits[digest[i] >> 4];
        hex += kDigits[digest[i] & 15];
    }
    return hex;
}

Result<std::string> toPem(std::string_view text)
{
    const std::string_view bare = trimmed(text);
    if (bare.size() > kLongest)
        return Error(Code::Invalid, "the certificate is longer than 64 KiB");
    if (bare.starts_with("-----BEGIN"))
        return write(TRY(parse(bare)).get());
    std::string wrapped = "-----BEGIN CERTIFICATE-----\n";
    std::string compact;
    for (const char c : bare)
        if (c != '\n' && c != '\r' && c != ' ')
            compact += c;
    for (std::size_t at = 0; at < compact.size(); at += 64)
        wrapped.append(compact, at, 64).append("\n");
    return write(TRY(parse(wrapped + "-----END CERTIFICATE-----\n")).get());
}

std::string commonNameOf(std::string_view pem)
{
    const Result<Certificate> certificate = parse(pem);
    char text[256] = "";
    if (certificate)
        X509_NAME_get_text_by_NID(X509_get_subject_name(certificate->get()), NID_commonName, text, sizeof text);
    return text;
}

Status checkTime(std::string_view pem)
{
    const Certificate certificate = TRY(parse(pem));
    if (X509_cmp_current_time(X509_get0_notAfter(certificate.get())) < 0)
        return Error(Code::Forbidden, "the certificate has expired");
    if (X509_cmp_current_time(X509_get0_notBefore(certificate.get())) > 0)
        return Error(Code::Forbidden, "the certificate is not valid yet");
    return {};
}

Status checkSignedBy(std::string_view pem, std::string_view authorities, std::string_view revoked)
{
    const Certificate certificate = TRY(parse(pem));
    const Store store(X509_STORE_new());
    const StoreContext context(X509_STORE_CTX_new());
    if (!store || !context)
        return fromOpenssl("check a certificate");
    const Bio in = readFrom(authorities);
    int count = 0;
    while (const Certificate authority{PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr)})
        count += X509_STORE_add_cert(store.get(), authority.get());
    ERR_clear_error(); // the end of the file is one
    if (count == 0)
        return Error(Code::Corrupt, "the authority's file holds no certificate");
    if (!trimmed(revoked).empty()) {
        const RevocationList list(PEM_read_bio_X509_CRL(readFrom(revoked).get(), nullptr, nullptr, nullptr));
        if (!list || X509_STORE_add_crl(store.get(), list.get()) != 1)
            return Error(Code::Corrupt, "the list of revoked certificates cannot be read");
        X509_STORE_set_flags(store.get(), X509_V_FLAG_CRL_CHECK);
    }
    if (X509_STORE_CTX_init(context.get(), store.get(), certificate.get(), nullptr) != 1)
        return fromOpenssl("check a certificate");
    X509_STORE_CTX_set_purpose(context.get(), X509_PURPOSE_SSL_CLIENT);
    if (X509_verify_cert(context.get()) != 1) {
        const int reason = X509_STORE_CTX_get_error(context.get());
        ERR_clear_error();
        return Error(Code::Forbidden, std::string("the certificate is not accepted: ") + X509_verify_cert_error_string(reason));
    }
    return {};
}

} // namespace lxmgr::tls
