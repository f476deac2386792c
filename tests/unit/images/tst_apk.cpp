// What is taken from an Alpine repository is what one of the known keys signed, and nothing else of it is read.
#include "images/apk.h"
#include "support/verify.h"

#include <functional>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <zlib.h>

using namespace lxmgr;
using namespace lxmgr::images;

namespace
{

constexpr const char *kKeyName = "test@example.org-12345678.rsa.pub";
const std::string kProgram = "\x7f"
                             "ELF program";

struct File {
    std::string name, content;
};

std::string header(const File &file)
{
    std::string block(512, '\0');
    const auto put = [&](std::size_t at, const std::string &text) { block.replace(at, text.size(), text); };
    char size[13];
    std::snprintf(size, sizeof size, "%011o", static_cast<unsigned>(file.content.size()));
    put(0, file.name);
    put(100, "0000755");
    put(108, "0000000");
    put(116, "0000000");
    put(124, size);
    put(136, "00000000000");
    put(148, "        ");
    put(156, "0");
    put(257, std::string("ustar\0"
                         "00",
                         8));
    unsigned sum = 0;
    for (const char byte : block)
        sum += static_cast<unsigned char>(byte);
    std::snprintf(size, sizeof size, "%06o", sum);
    put(148, std::string(size, 6) + '\0' + ' ');
    return block;
}

/// Without the blocks of zeros at the end, as all but the last member of a package is.
std::string cutTar(const std::vector<File> &files)
{
    std::string bytes;
    for (const File &file : files) {
        bytes += header(file) + file.content;
        bytes.resize((bytes.size() + 511) / 512 * 512, '\0');
    }
    return bytes;
}

std::string tar(const std::vector<File> &files) { return cutTar(files) + std::string(1024, '\0'); }

std::string gzip(const std::string &bytes)
{
    z_stream stream{};
    ::deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
    std::string packed(::deflateBound(&stream, bytes.size()) + 64, '\0');
    stream.next_in = reinterpret_cast<Bytef *>(const_cast<char *>(bytes.data()));
    stream.avail_in = static_cast<uInt>(bytes.size());
    stream.next_out = reinterpret_cast<Bytef *>(packed.data());
    stream.avail_out = static_cast<uInt>(packed.size());
    ::deflate(&stream, Z_FINISH);
    packed.resize(stream.total_out);
    ::deflateEnd(&stream);
    return packed;
}

std::string digest(const EVP_MD *algorithm, const std::string &bytes)
{
    unsigned char out[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    ::EVP_Digest(bytes.data(), bytes.size(), out, &length, algorithm, nullptr);
    return {reinterpret_cast<char *>(out), length};
}

std::string checksum(const std::string &control)
{
    return "Q1" + QByteArray::fromStdString(digest(::EVP_sha1(), control)).toBase64().toStdString();
}

class Key
{
public:
    Key() : m_key(::EVP_RSA_gen(2048)) {}
    Key(const Key &) = delete;
    Key &operator=(const Key &) = delete;
    ~Key() { ::EVP_PKEY_free(m_key); }

    std::string sign(const std::string &bytes, const EVP_MD *algorithm = ::EVP_sha1()) const
    {
        EVP_MD_CTX *context = ::EVP_MD_CTX_new();
        ::EVP_DigestSignInit(context, nullptr, algorithm, nullptr, m_key);
        std::size_t length = 512;
        std::string signature(length, '\0');
        ::EVP_DigestSign(context, reinterpret_cast<unsigned char *>(signature.data()), &length,
                         reinterpret_cast<const unsigned char *>(bytes.data()), bytes.size());
        ::EVP_MD_CTX_free(context);
        signature.resize(length);
        return signature;
    }
    std::string pem() const
    {
        BIO *memory = ::BIO_new(::BIO_s_mem());
        ::PEM_write_bio_PUBKEY(memory, m_key);
        char *text = nullptr;
        const long length = ::BIO_get_mem_data(memory, &text);
        std::string out(text, static_cast<std::size_t>(length));
        ::BIO_free(memory);
        return out;
    }

private:
    EVP_PKEY *m_key;
};

} // namespace

class TestApk : public QObject
{
    Q_OBJECT

    Key m_key, m_stranger;
    ApkKeys m_keys{
        {kKeyName, m_key.pem()}
    };

