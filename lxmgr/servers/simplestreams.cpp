#include "servers/simplestreams.h"

#include "api/images.h"
#include "api/types.h"
#include "base/text.h"

#include <algorithm>
#include <map>
#include <set>

namespace lxmgr::servers
{

/// An entry of streams/v1/index.json.
struct Stream {
    std::string datatype, path;
    std::vector<std::string> products;
};
struct StreamsIndex {
    std::string format;
    std::map<std::string, Stream> index;
};
/// A file of a version.
struct Item {
    std::string ftype, path, sha256;
    std::uint64_t size = 0;
    std::string combined, combinedSquashfs, combinedTar;
};
struct Version {
    std::string label;
    std::map<std::string, Item> items;
};
struct Product {
    std::string aliases, arch, os, release, releaseTitle, variant, version, supportEol;
    StringMap requirements, oldRequirements;
    std::map<std::string, Version> versions;
};
struct Products {
    std::string format;
    std::map<std::string, Product> products;
};

} // namespace lxmgr::servers

namespace lxmgr::api
{

template <> struct Fields<servers::Stream> {
    using T = servers::Stream;
    static constexpr auto rows = std::tuple{Field{"datatype", &T::datatype}, Field{"path", &T::path}, Field{"products", &T::products}};
};
template <> struct Fields<servers::StreamsIndex> {
    using T = servers::StreamsIndex;
    static constexpr auto rows = std::tuple{Field{"format", &T::format}, Field{"index", &T::index}};
};
template <> struct Fields<servers::Item> {
    using T = servers::Item;
    static constexpr auto rows = std::tuple{
        Field{"ftype", &T::ftype},
        Field{"path", &T::path},
        Field{"sha256", &T::sha256},
        Field{"size", &T::size},
        Field{"combined_sha256", &T::combined},
        Field{"combined_squashfs_sha256", &T::combinedSquashfs},
        Field{"combined_rootxz_sha256", &T::combinedTar},
    };
};
template <> struct Fields<servers::Version> {
    using T = servers::Version;
    static constexpr auto rows = std::tuple{Field{"label", &T::label}, Field{"items", &T::items}};
};
template <> struct Fields<servers::Product> {
    using T = servers::Product;
    static constexpr auto rows = std::tuple{
        Field{"aliases", &T::aliases},
        Field{"arch", &T::arch},
        Field{"os", &T::os},
        Field{"release", &T::release},
        Field{"release_title", &T::releaseTitle},
        Field{"variant", &T::variant},
        Field{"version", &T::version},
        Field{"support_eol", &T::supportEol},
        Field{"requirements", &T::requirements},
        Field{"lxd_requirements", &T::oldRequirements},
        Field{"versions", &T::versions},
    };
};
template <> struct Fields<servers::Products> {
    using T = servers::Products;
    static constexpr auto rows = std::tuple{Field{"format", &T::format}, Field{"products", &T::products}};
};

} // namespace lxmgr::api

