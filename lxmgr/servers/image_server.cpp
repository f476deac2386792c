#include "servers/image_server.h"

#include "api/envelope.h"
#include "api/images.h"
#include "base/text.h"
#include "client/client.h"
#include "http/target.h"
#include "servers/simplestreams.h"

#include <algorithm>
#include <sys/utsname.h>

namespace lxmgr::servers
{

namespace
{

constexpr std::uint64_t kLargestIndex = 1 << 20;
constexpr std::uint64_t kLargestList = 64 << 20;
constexpr std::size_t kLeastPrefix = 12; ///< Shorter ones could be anybody's name.

bool isHex(std::string_view text) { return !text.empty() && text.find_first_not_of("0123456789abcdef") == std::string_view::npos; }

std::string hostArchitecture()
{
    utsname host{};
    ::uname(&host);
    return host.machine;
}

Error hasNo(const std::string &name) { return {Code::NotFound, "it has no image " + quoted(name)}; }

/// By alias, else by fingerprint.
Result<Offer> pick(const std::vector<Offer> &all, const std::string &name)
{
    const auto called = [&](const Offer &offer) { return std::ranges::find(offer.image.aliases, name, &api::ImageAlias::name) != offer.image.aliases.end(); };
    auto found = std::ranges::find_if(all, called);
    if (found == all.end() && isHex(name) && name.size() >= kLeastPrefix)
        found = std::ranges::find_if(all, [&](const Offer &offer) { return offer.image.fingerprint.starts_with(name); });
    if (found == all.end())
        return hasNo(name);
    return *found;
}

} // namespace

Result<Protocol> parseProtocol(const std::string &name)
{
    if (name == "simplestreams")
        return Protocol::Simplestreams;
    if (name.empty() || name == "lxd" || name == "incus")
        return Protocol::Api;
    return Error(Code::Unsupported, "protocol " + quoted(name) + " is none of lxd, incus, simplestreams");
}

Result<ImageServer> ImageServer::at(const Address &address, Patience patience)
{
    patience.oldTls = address.protocol == Protocol::Simplestreams;
    if (address.protocol == Protocol::Api && address.url.starts_with("http://"))
        return Error(Code::Invalid, quoted(address.url) + ": the address of a server begins with https://");
    if (address.protocol != Protocol::Api && !address.project.empty())
        return Error(Code::Invalid, "a server of simplestreams has no projects (" + quoted(address.project) + ")");
    return ImageServer(TRY(Site::at(address.url, address.certificate, patience)), address.protocol, address.project);
}

Result<std::vector<Offer>> ImageServer::streams()
{
    const std::string index = TRY(m_site.read(std::string(kStreamsIndex), kLargestIndex));
    std::vector<Offer> all;
    for (const std::string &path : TRY_IN(kStreamsIndex, readStreamsIndex(index))) {
        const std::string list = TRY(m_site.read(path, kLargestList));
        std::ranges::move(TRY_IN(path, readProducts(list, hostArchitecture())), std::back_inserter(all));
    }
    return all;
}

/// The metadata of an answer of the API.
Result<std::string> ImageServer::metadata(const std::string &path)
{
    client::Request request;
    request.mostBody = kLargestList;
    client::Response response = TRY(m_site.ask(path, std::move(request)));
    if (response.head.status == 404) // with the API's body or, where something stands in front of it, with any
        return Error(Code::NotFound, path.substr(0, path.find('?')) + " is not there");
    return TRY(client::openEnvelope(std::move(response))).metadata;
}

std::string ImageServer::inProject(const std::string &path, const std::string &secret) const
{
    std::string whole = path;
    for (const auto &[name, value] : {std::pair<const char *, const std::string &>{"project=", m_project}, {"secret=", secret}})
        if (!value.empty())
            whole.append(whole.find('?') == std::string::npos ? "?" : "&").append(name).append(http::percentEncode(value));
    return whole;
}

std::string ImageServer::exportPath(const std::string &fingerprint) const { return inProject("1.0/images/" + fingerprint + "/export", m_secret); }

std::string ImageServer::source() const { return m_site.url() + " " + m_project + " " + m_secret; }

Result<std::vector<Offer>> ImageServer::list()
{
    if (m_protocol == Protocol::Simplestreams)
        return streams();
    std::vector<Offer> all;
    for (auto &image : TRY(client::Client::parse<std::vector<api::Image>>(TRY(metadata(inProject("1.0/images?recursion=1", {}))))))
        all.push_back({std::move(image), {}});
    return all;
}

Result<Offer> ImageServer::find(const std::string &given)
{
    const std::string name = given.empty() ? "default" : given;
    if (m_protocol == Protocol::Api) {
        const auto alias = metadata(inProject("1.0/images/aliases/" + http::percentEncode(name), {}));
        if (alias)
            return get(TRY(client::Client::parse<api::ImageAliasEntry>(*alias)).target, {});
        if (alias.error().code != Code::NotFound || !isHex(name))
            return alias.error().code == Code::NotFound ? hasNo(name) : alias.error();
        return get(name, {});
    }
    return pick(TRY(streams()), name);
}

Result<Offer> ImageServer::findFirst(const std::vector<std::string> &names, std::string &found)
{
    Result<Offer> offer = hasNo(names.front());
    std::optional<std::vector<Offer>> all;
    if (m_protocol == Protocol::Simplestreams)
        all = TRY(streams());
    for (const std::string &name : names) {
        offer = all ? pick(*all, name) : find(name);
        if (offer || offer.error().code != Code::NotFound) {
            found = name;
            return offer;
        }
    }
    return hasNo(join(names, ", "));
}

Result<Offer> ImageServer::get(const std::string &fingerprint, const std::string &secret)
{
    if (m_protocol == Protocol::Simplestreams)
        return find(fingerprint);
    if (!isHex(fingerprint) || fingerprint.size() > 64)
        return Error(Code::Invalid, quoted(fingerprint) + " is no fingerprint");
    m_secret = secret;
    const auto answer = metadata(inProject("1.0/images/" + fingerprint, secret));
    if (!answer)
        return answer.error().code == Code::NotFound ? hasNo(fingerprint) : answer.error();
    Offer offer{TRY(client::Client::parse<api::Image>(*answer)), {}};
    if (offer.image.fingerprint.size() != 64 || !isHex(offer.image.fingerprint) || !offer.image.fingerprint.starts_with(fingerprint))
        return Error(Code::Corrupt, "it answers with another image than " + fingerprint);
    if (offer.image.type != "container" && !offer.image.type.empty())
        return Error(Code::Unsupported, "image " + fingerprint.substr(0, 12) + " is of type " + quoted(offer.image.type) +
                                            ": this server runs containers only");
    return offer;
}

} // namespace lxmgr::servers