    std::string signatures(const std::string &bytes) const
    {
        return gzip(cutTar({
            {std::string(".SIGN.RSA.") + kKeyName, m_key.sign(bytes)}
        }));
    }
    std::string member(const std::string &name, const std::string &signature) const
    {
        return gzip(cutTar({
            {name, signature}
        }));
    }
    std::string indexBody(const std::string &stanzas) const
    {
        return gzip(tar({
            {"DESCRIPTION", "v3.22"},
            {"APKINDEX",    stanzas}
        }));
    }
    std::string stanza(const std::string &name = "apk-tools-static", const std::string &version = "2.14.9-r2",
                       const std::string &check = checksum("x"), const std::string &size = "1234") const
    {
        return "C:" + check + "\nP:" + name + "\nV:" + version + "\nA:x86_64\nS:" + size + "\nT:text\n\n";
    }
    std::string index(const std::string &stanzas) const
    {
        const std::string body = indexBody(stanzas);
        return signatures(body) + body;
    }

    /// A package and the entry a signed index has of it.
    struct Package {
        std::string control, data, bytes;
        ApkEntry entry;
    };
    Package package(const std::string &info = "pkgname = apk-tools-static\npkgver = 2.14.9-r2\n",
                    const std::vector<File> &files = {
                        {"sbin/",           {}      },
                        {"sbin/apk.static", kProgram}
    }) const
    {
        Package made;
        made.data = gzip(tar(files));
        const auto hash = QByteArray::fromStdString(digest(::EVP_sha256(), made.data)).toHex().toStdString();
        made.control = gzip(cutTar({
            {".PKGINFO", "# made by a test\n" + info + "datahash = " + hash + "\n"}
        }));
        assemble(made, signatures(made.control));
        return made;
    }
    static void assemble(Package &made, const std::string &signature)
    {
        made.bytes = signature + made.control + made.data;
        made.entry = {"apk-tools-static", "2.14.9-r2", checksum(made.control), made.bytes.size()};
    }
    Result<std::string> program(const Package &made) const
    {
        return fileOfApk(made.bytes, m_keys, made.entry, "sbin/apk.static");
    }

private slots:
    void theEntryOfASignedIndexIsFound()
    {
        const auto found = findInApkIndex(index(stanza("apk-tools", "1") + stanza() + stanza("zlib", "3")), m_keys,
                                          "apk-tools-static");
        VERIFY_OK(found);
        QCOMPARE(found->version, std::string("2.14.9-r2"));
        QCOMPARE(found->size, 1234U);
        QCOMPARE(found->checksum, checksum("x"));
        const auto back = parseApkEntry(formatApkEntry(*found));
        VERIFY_OK(back);
        QCOMPARE(*back, *found);
    }

    void everyAlgorithmOfTheFormatIsKnown_data()
    {
        QTest::addColumn<QByteArray>("name");
        QTest::newRow("sha1") << QByteArray("RSA");
        QTest::newRow("sha256") << QByteArray("RSA256");
        QTest::newRow("sha512") << QByteArray("RSA512");
    }
    void everyAlgorithmOfTheFormatIsKnown()
    {
        QFETCH(QByteArray, name);
        const std::string body = indexBody(stanza());
        const EVP_MD *algorithm = name == "RSA" ? ::EVP_sha1() : name == "RSA256" ? ::EVP_sha256() : ::EVP_sha512();
        const std::string signature = m_key.sign(body, algorithm);
        VERIFY_OK(findInApkIndex(member(".SIGN." + name.toStdString() + "." + kKeyName, signature) + body, m_keys,
                                 "apk-tools-static"));
        // The name says which digest was signed; another one is another signature.
        const std::string other = name == "RSA256" ? ".SIGN.RSA." : ".SIGN.RSA256.";
        VERIFY_FAILS(Code::Invalid,
                     findInApkIndex(member(other + kKeyName, signature) + body, m_keys, "apk-tools-static"));
    }

    void oneKnownKeyAmongSeveralIsEnough()
    {
        const std::string body = indexBody(stanza());
        const std::string both = gzip(cutTar({
            {".SIGN.RSA.other@example.org-1.rsa.pub", m_stranger.sign(body)},
            { std::string(".SIGN.RSA256.") + kKeyName,                        m_key.sign(body,       ::EVP_sha256())}
        }));
        VERIFY_OK(findInApkIndex(both + body, m_keys, "apk-tools-static"));
    }