namespace lxmgr::servers
{

namespace
{

constexpr std::uint64_t kLargestFile = 64ULL << 30;
constexpr std::size_t kLongestText = 4096;

constexpr std::pair<std::string_view, std::string_view> kArchitectures[] = {
    {"amd64", "x86_64"}, {"arm64", "aarch64"}, {"armhf", "armv7l"}, {"i386", "i686"}, {"ppc64el", "ppc64le"}, {"x86", "i686"},
};

bool isHash(std::string_view text)
{
    return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

/// A path below the server's address and nowhere else, that can stand in a request as it is.
bool isPath(std::string_view path)
{
    if (path.empty() || path.size() > 1024 || path.front() == '/')
        return false;
    constexpr std::string_view kSigns = "-._~:+@=,/%!()";
    if (!std::ranges::all_of(path, [&](unsigned char c) { return std::isalnum(c) || kSigns.find(static_cast<char>(c)) != std::string_view::npos; }))
        return false;
    const auto parts = split(path, '/');
    return std::ranges::none_of(parts, [](const std::string &part) { return part.empty() || part == "." || part == ".."; });
}

bool isAlias(std::string_view text)
{
    return !text.empty() && text.size() <= 128 && std::ranges::all_of(text, [](unsigned char c) { return c > ' ' && c < 0x7f && c != '?' && c != '#'; });
}

bool isUsable(const Item &item) { return isPath(item.path) && item.size > 0 && item.size <= kLargestFile; }

/// The files of a version as one image: a unified one, else its metadata with the squashfs, else with the tarball.
std::optional<Offer> offerOf(const Version &version)
{
    const auto find = [&](std::initializer_list<std::string_view> kinds) -> const Item * {
        for (const std::string_view kind : kinds)
            for (const auto &[name, item] : version.items)
                if (item.ftype == kind && isUsable(item))
                    return &item;
        return nullptr;
    };
    const auto made = [](const Item &first, const Item *second, const std::string &fingerprint, const std::string &type) {
        Offer offer;
        offer.image.fingerprint = fingerprint;
        offer.image.filename = first.path.substr(first.path.rfind('/') + 1);
        offer.image.properties["type"] = type;
        offer.files.push_back({first.path, first.size});
        if (second)
            offer.files.push_back({second->path, second->size});
        for (const OfferedFile &file : offer.files)
            offer.image.size += static_cast<std::int64_t>(file.size);
        return offer;
    };
    if (const Item *metadata = find({"incus.tar.xz", "lxd.tar.xz"})) {
        const Item *squashfs = find({"squashfs"});
        if (squashfs && isHash(metadata->combinedSquashfs))
            return made(*metadata, squashfs, metadata->combinedSquashfs, "squashfs");
        const Item *tar = find({"root.tar.xz"});
        if (tar && (isHash(metadata->combinedTar) || isHash(metadata->combined)))
            return made(*metadata, tar, isHash(metadata->combinedTar) ? metadata->combinedTar : metadata->combined, "root.tar.xz");
    }
    if (const Item *whole = find({"incus_combined.tar.gz", "lxd_combined.tar.gz"}); whole && isHash(whole->sha256))
        return made(*whole, nullptr, whole->sha256, whole->ftype);
    return std::nullopt;
}

/// "20260401" or "20260401_05:24" as a point in time.
api::Time dateOf(const std::string &serial)
{
    if (serial.size() < 8 || serial.find_first_not_of("0123456789") < 8)
        return {};
    return api::Time::parse(serial.substr(0, 4) + "-" + serial.substr(4, 2) + "-" + serial.substr(6, 2) + "T00:00:00Z").value_or(api::Time{});
}

void describe(api::Image &image, const Product &product, const std::string &serial, const std::string &label)
{
    image.architecture = kernelArchitecture(product.arch);
    image.isPublic = true;
    image.createdAt = image.uploadedAt = dateOf(serial);
    if (!product.supportEol.empty())
        image.expiresAt = api::Time::parse(product.supportEol + "T00:00:00Z").value_or(api::Time{});
    const auto set = [&](const std::string &name, const std::string &value) {
        if (!value.empty() && value.size() <= kLongestText)
            image.properties[name] = value;
    };
    set("os", product.os);
    set("release", product.release);
    set("version", product.version);
    set("architecture", product.arch);
    set("variant", product.variant);
    set("label", label);
    set("serial", serial);
    set("description", product.os + " " + product.releaseTitle + " " + product.arch + (label.empty() ? "" : " (" + label + ")") + " (" + serial + ")");
    for (const StringMap *requirements : {&product.oldRequirements, &product.requirements})
        for (const auto &[name, value] : *requirements)
            set("requirements." + name, value);
}

} // namespace

std::string kernelArchitecture(std::string_view name)
{
    const auto *const found = std::ranges::find(kArchitectures, name, &std::pair<std::string_view, std::string_view>::first);
    return std::string(found == std::end(kArchitectures) ? name : found->second);
}

Result<std::vector<std::string>> readStreamsIndex(std::string_view json)
{
    const auto index = TRY(api::fromJson<StreamsIndex>(json));
    if (!index.format.starts_with("index:1."))
        return Error(Code::Invalid, "its format is " + quoted(index.format) + " and not index:1.0");
    std::vector<std::string> paths;
    for (const auto &[name, stream] : index.index)
        if (stream.datatype == "image-downloads" && !stream.products.empty() && isPath(stream.path))
            paths.push_back(stream.path);
    return paths;
}

Result<std::vector<Offer>> readProducts(std::string_view json, std::string_view architecture)
{
    const auto all = TRY(api::fromJson<Products>(json));
    if (!all.format.starts_with("products:1."))
        return Error(Code::Invalid, "its format is " + quoted(all.format) + " and not products:1.0");
    std::vector<Offer> offers;
    std::set<std::string> taken;
    for (const auto &[id, product] : all.products) {
        bool newest = true;
        for (auto version = product.versions.rbegin(); version != product.versions.rend(); ++version) {
            std::optional<Offer> offer = offerOf(version->second);
            if (!offer)
                continue;
            describe(offer->image, product, version->first, version->second.label);
            const bool here = offer->image.architecture == architecture;
            for (const std::string &each : newest ? split(product.aliases, ',') : std::vector<std::string>()) {
                const std::string alias(trimmed(each));
                if (here && isAlias(alias) && taken.insert(alias).second)
                    offer->image.aliases.push_back({alias, {}});
                if (const std::string full = alias + "/" + product.arch; isAlias(alias) && isAlias(full) && taken.insert(full).second)
                    offer->image.aliases.push_back({full, {}});
            }
            newest = false;
            offers.push_back(std::move(*offer));
        }
    }
    return offers;
}

} // namespace lxmgr::servers
