// ImageServer: what a server of images has, asked in its own language: simplestreams, or the API of LXD, Incus and lxmgr.
#pragma once

#include "servers/offer.h"
#include "servers/site.h"

namespace lxmgr::servers
{

enum class Protocol { Simplestreams, Api };
/// "" is lxd. Unsupported for another word than lxd, incus, simplestreams.
Result<Protocol> parseProtocol(const std::string &name);

struct Address {
    std::string url;
    Protocol protocol = Protocol::Simplestreams;
    std::string certificate; ///< PEM, the only one believed; empty: what certification authorities vouch for.
    std::string project;     ///< Of a server with the API: whose images; empty: those of its project default.
};

class ImageServer
{
public:
    static Result<ImageServer> at(const Address &address, Patience patience);

    /// All it has for everybody.
    Result<std::vector<Offer>> list();
    /// By alias, else by fingerprint or the beginning of one. NotFound.
    Result<Offer> find(const std::string &name);
    /// By the first of `names` that it has; `found` says which. NotFound.
    Result<Offer> findFirst(const std::vector<std::string> &names, std::string &found);
    /// By its whole fingerprint; `secret` opens one that is not public.
    Result<Offer> get(const std::string &fingerprint, const std::string &secret);

    Protocol protocol() const { return m_protocol; }
    Site &site() { return m_site; }
    /// Where the files of an image of a server with the API are, as it was asked for last.
    std::string exportPath(const std::string &fingerprint) const;
    /// What tells this source of an image from others: server, project and secret.
    std::string source() const;
    bool needsSecret() const { return !m_secret.empty(); }

private:
    ImageServer(Site site, Protocol protocol, std::string project) : m_site(std::move(site)), m_protocol(protocol), m_project(std::move(project)) {}
    /// `path`, in the project and with `secret`.
    std::string inProject(const std::string &path, const std::string &secret) const;
    Result<std::vector<Offer>> streams();
    Result<std::string> metadata(const std::string &path);

    Site m_site;
    Protocol m_protocol;
    std::string m_project;
    std::string m_secret; ///< Of the image that was asked for last.
};

} // namespace lxmgr::servers