    void badIndexesAreRefused_data()
    {
        QTest::addColumn<QByteArray>("bytes");
        QTest::addColumn<QByteArray>("reason");
        const auto row = [](const char *name, const std::string &bytes, const char *reason) {
            QTest::newRow(name) << QByteArray::fromStdString(bytes) << QByteArray(reason);
        };
        const std::string body = indexBody(stanza()), good = signatures(body) + body;
        const std::string named = std::string(".SIGN.RSA.") + kKeyName;
        row("strange key under a known name", member(named, m_stranger.sign(body)) + body, "has a wrong signature");
        row("signature of something else", signatures(body + "x") + body, "has a wrong signature");
        row("empty signature", member(named, "") + body, "has a wrong signature");
        row("unknown key", member(".SIGN.RSA.other.rsa.pub", m_stranger.sign(body)) + body, "an unknown key");
        row("path for a key", member(".SIGN.RSA.../" + std::string(kKeyName), m_key.sign(body)) + body,
            "an unknown key");
        row("unknown algorithm", member(std::string(".SIGN.DSA.") + kKeyName, m_key.sign(body)) + body,
            "an unknown key");
        row("unsigned", body, "is not signed");
        row("something after it", good + indexBody(stanza("apk-tools-static", "9")), "has a wrong signature");
        row("something between", signatures(body) + indexBody(stanza()) + body, "has a wrong signature");
        std::string changed = good;
        changed[good.size() - body.size() / 2] ^= 1;
        row("one bit", changed, "has a wrong signature");
        row("cut", good.substr(0, good.size() - 20), "has a wrong signature");
        row("cut in the signature", good.substr(0, 100), "it breaks off");
        row("empty", "", "it breaks off");
        row("no gzip", "<html>404</html>", "no gzip stream");
        row("signatures without end", gzip(std::string(1 << 20, '\0')) + body, "is larger than 64KiB");
        row("too large", std::string(kMostApkIndex + 1, 'x'), "is larger than 64MiB");
        row("grows too large", index(std::string(kMostApkIndex + 1, '\n')), "is larger than 64MiB");
        row("no archive", signatures("text") + "text", "is damaged");
        row("wrong size", index(stanza("apk-tools-static", "1", checksum("x"), "-1")), "not a whole number");
        row("package too large", index(stanza("apk-tools-static", "1", checksum("x"), "999999999999")),
            "is larger than 32MiB");
        row("version with a path", index(stanza("apk-tools-static", "../../1")), "not an entry");
        row("another checksum", index(stanza("apk-tools-static", "1", "Q2abc")), "not an entry");
    }
    void badIndexesAreRefused()
    {
        QFETCH(QByteArray, bytes);
        QFETCH(QByteArray, reason);
        const auto found = findInApkIndex(bytes.toStdString(), m_keys, "apk-tools-static");
        VERIFY_FAILS(Code::Invalid, found);
        QVERIFY2(QByteArray::fromStdString(found.error().message).contains(reason), found.error().message.c_str());
    }

    void aPackageThatIsNotThereIsSaidSo()
    {
        VERIFY_FAILS(Code::NotFound, findInApkIndex(index(stanza("apk-tools", "1")), m_keys, "apk-tools-static"));
        VERIFY_FAILS(Code::NotFound, findInApkIndex(index(""), m_keys, "apk-tools-static"));
    }

    void theProgramOfAGoodPackageIsTakenOut()
    {
        const auto taken = program(package());
        VERIFY_OK(taken);
        QCOMPARE(*taken, kProgram);
        Package newer = package();
        assemble(newer, member(std::string(".SIGN.RSA256.") + kKeyName, m_key.sign(newer.control, ::EVP_sha256())));
        VERIFY_OK(program(newer));
        VERIFY_OK(program(
            package("pkgname = apk-tools-static\npkgver = 2.14.9-r2\n", {
                                                                            {"usr/sbin/apk.static", kProgram}
        })));
    }

    void badPackagesAreRefused_data()
    {
        QTest::addColumn<std::function<void(Package &)>>("spoil");
        QTest::addColumn<QByteArray>("reason");
        const auto row = [](const char *name, const char *reason, std::function<void(Package &)> spoil) {
            QTest::newRow(name) << std::move(spoil) << QByteArray(reason);
        };
        row("another size", "differs from what was signed", [](Package &p) { p.bytes += '\0'; });
        row("truncated", "differs from what was signed", [](Package &p) { p.bytes.resize(p.bytes.size() - 9); });
        row("truncated and the index too", "another SHA-256", [](Package &p) {
            p.bytes.resize(p.bytes.size() - 9);
            p.entry.size = p.bytes.size();
        });
        row("truncated in its control member", "it breaks off", [](Package &p) {
            p.bytes.resize(p.bytes.size() - p.data.size() - 5);
            p.entry.size = p.bytes.size();
        });
        row("checksum of the index", "has the checksum", [](Package &p) { p.entry.checksum = checksum("other"); });
        row("tampered data", "another SHA-256", [](Package &p) { p.bytes[p.bytes.size() - p.data.size() / 2] ^= 4; });
        row("other data", "another SHA-256", [this](Package &p) {
            p.data = gzip(tar({
                {"sbin/apk.static", "evil"}
            }));
            assemble(p, signatures(p.control));
        });
        row("data twice", "another SHA-256", [this](Package &p) {
            p.data += p.data;
            assemble(p, signatures(p.control));
        });
        row("tampered control", "has the checksum", [this](Package &p) {
            const std::string check = p.entry.checksum;
            p.control = package("pkgname = other\n").control;
            assemble(p, signatures(p.control));
            p.entry.checksum = check;
        });
        row("its own signature", "has a wrong signature", [this](Package &p) {
            assemble(p, member(std::string(".SIGN.RSA.") + kKeyName, m_stranger.sign(p.control)));
        });
        row("its own key", "an unknown key",
            [this](Package &p) { assemble(p, member(".SIGN.RSA.other.rsa.pub", m_stranger.sign(p.control))); });
        row("unsigned", "is not signed", [this](Package &p) { assemble(p, member("README", "x")); });
        row("another package", "it is 'zlib-2.14.9-r2'",
            [this](Package &p) { p = package("pkgname = zlib\npkgver = 2.14.9-r2\n"); });
        row("another version", "it is 'apk-tools-static-1'",
            [this](Package &p) { p = package("pkgname = apk-tools-static\npkgver = 1\n"); });
        row("no description", "no .PKGINFO", [this](Package &p) {
            p.control = gzip(cutTar({
                {"other", "x"}
            }));
            assemble(p, signatures(p.control));
        });
        row("no hash of its data", "another SHA-256", [this](Package &p) {
            p.control = gzip(cutTar({
                {".PKGINFO", "pkgname = apk-tools-static\npkgver = 2.14.9-r2\n"}
            }));
            assemble(p, signatures(p.control));
        });
        row("control without end", "is larger than 1MiB", [this](Package &p) {
            p.control = gzip(std::string(2 << 20, '\0'));
            assemble(p, signatures(p.control));
        });
        row("too large", "is larger than 32MiB", [](Package &p) {
            p.bytes.resize(kMostApk + 1);
            p.entry.size = p.bytes.size();
        });
        row("program too large", "is larger than 32MiB", [this](Package &p) {
            p = package("pkgname = apk-tools-static\npkgver = 2.14.9-r2\n",
                        {
                            {"sbin/apk.static", std::string(kMostApk + 1, 'x')}
            });
        });
    }
    void badPackagesAreRefused()
    {
        QFETCH(std::function<void(Package &)>, spoil);
        QFETCH(QByteArray, reason);
        Package made = package();
        spoil(made);
        const auto taken = program(made);
        VERIFY_FAILS(Code::Invalid, taken);
        QVERIFY2(QByteArray::fromStdString(taken.error().message).contains(reason), taken.error().message.c_str());
    }

    void aPackageWithoutTheProgramIsSaidSo()
    {
        VERIFY_FAILS(Code::NotFound,
                     program(package("pkgname = apk-tools-static\npkgver = 2.14.9-r2\n", {
                                                                                             {"sbin/apk", kProgram}
        })));
    }
};

QTEST_GUILESS_MAIN(TestApk)
#include "tst_apk.moc"
